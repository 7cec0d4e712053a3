"""`batch submit|status|list|cancel|rollback`, and `workflow list|status` for the same records."""

from __future__ import annotations

import time
from typing import NamedTuple

from operations.localcli import batches, journal, names, params, processes
from operations.localcli.batch_plan import Plan, Step, read_plan
from operations.localcli.batch_run import at_work, roll_back, run_steps
from operations.localcli.batches import Batch, StepRecord
from operations.localcli.clock import now
from operations.localcli.errors import CliError, ConflictError
from operations.localcli.identity import new_id
from operations.localcli.params import Params, needed
from operations.localcli.processes import GRACE_SECONDS
from operations.localcli.progress import tell
from operations.localcli.request import Answer, Reader, checked
from operations.localcli.stopping import interruptible
from operations.localcli.workspace import Workspace

# The batch gives its scripts GRACE_SECONDS to obey TERM, and as long again to vanish after KILL.
CANCEL_SECONDS = 2 * GRACE_SECONDS + 5
POLL_SECONDS = 0.05


class SubmitBatch(NamedTuple):
    """Runs the steps of a batch file in the foreground."""

    plan: Plan

    @classmethod
    def read(cls, given: Params) -> SubmitBatch:
        return cls(read_plan(needed(params.only(given, "document"), "document", params.mapping)))

    def perform(self, workspace: Workspace, *, check: bool) -> Answer:
        if check or self.plan.is_check:
            order = ", ".join(step.id for step in self.plan.steps)
            nothing_yet = {**batches.result(self._new_batch()), "id": None, "created_at": None}
            return checked(nothing_yet, f"would run the steps {order}.")
        with at_work(workspace, "submit", self._new_batch) as batch:
            tell(f"Batch {batch['id']} begins.")
            run_steps(workspace, self.plan, batch)
        return batches.result(batch)

    def _new_batch(self) -> Batch:
        return {
            "id": new_id("bat"),
            "name": self.plan.name,
            "status": "pending",
            "created_at": now(),
            "finished_at": None,
            "steps": [_step_record(step) for step in self.plan.steps],
            "runner": None,
        }


class BatchStatus(NamedTuple):
    batch_id: str

    @classmethod
    def read(cls, given: Params) -> BatchStatus:
        return cls(_only_id(given))

    def perform(self, workspace: Workspace, *, check: bool) -> Answer:
        return batches.result(batches.get(workspace, self.batch_id))


class ListBatches(NamedTuple):
    @classmethod
    def read(cls, given: Params) -> ListBatches:
        params.only(given)
        return cls()

    def perform(self, workspace: Workspace, *, check: bool) -> Answer:
        return [batches.result(batch) for batch in batches.find_all(workspace)]


class CancelBatch(NamedTuple):
    """Sends TERM to the process of a running batch and waits until it has ended."""

    batch_id: str

    @classmethod
    def read(cls, given: Params) -> CancelBatch:
        return cls(_only_id(given))

    def perform(self, workspace: Workspace, *, check: bool) -> Answer:
        batch = batches.get(workspace, self.batch_id)
        runner = batch["runner"]
        if runner is None:
            raise ConflictError(f"Batch '{self.batch_id}' has ended already: {batch['status']}.")
        if check:
            return checked(batches.result(batch), f"would stop batch '{self.batch_id}'.")
        with workspace.locked(), journal.recorded(workspace, self._entry()):
            processes.terminate(runner)
        self._wait_for(runner)
        ended = batches.get(workspace, self.batch_id)
        if ended["status"] == "completed":
            raise ConflictError(f"Batch '{self.batch_id}' completed before it could be cancelled.")
        return batches.result(ended)

    def _entry(self) -> journal.Entry:
        return journal.Entry("cancel", "batch", self.batch_id)

    def _wait_for(self, runner: processes.Runner) -> None:
        deadline = time.monotonic() + CANCEL_SECONDS
        while processes.is_alive(runner):
            if time.monotonic() > deadline:
                raise CliError(f"Batch '{self.batch_id}' was told to stop, but is still running.")
            with interruptible():
                time.sleep(POLL_SECONDS)


class RollBackBatch(NamedTuple):
    """Takes back the completed steps of an ended batch; may be repeated after a failure."""

    batch_id: str

    @classmethod
    def read(cls, given: Params) -> RollBackBatch:
        return cls(_only_id(given))

    def perform(self, workspace: Workspace, *, check: bool) -> Answer:
        batch = self._ended_batch(workspace)
        if check:
            completed = [s["id"] for s in reversed(batch["steps"]) if s["status"] == "completed"]
            steps = ", ".join(completed) or "no steps"
            return checked(batches.result(batch), f"would take back {steps}.")
        with at_work(workspace, "rollback", lambda: self._ended_batch(workspace)) as batch:
            roll_back(workspace, batch)
        return batches.result(batch)

    def _ended_batch(self, workspace: Workspace) -> Batch:
        batch = batches.get(workspace, self.batch_id)
        if batches.is_running(batch):
            raise ConflictError(f"Batch '{self.batch_id}' is still running: cancel it first.")
        if batch["status"] == "rolled_back":
            raise ConflictError(f"Batch '{self.batch_id}' was rolled back already.")
        return batch


READERS: dict[str, Reader] = {
    "batch_submit": SubmitBatch.read,
    "batch_status": BatchStatus.read,
    "batch_list": ListBatches.read,
    "batch_cancel": CancelBatch.read,
    "batch_rollback": RollBackBatch.read,
    "workflow_status": BatchStatus.read,
    "workflow_list": ListBatches.read,
}


def _only_id(given: Params) -> str:
    return needed(params.only(given, "id"), "id", names.name)


def _step_record(step: Step) -> StepRecord:
    return {
        "id": step.id,
        "kind": step.kind,
        "status": "pending",
        "attempts": 0,
        "exit_code": None,
        "error": None,
        "undo": None,
    }
