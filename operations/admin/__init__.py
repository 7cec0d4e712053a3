"""Console pages of operations, the inventory, workers and locks; every act is the API's service."""

from __future__ import annotations

from operations.admin.inventory import ClusterAdmin, ServerAdmin, TaskservAdmin
from operations.admin.locks import WorkspaceLockAdmin
from operations.admin.operations import OperationAdmin
from operations.admin.workers import RunnerAdmin

__all__ = [
    "ClusterAdmin",
    "OperationAdmin",
    "RunnerAdmin",
    "ServerAdmin",
    "TaskservAdmin",
    "WorkspaceLockAdmin",
]
