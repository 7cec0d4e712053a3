"""Names of audit events of operations: `noun.verb-past`."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from accounts.changes import data_of
from accounts.sentences import register_sentences

if TYPE_CHECKING:
    from accounts.models import AuditEvent


class Event(StrEnum):
    OPERATION_SUBMITTED = "operation.submitted"
    OPERATION_STARTED = "operation.started"
    OPERATION_ADOPTED = "operation.adopted"
    OPERATION_COMPLETED = "operation.completed"
    OPERATION_FAILED = "operation.failed"
    OPERATION_CANCELLED = "operation.cancelled"
    OPERATION_CANCEL_REQUESTED = "operation.cancel-requested"
    OPERATIONS_PRUNED = "operation.pruned"
    WORKSPACE_LOCKED = "workspace.locked"
    WORKSPACE_UNLOCKED = "workspace.unlocked"
    WORKSPACE_UNLOCK_FORCED = "workspace.unlock-forced"
    SYSTEM_DRAINED = "system.drained"
    SYSTEM_RESUMED = "system.resumed"
    INVENTORY_SYNCED = "inventory.synced"


def _submitted(event: AuditEvent) -> str:
    return "{actor} submitted {target}" + (
        " as a check" if data_of(event).get("check_mode") else ""
    )


def _locked(event: AuditEvent) -> str:
    return "{actor} locked {target}" + (" ({reason})" if data_of(event).get("reason") else "")


def _drained(event: AuditEvent) -> str:
    return "{actor} drained the system" + (": {reason}" if data_of(event).get("reason") else "")


register_sentences(
    {
        Event.OPERATION_SUBMITTED: _submitted,
        Event.OPERATION_STARTED: "{target} started",
        Event.OPERATION_ADOPTED: "{target} was adopted by another runner",
        Event.OPERATION_COMPLETED: "{target} completed",
        Event.OPERATION_FAILED: "{target} failed: {reason}",
        Event.OPERATION_CANCELLED: "{actor} cancelled {target}",
        Event.OPERATION_CANCEL_REQUESTED: "{actor} asked to cancel {target}",
        Event.OPERATIONS_PRUNED: "{actor} deleted old operations",
        Event.WORKSPACE_LOCKED: _locked,
        Event.WORKSPACE_UNLOCKED: "{actor} unlocked {target}",
        Event.WORKSPACE_UNLOCK_FORCED: "{actor} broke the lock of {holder} on {target}",
        Event.SYSTEM_DRAINED: _drained,
        Event.SYSTEM_RESUMED: "{actor} ended the drain of the system",
        Event.INVENTORY_SYNCED: "{actor} removed {removed} from the inventory of {target}",
    }
)
