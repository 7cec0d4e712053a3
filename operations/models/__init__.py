"""Tables of operations: the queue and its logs, the inventory, the runners."""

from __future__ import annotations

from operations.models.drain import Drain
from operations.models.idempotency import IdempotencyKey
from operations.models.inventory import Cluster, InventoryItem, Server, Taskserv
from operations.models.lock import WorkspaceLock
from operations.models.operation import Operation, OperationLog, OperationTally
from operations.models.runner import Runner

__all__ = [
    "Cluster",
    "Drain",
    "IdempotencyKey",
    "InventoryItem",
    "Operation",
    "OperationLog",
    "OperationTally",
    "Runner",
    "Server",
    "Taskserv",
    "WorkspaceLock",
]
