"""What the doors of operations share: the 202 of whatever launches something, list filters."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, OpenApiParameter
from rest_framework import status
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.actor import Actor
from accounts.models import Workspace
from accounts.permissions import require, visible_workspace, within
from operations import following
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
            return accepted(prepare(view, request, **kwargs)(), request)
        operation, is_replay = idempotency.earlier(asked), True
        if operation is None:
            launch = prepare(view, request, **kwargs)
            operation, is_replay = idempotency.launch_once(asked, launch)
        if is_replay:
            return replayed(operation, view.actor, request)
        return accepted(operation, request)

    return answer


def asked_under_key(view: WorkspaceScopedViewSet, request: Request) -> idempotency.Request | None:
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    return idempotency.request_of(
        view.person, key, request.method or "", request.path, request.data
    )


def replayed(operation: Operation, actor: Actor, request: Request) -> Response:
    """The operation as it stands, to whoever may still see it."""
    if not Operation.objects.filter(within(actor, "operation_read"), pk=operation.pk).exists():
        raise NotFound("The operation of this Idempotency-Key is not there any more.")
    applied = wait_as_preferred(operation, request)
    return Response(
        OperationOut(operation).data,
        headers={
            "Location": f"/v1/operations/{operation.pk}",
            "Idempotent-Replayed": "true",
            **applied,
        },
    )


PREFER_WAIT = re.compile(r"\s*wait\s*=\s*\"?(\d{1,9})\"?\s*(?:;.*)?", re.ASCII | re.IGNORECASE)
PREFER = OpenApiParameter(
    "Prefer",
    str,
    OpenApiParameter.HEADER,
    description="`wait=N` (RFC 7240): answer when it has ended, within N seconds (at most 55).",
    examples=[OpenApiExample("Wait for a minute or so", value="wait=55")],
)


def accepted(operation: Operation, request: Request) -> Response:
    """202, where to follow it, and the operation; 200 when the request prefers to wait and it ended
    meanwhile."""
    applied = wait_as_preferred(operation, request)
    response = as_it_stands(operation)
    for name, value in {"Location": f"/v1/operations/{operation.pk}", **applied}.items():
        response.headers[name] = value
    return response


def wait_as_preferred(operation: Operation, request: Request) -> dict[str, str]:
    """Wait for the end as `Prefer` says, and the header that says so; nothing of both when no place is
    free."""
    seconds = preferred_wait(request)
    if not seconds or not following.wait_for_end(operation.pk, seconds):
        return {}
    operation.refresh_from_db()
    return {"Preference-Applied": f"wait={seconds}"}


def as_it_stands(operation: Operation) -> Response:
    """200 when it has ended, else 202 and when to ask again."""
    if operation.is_final:
        return Response(OperationOut(operation).data)
    return Response(
        OperationOut(operation).data,
        status=status.HTTP_202_ACCEPTED,
        headers={"Retry-After": "1"},
    )


def preferred_wait(request: Request) -> int:
    """Seconds of `Prefer: wait=N`, at most 55; 0 without one. What cannot be read is ignored, as the
    RFC wants it."""
    for preference in request.META.get("HTTP_PREFER", "").split(","):
        if match := PREFER_WAIT.fullmatch(preference):
            return min(int(match[1]), following.MAX_WAIT_SECONDS)
    return 0


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
