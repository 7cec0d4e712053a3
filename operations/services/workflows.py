"""Workflows in the database: submit, advance after each end, cancel.

The workflow's row is locked while it is advanced, so two steps that end at once are seen in turn.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts import audit
from accounts.actor import Actor
from accounts.models import Workspace
from operations import wake
from operations.commands import Kind
from operations.events import Event
from operations.locks import lock_of
from operations.models import Operation
from operations.services import drain, locking
from operations.services.ending import Ending, ask_to_cancel, end
from operations.services.submit import check_params, record_submitted, submit_operation
from operations.workflow import (
    INVERSE,
    Decision,
    Definition,
    End,
    Run,
    Skip,
    Start,
    Step,
    StopRunning,
    TryAgain,
    Undo,
    WorkflowError,
    decide,
    latest_runs,
    read_definition,
)
from provisioning.errors import Conflict, Invalid

Status = Operation.Status
Reason = Operation.Reason
OPEN = (Status.PENDING, Status.RUNNING)


def submit_workflow(
    *,
    actor: Actor,
    workspace: Workspace,
    body: Mapping[str, Any],
    rerun_of: Operation | None = None,
) -> Operation:
    """Accept a whole graph at once: its row, one waiting operation per step, the first steps ready.

    Raises Invalid naming the step, Conflict where the workspace takes no such work now, and
    Unavailable while the system is drained.
    """
    check_mode = bool(body.get("check_mode"))
    definition = check_definition(workspace.name, body)
    locks = {lock_of(step.kind, step.params, check_mode=check_mode) for step in definition.steps}
    with transaction.atomic():
        drain.refuse_new()
        locking.admit(workspace=workspace, actor=actor, locks=locks, check_mode=check_mode)
        workflow = Operation.objects.create(
            kind=Kind.WORKFLOW,
            workspace=workspace,
            workspace_name=workspace.name,
            params={key: body[key] for key in ("name", "steps", "parallel_limit") if key in body},
            check_mode=check_mode,
            rerun_of=rerun_of,
            requested_by=actor.user,
            requested_by_name=actor.name,
            request_id=actor.request_id,
            timeout_seconds=0,
        )
        record_submitted(workflow, actor)
        for step in definition.steps:
            _submit_step(workflow, actor, step.kind, step.params, step.timeout_seconds, step.id)
        advance(workflow.pk)
        wake.send()
    workflow.refresh_from_db()
    return workflow


def check_definition(workspace: str, body: Mapping[str, Any]) -> Definition:
    """The graph of a body whose shapes were checked. Raises Invalid naming what no workflow can have."""
    try:
        definition = read_definition(body)
    except WorkflowError as error:
        raise Invalid(error.rule, field=error.field) from None
    for index, step in enumerate(definition.steps):
        try:
            check_params(step.kind, workspace, step.params, check_mode=bool(body.get("check_mode")))
        except Invalid as error:
            raise Invalid(error.message, field=f"steps[{index}].params") from None
    return definition


def _submit_step(
    workflow: Operation,
    actor: Actor,
    kind: str,
    params: Mapping[str, Any],
    timeout_seconds: int | None,
    step_id: str,
    **fields: Any,
) -> Operation:
    assert workflow.workspace
    return submit_operation(
        actor=actor,
        kind=Kind(kind),
        workspace=workflow.workspace,
        params=params,
        check_mode=workflow.check_mode,
        timeout_seconds=timeout_seconds,
        **{"workflow": workflow, "step_id": step_id, "is_ready": False} | fields,
    )


def definition_of(workflow: Operation) -> Definition:
    return read_definition(workflow.params)


def runs_of(workflow: Operation) -> list[Run]:
    """The workflow's operations as `operations.workflow` wants them."""
    return [
        Run(
            operation=row["pk"],
            step_id=row["step_id"],
            status=row["status"],
            attempt=row["attempt"],
            is_ready=row["is_ready"],
            is_rollback=row["is_rollback"],
            reason=row["reason"],
            order=row["finished_at"].timestamp() if row["finished_at"] else 0.0,
        )
        for row in Operation.objects.filter(workflow=workflow)
        .order_by("id")
        .values(
            "pk", "step_id", "status", "attempt", "is_ready", "is_rollback", "reason", "finished_at"
        )
    ]


def advance(workflow_id: uuid.UUID | None) -> None:
    """Do what follows from the present state of the steps, until nothing does.

    Called within the transaction of whatever changed a step; does nothing without a workflow.
    """
    if workflow_id is None:
        return
    note_started([workflow_id])
    workflow = Operation.objects.select_for_update().get(pk=workflow_id)
    definition = definition_of(workflow)
    while workflow.status in OPEN:
        decisions = decide(
            definition,
            runs_of(workflow),
            is_cancelled=workflow.cancel_requested_at is not None,
        )
        changed = [_apply(workflow, definition, decision) for decision in decisions]
        if not any(changed):
            return


