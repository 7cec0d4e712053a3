"""`/v1/operations`."""

from __future__ import annotations

import re
import uuid
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.actor import Actor
from accounts.permissions import require
from operations.commands import KIND_CHOICES, Kind
from operations.models import Operation
from operations.rows import read_row, read_rows, written
from operations.serializers import OperationOut
from operations.services import lifecycle
from operations.services.rerun import rerun_operation
from operations.views.base import IDEMPOTENCY_KEY, PREFER, Launch, launching
from operations.views.following import FollowingViewSet
from operations.workflow import INVERSE
from provisioning.errors import Invalid

FILTERS = {
    "status": "status",
    "kind": "kind",
    "workspace": "workspace_name",
    "requested_by": "requested_by_name",
    "workflow": "workflow",
    "since": "created_at__gte",
    "until": "created_at__lt",
}
CHOICES = {
    "status": Operation.Status.values,
    "kind": [kind for kind, _ in KIND_CHOICES],
}
UUID_PATTERN = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"


def cancel_answer(operation: Operation) -> Response:
    """200 when it has ended with this, 202 while its processes are being stopped."""
    code = status.HTTP_200_OK if operation.is_final else status.HTTP_202_ACCEPTED
    return Response(OperationOut(operation).data, status=code)


class OperationViewSet(FollowingViewSet):
    """Every run of the CLI and every workflow, newest first."""

    required_permissions: ClassVar[dict[str, str]] = {
        "list": "operation_read",
        "retrieve": "operation_read",
        "log": "operation_read",
        "log_stream": "operation_read",
        "wait": "operation_read",
        "cancel": "operation_cancel",
        "rerun": "operation_rerun",
    }
    read_permission = "operation_read"
    serializer_class = OperationOut
    queryset = Operation.objects.select_related("workspace")
    lookup_value_regex = UUID_PATTERN
    filters: ClassVar[dict[str, str]] = FILTERS
    newest_first = True

    def filter_queryset(self, queryset: Any) -> Any:
        check_choices(self.request)
        return super().filter_queryset(queryset)

    def fetch(self, rows: Any) -> Any:
        return read_rows(rows)

    def retrieve(self, request: Request, pk: str) -> Response:
        row = read_row(uuid.UUID(pk))
        seen = self.actor.grants.workspaces_for(self.read_permission)
        if row is None or (seen is not None and row.workspace_id not in seen):
            raise Http404
        return Response(written(row))

    @extend_schema(parameters=[OpenApiParameter(name) for name in FILTERS])
    def list(self, request: Request) -> Response:
        return self.answer_page(lambda rows: [written(row) for row in rows])

    def get_queryset(self) -> QuerySet[Operation]:
        """Who only reads needs nothing of the workspaces but their names, which the rows have."""
        rows: QuerySet[Operation] = super().get_queryset()
        reads = self.required_permissions[self.action] == self.read_permission
        return rows.select_related(None) if reads else rows

    @extend_schema(
        summary="Stop an operation",
        description="At once while it waits; a running one is ended with all its processes. "
        "409 when it has ended.",
        request=None,
        responses={200: OperationOut, 202: OperationOut},
    )
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        operation = self.get_object()
        refuse_workflow(operation, self.actor)
        return cancel_answer(lifecycle.cancel_operation(operation=operation, actor=self.actor))

    @extend_schema(
        summary="Run an operation again",
        description="With its recorded parameters, as a new operation whose `rerun_of` is this one; of a "
        "workflow the whole of it. Also needs the permission of what it does. 409 until it has ended.",
        parameters=[IDEMPOTENCY_KEY, PREFER],
        request=None,
        responses={202: OperationOut, 200: OperationOut},
    )
    @action(detail=True, methods=["post"])
    @launching
    def rerun(self, request: Request, pk: str) -> Launch:
        operation = self.get_object()
        if operation.workspace is not None:
            for permission in permissions_of(operation):
                require(self.actor, permission, operation.workspace)
        return lambda: rerun_operation(operation=operation, actor=self.actor)


def permissions_of(operation: Operation) -> list[str]:
    """What launching it needs: a kind is named like its permission."""
    if operation.kind != Kind.WORKFLOW:
        return [operation.kind]
    return ["workflow_submit", *permissions_of_steps(operation.params["steps"])]


def permissions_of_steps(steps: list[dict[str, Any]]) -> list[str]:
    """What the steps need alone; a rollback runs the inverses too."""
    kinds = {step["kind"] for step in steps}
    if any(step.get("on_failure") == "rollback" for step in steps):
        kinds |= {INVERSE[kind] for kind in kinds if kind in INVERSE}
    return sorted(kinds)


def check_choices(request: Request) -> None:
    """Raise Invalid for a filter's value that no row can have."""
    workflow = request.query_params.get("workflow")
    if workflow is not None and not re.fullmatch(UUID_PATTERN, workflow):
        raise Invalid(f"{workflow!r} is no id of a workflow", field="workflow")
    for name, known in CHOICES.items():
        value = request.query_params.get(name)
        if value is not None and value not in known:
            raise Invalid(f"{value!r} is none of {', '.join(map(str, known))}", field=name)


def refuse_workflow(operation: Operation, actor: Actor) -> None:
    """Cancelling an operation that is a workflow needs the workflow's own permission, too."""
    if operation.kind == Kind.WORKFLOW and operation.workspace is not None:
        require(actor, "workflow_cancel", operation.workspace)
