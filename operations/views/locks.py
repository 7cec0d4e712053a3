"""`/v1/workspaces/{id}/lock`: keep a workspace for oneself."""

from __future__ import annotations

from typing import ClassVar

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Workspace
from accounts.permissions import require, within
from operations.serializers import LockWorkspace, WorkspaceLockOut
from operations.services import locking
from provisioning.api import ApiViewSet
from provisioning.errors import Invalid, NotFound


class WorkspaceLockViewSet(ApiViewSet):
    """At most one for a workspace; `{id}` is the workspace's number."""

    required_permissions: ClassVar[dict[str, str]] = {
        "retrieve": "workspace_read",
        "update": "workspace_lock",
        "destroy": "workspace_lock",
    }
    serializer_class = WorkspaceLockOut

    def workspace(self, pk: str) -> Workspace:
        """One that the caller may see, and in which he holds the permission of this action."""
        found = Workspace.objects.filter(within(self.actor, "workspace_read", "pk"), pk=pk).first()
        if found is None:
            raise NotFound("There is no such workspace.")
        require(self.actor, self.required_permissions[self.action], found)
        return found

    @extend_schema(summary="Who keeps a workspace", description="404 when nobody does.")
    def retrieve(self, request: Request, pk: str) -> Response:
        return Response(WorkspaceLockOut(locking.find_lock(self.workspace(pk))).data)

    @extend_schema(
        summary="Keep a workspace for oneself",
        description="Others are refused with 409, what they have queued waits, what runs goes on. "
        "409 when somebody else keeps it.",
        request=LockWorkspace,
        examples=[
            OpenApiExample(
                "A lock", value={"reason": "Moving racks until 18:00"}, request_only=True
            )
        ],
    )
    def update(self, request: Request, pk: str) -> Response:
        workspace = self.workspace(pk)
        body = self.read_body(LockWorkspace)
        lock = locking.lock_workspace(workspace=workspace, reason=body["reason"], actor=self.actor)
        return Response(WorkspaceLockOut(lock).data)

    @extend_schema(
        summary="Give a workspace back",
        parameters=[
            OpenApiParameter(
                "force",
                bool,
                description="Take away somebody else's lock; needs workspace_manage, and is recorded",
            )
        ],
        responses={204: None},
    )
    def destroy(self, request: Request, pk: str) -> Response:
        workspace = self.workspace(pk)
        force = read_flag(request, "force")
        if force:
            require(self.actor, "workspace_manage", workspace)
        locking.unlock_workspace(workspace=workspace, actor=self.actor, force=force)
        return Response(status=status.HTTP_204_NO_CONTENT)


def read_flag(request: Request, name: str) -> bool:
    value = request.query_params.get(name, "false")
    if value not in ("true", "false"):
        raise Invalid(f"{value!r} is neither true nor false", field=name)
    return value == "true"
