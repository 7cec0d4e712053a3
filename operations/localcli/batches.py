"""The batches of a workspace, one file each: `batches/<id>.json`.

While a batch runs, its process alone writes its file. Params are not kept: they may hold secrets.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict, cast

from operations.localcli import processes, store
from operations.localcli.errors import NotFoundError
from operations.localcli.workspace import Workspace

KILLED = "The process that ran it was killed."


class Undo(TypedDict):
    """The request that takes back a completed step."""

    kind: str
    params: dict[str, object]


class StepRecord(TypedDict):
    """`status` is pending, running, completed, failed, cancelled or rolled_back.

    `undo` is null while there is nothing to take back.
    """

    id: str
    kind: str
    status: str
    attempts: int
    exit_code: int | None
    error: str | None
    undo: Undo | None


class Batch(TypedDict):
    """`status` is running, completed, failed, cancelled, rolled_back or rollback_failed."""

    id: str
    name: str
    status: str
    created_at: str
    finished_at: str | None
    steps: list[StepRecord]
    runner: processes.Runner | None


SHAPE: store.Shape = {
    "id": str,
    "name": str,
    "status": str,
    "created_at": str,
    "finished_at": str | None,
    "steps": list,
    "runner": dict | None,
}


def path_of(workspace: Workspace, batch_id: str) -> Path:
    return workspace.directory / "batches" / f"{batch_id}.json"


def get(workspace: Workspace, batch_id: str) -> Batch:
    record = store.find(path_of(workspace, batch_id), SHAPE)
    if record is None:
        raise NotFoundError(f"There is no batch '{batch_id}' in workspace '{workspace.name}'.")
    return _observed(cast("Batch", record))


def find_all(workspace: Workspace) -> list[Batch]:
    """Oldest first."""
    records = store.find_all(workspace.directory / "batches", "*.json", SHAPE)
    batches = [_observed(record) for record in cast("list[Batch]", records)]
    return sorted(batches, key=lambda batch: batch["created_at"])


def save(workspace: Workspace, batch: Batch) -> None:
    store.write(path_of(workspace, batch["id"]), batch)


def result(batch: Batch) -> dict[str, object]:
    """What is told about a batch: its record without what is only ours."""
    steps = [{key: step[key] for key in step if key != "undo"} for step in batch["steps"]]  # type: ignore[literal-required]
    return {**{key: value for key, value in batch.items() if key != "runner"}, "steps": steps}


def is_running(batch: Batch) -> bool:
    return processes.is_alive(batch["runner"])


def _observed(batch: Batch) -> Batch:
    """`batch`, failed when the run that worked on it was killed before it could say so."""
    if batch["runner"] is None or is_running(batch):
        return batch
    steps = [_ended(step) for step in batch["steps"]]
    return {**batch, "status": "failed", "runner": None, "steps": steps}


def _ended(step: StepRecord) -> StepRecord:
    if step["status"] == "running":
        return {**step, "status": "failed", "error": KILLED}
    if step["status"] == "pending":
        return {**step, "status": "cancelled"}
    return step
