"""Request and response shapes of operations; they know no CLI words."""

from __future__ import annotations

from operations.serializers.inventory import (
    PARAMS,
    ClusterOut,
    CreateCluster,
    CreateServer,
    CreateTaskserv,
    ServerOut,
    TaskservOut,
)
from operations.serializers.lock import LockWorkspace, WorkspaceLockOut
from operations.serializers.operation import OperationOut, shown, shown_params
from operations.serializers.workflow import SubmitWorkflow, WorkflowOut, WorkflowStatusOut

__all__ = [
    "PARAMS",
    "ClusterOut",
    "CreateCluster",
    "CreateServer",
    "CreateTaskserv",
    "LockWorkspace",
    "OperationOut",
    "ServerOut",
    "SubmitWorkflow",
    "TaskservOut",
    "WorkflowOut",
    "WorkflowStatusOut",
    "WorkspaceLockOut",
    "shown",
    "shown_params",
]
