"""Names of audit events of operations: `noun.verb-past`."""

from __future__ import annotations

from enum import StrEnum


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