def _apply(workflow: Operation, definition: Definition, decision: Decision) -> bool:
    """Carry out one decision; False when it changed nothing that calls for another look."""
    match decision:
        case Start(run):
            Operation.objects.filter(pk=run.operation).update(is_ready=True)
        case Skip(run, is_cancelled):
            _skip(run, is_cancelled=is_cancelled)
        case StopRunning(run):
            ask_to_cancel(Operation.objects.get(pk=run.operation), _actor_of(workflow))
            return False
        case TryAgain(step, attempt, delay):
            _submit_step(
                workflow,
                _actor_of(workflow),
                step.kind,
                step.params,
                step.timeout_seconds,
                step.id,
                attempt=attempt,
                eligible_at=timezone.now() + timedelta(seconds=delay),
            )
        case Undo(step, run):
            _undo(workflow, step, run)
        case End(status, failed_step):
            _end_workflow(workflow, definition, status, failed_step)
    return True


def _undo(workflow: Operation, step: Step, run: Run) -> None:
    """Submit the inverse; one that no command line can be made of fails at once, because an exception
    here would keep the step that ended from ever being recorded."""
    done = Operation.objects.get(pk=run.operation)
    params = undo_params(step.kind, step.params, done.result)
    fields: dict[str, Any] = {"is_rollback": True, "is_ready": True}
    try:
        check_params(INVERSE[step.kind], workflow.workspace_name, params)
    except Invalid as error:
        operation = Operation.objects.create(
            kind=INVERSE[step.kind],
            workspace=workflow.workspace,
            workspace_name=workflow.workspace_name,
            params=params,
            requested_by=workflow.requested_by,
            requested_by_name=workflow.requested_by_name,
            request_id=workflow.request_id,
            timeout_seconds=0,
            workflow=workflow,
            step_id=step.id,
            **fields,
        )
        record_submitted(operation, _actor_of(workflow))
        sentence = f"It cannot be undone: {error.message}"
        ending = Ending(Status.FAILED, Reason.SPAWN_FAILED, error=sentence)
        end(operation, ending, leaving=Status.PENDING)
        return
    _submit_step(
        workflow,
        _actor_of(workflow),
        INVERSE[step.kind],
        params,
        step.timeout_seconds,
        step.id,
        **fields,
    )


def _actor_of(workflow: Operation) -> Actor:
    return Actor(
        name=workflow.requested_by_name,
        user=workflow.requested_by,
        request_id=workflow.request_id,
    )


def _skip(run: Run, *, is_cancelled: bool) -> None:
    ending = (
        Ending(Status.CANCELLED, Reason.WORKFLOW_CANCELLED, error="Its workflow was cancelled.")
        if is_cancelled
        else Ending(
            Status.FAILED,
            Reason.DEPENDENCY_FAILED,
            error="It was not started, because a step that it depends on failed.",
        )
    )
    operation = Operation.objects.get(pk=run.operation)
    end(operation, ending, leaving=Status.PENDING)


def undo_params(
    kind: str, params: Mapping[str, Any], result: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What the inverse needs: the name that the CLI gave, else the one that was asked for."""
    name = "hostname" if kind == "server_create" else "name"
    wanted = {name: (result or {}).get(name) or params.get(name)}
    if kind == "taskserv_create" and params.get("server"):
        wanted["server"] = params["server"]
    return wanted


def _end_workflow(
    workflow: Operation, definition: Definition, status: str, failed_step: str | None
) -> None:
    latest = latest_runs(runs_of(workflow))
    error: str | None = None
    reason: str | None = None
    if status == Status.CANCELLED:
        reason, error = Reason.CANCELLED_BY_USER, "The workflow was cancelled."
    elif failed_step:
        step = Operation.objects.get(pk=latest[failed_step].operation)
        reason = step.reason
        error = f"Step {failed_step!r} {step.status}: {step.error or step.reason}"
    ending = Ending(
        status,
        reason,
        result={"steps": {step.id: latest[step.id].status for step in definition.steps}},
        error=error,
    )
    end(workflow, ending, leaving=workflow.status)


def lock(workflow_id: uuid.UUID | None) -> None:
    """Take the workflow's row before any of its steps': everybody who needs both takes them in this
    order, so no two wait for each other. Called within a transaction."""
    if workflow_id is not None:
        Operation.objects.select_for_update().filter(pk=workflow_id).first()


def note_started(workflow_ids: Iterable[uuid.UUID | None]) -> None:
    """A workflow runs from the first of its steps on."""
    now = timezone.now()
    begun = Operation.objects.filter(
        workflow__in=[key for key in workflow_ids if key], started_at__isnull=False
    )
    Operation.objects.filter(pk__in=begun.values("workflow"), status=Status.PENDING).update(
        status=Status.RUNNING, started_at=now, updated_at=now
    )


def cancel(workflow_id: uuid.UUID, actor: Actor) -> Operation:
    """Cancel the waiting steps, ask for the end of the running ones; the workflow ends with the last.

    Raises Conflict when it has ended.
    """
    with transaction.atomic():
        workflow = Operation.objects.select_for_update().get(pk=workflow_id)
        if workflow.is_final:
            raise Conflict(f"The workflow has already ended: it is {workflow.status}.")
        if workflow.cancel_requested_at is None:
            _note_cancel(workflow, actor)
        advance(workflow.pk)
        wake.send()
    workflow.refresh_from_db()
    return workflow


def _note_cancel(workflow: Operation, actor: Actor) -> None:
    now = timezone.now()
    workflow.cancel_requested_at = workflow.updated_at = now
    workflow.save(update_fields=["cancel_requested_at", "updated_at"])
    audit.record(
        Event.OPERATION_CANCEL_REQUESTED,
        actor=actor,
        target=workflow,
        workspace=workflow.workspace_name,
        data={"kind": workflow.kind},
    )
