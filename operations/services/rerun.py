"""Once more what an ended operation did."""

from __future__ import annotations

from accounts.actor import Actor
from operations.commands import Kind
from operations.models import Operation
from operations.services.submit import submit_operation
from operations.services.workflows import submit_workflow
from provisioning.errors import Conflict


def rerun_operation(*, operation: Operation, actor: Actor) -> Operation:
    """A new operation with the recorded parameters, linked to this one; of a workflow the whole of it.

    Raises Conflict for one that has not ended, or whose workspace is gone.
    """
    if not operation.is_final:
        raise Conflict(f"The operation has not ended: it is {operation.status}.")
    workspace = operation.workspace
    if workspace is None:
        raise Conflict(f"The workspace {operation.workspace_name} is gone.")
    if operation.kind == Kind.WORKFLOW:
        body = {**operation.params, "check_mode": operation.check_mode}
        return submit_workflow(actor=actor, workspace=workspace, body=body, rerun_of=operation)
    return submit_operation(
        actor=actor,
        kind=Kind(operation.kind),
        workspace=workspace,
        params=operation.params,
        check_mode=operation.check_mode,
        timeout_seconds=operation.timeout_seconds,
        rerun_of=operation,
    )
