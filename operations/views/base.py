"""What the doors of operations share: the 202 of whatever launches something, list filters."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from rest_framework import status
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Workspace
from accounts.permissions import require, visible_workspace, within
from operations.models import Operation
from operations.serializers import OperationOut
from provisioning.api import ApiViewSet


def accepted(operation: Operation) -> Response:
    """202, where to follow it, and the operation."""
    return Response(
        OperationOut(operation).data,
        status=status.HTTP_202_ACCEPTED,
        headers={"Location": f"/v1/operations/{operation.pk}", "Retry-After": "1"},
    )


class WorkspaceScopedViewSet(ListModelMixin, RetrieveModelMixin, ApiViewSet):
    """Rows of workspaces: what the caller may not see is 404, what he may not do is 403.

    `read_permission` narrows every queryset; the permission of the action is asked again for the
    workspace of the row.
    """

    read_permission: ClassVar[str]

    def get_queryset(self) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset()
        return rows.filter(within(self.actor, self.read_permission))

    def get_object(self) -> Any:
        row = super().get_object()
        if row.workspace is not None:
            require(self.actor, self.required_permissions[self.action], row.workspace)
        return row

    def workspace_for(self, request: Request, name: str) -> Workspace:
        """The workspace of a body, in which the caller holds this action's permission."""
        workspace = visible_workspace(self.actor, name)
        require(self.actor, self.required_permissions[self.action], workspace)
        return workspace
