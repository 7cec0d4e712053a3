"""From pending to the end: claim, adopt, finish, cancel. Each is one conditional UPDATE."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from accounts.actor import Actor
from operations import wake
from operations.commands import Kind
from operations.events import Event
from operations.models import Operation, Runner
from operations.services import drain, locking, workflows
from operations.services.ending import End, Ending, ask_to_cancel, end, end_all, record
from provisioning.errors import Conflict
from provisioning.statements import Prepared

Status = Operation.Status
Reason = Operation.Reason


# --- Claim -------------------------------------------------------------------------------------


def claimable(now: datetime | None = None) -> QuerySet[Operation]:
    """What a runner may start now, oldest first."""
    now = now or timezone.now()
    return (
        Operation.objects.filter(
            locking.startable(now), status=Status.PENDING, is_ready=True, eligible_at__lte=now
        )
        .exclude(kind=Kind.WORKFLOW)
        .order_by("id")
    )


def running() -> QuerySet[Operation]:
    """What counts against the limit."""
    return Operation.objects.filter(status=Status.RUNNING).exclude(kind=Kind.WORKFLOW)


def count_running() -> int:
    """How many `running` has, for every claim: Django makes a count at six times the cost."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM operations_operation WHERE status = %s AND kind <> %s",
            [Status.RUNNING.value, Kind.WORKFLOW.value],
        )
        return int(cursor.fetchone()[0])


def claim_operations(*, runner: Runner, only: Operation | None = None) -> list[Operation]:
    """Take as many as there is room for, first come first served; they are running now.

    `only` claims this one or nothing. The limit counts every host of the database.
    """
    with transaction.atomic():
        drain.take_claim_lock()
        if drain.find():
            return []
        room = settings.MAX_CONCURRENT_OPERATIONS - count_running()
        if room <= 0:
            return []
        if only is None:
            operations = _oldest(room)(timezone.now())
        else:
            operations = list(claimable().filter(pk=only.pk).select_for_update(skip_locked=True))
        if operations:
            _take(operations, runner)
    # Apart from the claim: who holds a step must not wait for its workflow (see workflows.lock).
    if workflow_ids := {op.workflow_id for op in operations if op.workflow_id}:
        workflows.note_started(workflow_ids)
    return operations


@functools.lru_cache(64)
def _oldest(room: int) -> Prepared[Operation]:
    some_time = datetime(9000, 1, 1, tzinfo=UTC)
    return Prepared(claimable(some_time).select_for_update(skip_locked=True)[:room], some_time)


def _take(operations: Sequence[Operation], runner: Runner) -> None:
    now = timezone.now()
    Operation.objects.filter(pk__in=[operation.pk for operation in operations]).update(
        status=Status.RUNNING,
        started_at=now,
        updated_at=now,
        fencing_token=F("fencing_token") + 1,
        runner=runner.pk,
        host_id=runner.host_id,
        boot_id=runner.boot_id,
    )
    for operation in operations:
        operation.status = Status.RUNNING
        operation.started_at = now
        operation.fencing_token += 1
        operation.boot_id = runner.boot_id
    record(
        [
            (Event.OPERATION_STARTED, operation, {"attempt": operation.attempt})
            for operation in operations
        ]
    )


def adoptable(*, host_id: str, only: Operation | None = None) -> QuerySet[Operation]:
    """Running operations of this host (or `only` this one) whose runner is gone."""
    alive = Runner.objects.filter(
        heartbeat_at__gt=timezone.now() - Runner.LEASE, host_id=host_id
    ).values("pk")
    rows = running().filter(host_id=host_id).exclude(runner__in=alive)
    return rows if only is None else rows.filter(pk=only.pk)


def adopt_operation(*, operation: Operation, runner: Runner) -> bool:
    """Take over a running operation from a runner that is gone; False when somebody else did."""
    with transaction.atomic():
        won = Operation.objects.filter(
            pk=operation.pk, status=Status.RUNNING, fencing_token=operation.fencing_token
        ).update(fencing_token=F("fencing_token") + 1, runner=runner.pk, updated_at=timezone.now())
        if won:
            operation.fencing_token += 1
            record([(Event.OPERATION_ADOPTED, operation, {})])
    return bool(won)


# --- End ---------------------------------------------------------------------------------------


def finish_operation(*, operation: Operation, token: int, ending: Ending) -> bool:
    """`finish_operations` of one."""
    return bool(finish_operations([End(operation, token, ending)]))


def finish_operations(ends: Sequence[End]) -> list[Operation]:
    """The runner's last word on operations: those whose lease was not another's by now. They are no
    steps, or it is one alone, because who holds one workflow must not wait for another.

    One transaction: the rows, the audit events, the tallies, the inventory, the workflow's next step.
    """
    workflow_id = ends[0].operation.workflow_id
    with transaction.atomic():
        workflows.lock(workflow_id)
        won = end_all(ends, Status.RUNNING)
        if won:
            workflows.advance(workflow_id)
            wake.send()
    return won


# --- Cancel ------------------------------------------------------------------------------------


def cancel_operation(
    *, operation: Operation, actor: Actor, reason: str = Reason.CANCELLED_BY_USER
) -> Operation:
    """Stop it: at once while it waits, else by asking its runner to end the whole process group.

    Asking twice changes nothing. Raises Conflict when it has ended. Of a cancel that meets a claim or
    an end, one wins, and the answer tells which.
    """
    if operation.kind == Kind.WORKFLOW:
        return workflows.cancel(operation.pk, actor)
    with transaction.atomic():
        workflows.lock(operation.workflow_id)
        ending = Ending(Status.CANCELLED, reason, error="It was cancelled before it started.")
        if end(operation, ending, leaving=Status.PENDING, actor=actor):
            workflows.advance(operation.workflow_id)
        elif not ask_to_cancel(operation, actor):
            operation.refresh_from_db()
            raise Conflict(f"The operation has already ended: it is {operation.status}.")
        wake.send()
    operation.refresh_from_db()
    return operation


def cancel_requested(runner: Runner) -> set[Any]:
    """The ids of this runner's operations that somebody wants stopped."""
    return set(
        Operation.objects.filter(
            Q(runner=runner.pk), ~Q(cancel_requested_at=None), status=Status.RUNNING
        ).values_list("pk", flat=True)
    )
