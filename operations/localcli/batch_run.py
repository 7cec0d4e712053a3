"""Running the steps of a batch, and taking back those that completed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from operations.localcli import batches, journal, kinds
from operations.localcli.batch_plan import Plan, Step
from operations.localcli.batches import Batch, StepRecord, Undo
from operations.localcli.clock import now
from operations.localcli.errors import (
    CliError,
    NotFoundError,
    StepError,
    Stopped,
    TimedOut,
    exit_code_of,
    sentence_of,
)
from operations.localcli.processes import this_process
from operations.localcli.progress import tell
from operations.localcli.request import Answer
from operations.localcli.stopping import interruptible, time_limit
from operations.localcli.workspace import Workspace

# What names the thing a completed step made, and so what its inverse must be given.
UNDO_PARAMS: Mapping[str, tuple[str, ...]] = {
    "server": ("hostname",),
    "taskserv": ("name", "server"),
    "cluster": ("name",),
}


@contextmanager
def at_work(workspace: Workspace, verb: str, claim: Callable[[], Batch]) -> Iterator[Batch]:
    """Yields the batch that `claim` gives under the lock, running and ours in the body.

    Then it has the status the body left; else failed, or cancelled when the body was stopped.
    """
    with workspace.locked():
        batch = claim()
        batch.update({"status": "running", "finished_at": None, "runner": this_process()})
        entry = journal.Entry(verb, "batch", batch["id"])
        journal.started(workspace, entry)
        batches.save(workspace, batch)
    exit_code = 0
    try:
        yield batch
    except BaseException as error:
        exit_code = exit_code_of(error)
        if batch["status"] == "running":
            batch["status"] = "cancelled" if isinstance(error, Stopped) else "failed"
        raise
    finally:
        batch.update({"finished_at": now(), "runner": None})
        with workspace.locked(is_closing=True):
            batches.save(workspace, batch)
            journal.ended(workspace, entry, exit_code)


def run_steps(workspace: Workspace, plan: Plan, batch: Batch) -> None:
    """Runs every step whose dependencies allow it; raises StepError for the first failure."""
    records = {record["id"]: record for record in batch["steps"]}
    failures: dict[str, Step] = {}
    try:
        for step in plan.steps:
            _run_step(workspace, batch, step, records[step.id], failures)
            if step.id in failures and step.on_failure == "rollback":
                roll_back(workspace, batch)
                break
    finally:
        for record in batch["steps"]:
            if record["status"] in ("pending", "running"):
                record["status"] = "cancelled"
    if failures:
        _raise_failed(batch, records[next(iter(failures))])
    batch["status"] = "completed"


def roll_back(workspace: Workspace, batch: Batch) -> None:
    """Takes back completed steps, the last one first; stops at the first that cannot be."""
    for record in reversed(batch["steps"]):
        if record["status"] == "completed":
            _take_back(workspace, batch, record)
    batch["status"] = "rolled_back"


def _run_step(
    workspace: Workspace,
    batch: Batch,
    step: Step,
    record: StepRecord,
    failures: dict[str, Step],
) -> None:
    """Runs one step and enters it in `failures`, unless the batch is to continue over it."""
    blocker = next((id for id in step.depends_on if id in failures), None)
    if blocker:
        error = f"It depends on step '{blocker}', which failed."
        record.update({"status": "failed", "error": error})
    else:
        _attempt(workspace, batch, step, record)
    tell(f"Step '{step.id}' ({step.kind}) {record['status']}.")
    if record["status"] == "failed" and step.on_failure != "continue":
        failures[step.id] = step


def _attempt(workspace: Workspace, batch: Batch, step: Step, record: StepRecord) -> None:
    pause = step.retry.delay_seconds
    for attempt in range(1, step.retry.max_attempts + 1):
        if attempt > 1:
            tell(f"Step '{step.id}' failed: {record['error']} Again in {pause:g} seconds.")
            with interruptible():
                time.sleep(pause)
            pause *= step.retry.backoff
        record.update({"status": "running", "attempts": attempt})
        _save(workspace, batch)
        _try(workspace, step, record)
        _save(workspace, batch)
        if record["status"] == "completed":
            return


def _try(workspace: Workspace, step: Step, record: StepRecord) -> None:
    try:
        with time_limit(step.timeout_seconds):
            answer = step.request.perform(workspace, check=False)
    except (CliError, OSError, TimedOut) as error:
        record.update(
            {"status": "failed", "exit_code": exit_code_of(error), "error": sentence_of(error)}
        )
    else:
        undo = _undo(step.kind, answer)
        record.update({"status": "completed", "exit_code": 0, "error": None, "undo": undo})


def _undo(kind: str, answer: Answer) -> Undo | None:
    """The inverse of a creation. What was deleted cannot be brought back."""
    noun, _, verb = kind.partition("_")
    if verb != "create" or not isinstance(answer, Mapping):
        return None
    params = {key: answer[key] for key in UNDO_PARAMS[noun]}
    return {"kind": f"{noun}_delete", "params": params}


def _take_back(workspace: Workspace, batch: Batch, record: StepRecord) -> None:
    if record["undo"] is None:
        tell(f"Step '{record['id']}' ({record['kind']}) cannot be taken back.")
        return
    try:
        kinds.read(record["undo"]["kind"], record["undo"]["params"]).perform(workspace, check=False)
    except NotFoundError:
        tell(f"What step '{record['id']}' made is gone already.")
    except (CliError, OSError) as error:
        batch["status"] = "rollback_failed"
        sentence = f"Step '{record['id']}' could not be taken back: {sentence_of(error)}"
        raise StepError(sentence, exit_code_of(error)) from None
    record["status"] = "rolled_back"
    tell(f"Step '{record['id']}' ({record['kind']}) rolled back.")
    _save(workspace, batch)


def _raise_failed(batch: Batch, record: StepRecord) -> None:
    if batch["status"] == "running":
        batch["status"] = "failed"
    what = f"Batch {batch['id']} failed at step '{record['id']}' ({record['kind']})"
    raise StepError(f"{what}: {record['error']}", record["exit_code"])


def _save(workspace: Workspace, batch: Batch) -> None:
    with workspace.locked():
        batches.save(workspace, batch)
