"""What the doors of operations share: the 202 of whatever launches something, list filters."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter
from rest_framework import status
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.actor import Actor
from accounts.models import Workspace
from accounts.permissions import require, visible_workspace, within
from operations.models import Operation
from operations.serializers import OperationOut
from operations.services import idempotency
from provisioning.api import ApiViewSet
from provisioning.errors import NotFound

Launch = Callable[[], Operation]

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="Your name for this request. Sent again with it, the request launches nothing: the answer "
    "is 200 with the first one's operation and `Idempotent-Replayed: true`; 409 if the request is "
    "another one. Kept for 7 days.",
)


def launching(prepare: Callable[..., Launch]) -> Callable[..., Response]:
    """For an action that checks the request and returns what launches it: 202 with the operation, and the
    caller's Idempotency-Key is kept."""

    @functools.wraps(prepare)
    def answer(view: WorkspaceScopedViewSet, request: Request, **kwargs: Any) -> Response:
        asked = asked_under_key(view, request)
        if asked is None:
            return accepted(prepare(view, request, **kwargs)())
        operation, is_replay = idempotency.earlier(asked), True
        if operation is None:
            launch = prepare(view, request, **kwargs)
            operation, is_replay = idempotency.launch_once(asked, launch)
        return replayed(operation, view.actor) if is_replay else accepted(operation)

    return answer


def asked_under_key(view: WorkspaceScopedViewSet, request: Request) -> idempotency.Request | None:
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    return idempotency.request_of(
        view.person, key, request.method or "", request.path, request.data
    )


def replayed(operation: Operation, actor: Actor) -> Response:
    """The operation as it stands, to whoever may still see it."""
    if not Operation.objects.filter(within(actor, "operation_read"), pk=operation.pk).exists():
        raise NotFound("The operation of this Idempotency-Key is not there any more.")
    return Response(
        OperationOut(operation).data,
        headers={"Location": f"/v1/operations/{operation.pk}", "Idempotent-Replayed": "true"},
    )


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
        permission = self.required_permissions[self.action]
        if permission != self.read_permission and row.workspace is not None:
            require(self.actor, permission, row.workspace)
        return row

    def workspace_for(self, request: Request, name: str) -> Workspace:
        """The workspace of a body, in which the caller holds this action's permission."""
        workspace = visible_workspace(self.actor, name)
        require(self.actor, self.required_permissions[self.action], workspace)
        return workspace
