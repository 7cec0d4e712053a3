"""The end of operations: one conditional UPDATE with all that hangs on it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import add
from typing import Any, NamedTuple

from django.db import connection
from django.utils import timezone

from accounts import audit
from accounts.actor import SYSTEM, Actor
from operations import inventory
from operations.events import Event
from operations.models import Operation, OperationTally
from operations.models.operation import subject_of
from provisioning.statements import Statement, instant, key

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


class End(NamedTuple):
    """An operation, the lease by which it is ended, and how it ended."""

    operation: Operation
    token: int
    ending: Ending


OPERATIONS, TALLIES = Operation._meta.db_table, OperationTally._meta.db_table
LIMITS = [f"le_{limit}" for limit in OperationTally.BUCKETS]
COUNTS = ["count", "seconds", *LIMITS]

_END = Statement(
    f"UPDATE {OPERATIONS} SET status = column4, reason = column5, exit_code = column6, "  # noqa: S608
    "result = column7, error = column8, argv = COALESCE(column9, argv), "
    "subject = COALESCE(NULLIF(subject, ''), column10), finished_at = column11, updated_at = column11 "
    "FROM {rows} WHERE id = column1 AND status = column2 AND fencing_token = column3 RETURNING id",
    *("uuid", "text", "bigint", "text", "text", "bigint", "jsonb", "text", "jsonb", "text"),
    "timestamptz",
)
# Always in the order of their keys, so that no two transactions wait for each other's rows.
_TALLY = Statement(
    f"INSERT INTO {TALLIES} (kind, status, {', '.join(COUNTS)}) SELECT * FROM {{rows}} WHERE true "  # noqa: S608
    "ON CONFLICT (kind, status) DO UPDATE SET "
    + ", ".join(f"{name} = {TALLIES}.{name} + excluded.{name}" for name in COUNTS),
    *("text", "text", "bigint", "double precision", *["bigint"] * len(LIMITS)),
)


def end(operation: Operation, ending: Ending, *, leaving: str, actor: Actor = SYSTEM) -> bool:
    """`end_all` of one, under the lease that it was read with."""
    return bool(end_all([End(operation, operation.fencing_token, ending)], leaving, actor))


def end_all(ends: Sequence[End], leaving: str, actor: Actor = SYSTEM) -> list[Operation]:
    """Move operations from the status `leaving` to their ends: audit events, tallies, inventory.

    Those that it moved: not who has left that status, or is under another lease by now. Called within
    the transaction of the act; the caller goes on with their workflows.
    """
    now = timezone.now()
    rows = [_row_of(one, leaving, now) for one in ends]
    with connection.wrap_database_errors:
        found = {uuid.UUID(str(row[0])) for row in _END.execute_for(connection.connection, rows)()}
    won = [one for one in ends if one.operation.pk in found]
    if not won:
        return []
    for one in won:
        _note(one, now)
    operations = [one.operation for one in won]
    record(
        [
            (
                EVENTS[Status(operation.status)],
                operation,
                {"reason": operation.reason, "exit_code": operation.exit_code},
            )
            for operation in operations
        ],
        actor,
    )
    _tally(operations)
    inventory.apply_results(operations)
    return operations


def _row_of(one: End, leaving: str, now: datetime) -> list[Any]:
    operation, token, ending = one
    return [
        *(key(operation.pk), str(leaving), token),
        *(str(ending.status), ending.reason and str(ending.reason), ending.exit_code),
        *(_json(ending.result), ending.error, _json(ending.argv)),
        *(subject_of(ending.result or {}), instant(now)),
    ]


def _json(value: Any) -> str | None:
    # Not orjson, which writes no integer of more than 64 bits.
    return None if value is None else json.dumps(value)


def _note(one: End, now: datetime) -> None:
    """What the row says now."""
    operation, _, ending = one
    operation.subject = operation.subject or subject_of(ending.result or {})
    operation.status, operation.reason = ending.status, ending.reason
    operation.exit_code, operation.result = ending.exit_code, ending.result
    operation.error, operation.argv = ending.error, ending.argv or operation.argv
    operation.finished_at = operation.updated_at = now


Happened = tuple[Event, Operation, dict[str, Any]]


def record(events: Sequence[Happened], actor: Actor = SYSTEM) -> None:
    """The server itself acts; the request id leads back to who asked for it."""
    rows = []
    for event, operation, data in events:
        row = audit.row_of(
            event,
            actor=Actor("system", request_id=operation.request_id) if actor is SYSTEM else actor,
            target=audit.target_of(operation),
            outcome=audit.Outcome.FAILED
            if event is Event.OPERATION_FAILED
            else audit.Outcome.SUCCESS,
            data={"kind": operation.kind} | data,
        )
        rows.append(row | {"workspace": operation.workspace_name})
    with connection.wrap_database_errors:
        audit.write(connection.connection, rows)


def _tally(operations: Sequence[Operation]) -> None:
    counts: dict[tuple[str, str], list[float]] = {}
    for operation in operations:
        name = operation.kind, str(operation.status)
        known = counts.get(name, [0] * len(COUNTS))
        counts[name] = list(map(add, known, _counts_of(operation)))
    rows = [[*name, *count] for name, count in sorted(counts.items())]
    with connection.wrap_database_errors:
        _TALLY.execute_for(connection.connection, rows)


def _counts_of(operation: Operation) -> list[float]:
    """One operation's, as COUNTS are."""
    began = operation.started_at or operation.finished_at
    assert began
    assert operation.finished_at
    seconds = max((operation.finished_at - began).total_seconds(), 0.0)
    return [1, seconds, *(int(seconds <= limit) for limit in OperationTally.BUCKETS)]


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
