"""The end of an operation: one conditional UPDATE with all that hangs on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import F, QuerySet
from django.utils import timezone

from accounts import audit
from accounts.actor import SYSTEM, Actor
from operations import inventory
from operations.events import Event
from operations.models import Operation, OperationTally
from operations.models.operation import subject_of

Status = Operation.Status


@dataclass(frozen=True)
class Ending:
    """How an operation ended."""

    status: str
    reason: str | None = None
    exit_code: int | None = None
    result: dict[str, Any] | None = None
    error: str | None = None
    argv: list[str] | None = None  # as it was called, its secrets covered; None where it was not


EVENTS = {
    Status.COMPLETED: Event.OPERATION_COMPLETED,
    Status.FAILED: Event.OPERATION_FAILED,
    Status.CANCELLED: Event.OPERATION_CANCELLED,
}


def end(
    row: QuerySet[Operation], operation: Operation, ending: Ending, actor: Actor = SYSTEM
) -> bool:
    """Move a row to its end: audit event, tally, inventory. False when it was not there any more.

    `row` selects the operation in the status that is left (and, for a runner, under its token). Called
    within the transaction of the act; the caller goes on with the workflow.
    """
    now = timezone.now()
    values: dict[str, Any] = {
        "status": ending.status,
        "reason": ending.reason,
        "exit_code": ending.exit_code,
        "result": ending.result,
        "error": ending.error,
        "finished_at": now,
        "updated_at": now,
    }
    if ending.argv is not None:
        values["argv"] = ending.argv
    if not operation.subject and ending.result:
        values["subject"] = subject_of(ending.result)
    if not row.update(**values):
        return False
    for name, value in values.items():
        setattr(operation, name, value)
    record(
        EVENTS[Status(ending.status)],
        operation,
        {"reason": ending.reason, "exit_code": ending.exit_code},
        actor,
    )
    _tally(operation)
    inventory.apply_result(operation)
    return True


def record(
    event: Event, operation: Operation, data: dict[str, Any], actor: Actor | None = None
) -> None:
    """The server itself acts; the request id leads back to who asked for it."""
    who = (
        actor if actor and actor is not SYSTEM else Actor("system", request_id=operation.request_id)
    )
    audit.record(
        event,
        actor=who,
        target=operation,
        workspace=operation.workspace_name,
        outcome=audit.Outcome.FAILED if event is Event.OPERATION_FAILED else audit.Outcome.SUCCESS,
        data={"kind": operation.kind} | data,
    )


def _tally(operation: Operation) -> None:
    began = operation.started_at or operation.finished_at
    assert began and operation.finished_at
    seconds = max((operation.finished_at - began).total_seconds(), 0.0)
    key: dict[str, Any] = {"kind": operation.kind, "status": operation.status}
    OperationTally.objects.get_or_create(**key)
    buckets = {
        f"le_{limit}": F(f"le_{limit}") + 1 for limit in OperationTally.BUCKETS if seconds <= limit
    }
    OperationTally.objects.filter(**key).update(
        count=F("count") + 1, seconds=F("seconds") + seconds, **buckets
    )


def ask_to_cancel(operation: Operation, actor: Actor) -> bool:
    """Note the wish on a running operation; its runner does the rest. Asking twice changes nothing.
    False when it does not run."""
    now = timezone.now()
    still_running = Operation.objects.filter(pk=operation.pk, status=Status.RUNNING)
    if still_running.filter(cancel_requested_at=None).update(
        cancel_requested_at=now, updated_at=now
    ):
        audit.record(
            Event.OPERATION_CANCEL_REQUESTED,
            actor=actor,
            target=operation,
            workspace=operation.workspace_name,
            data={"kind": operation.kind},
        )
        return True
    return still_running.exists()
