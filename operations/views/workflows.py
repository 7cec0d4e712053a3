"""`/v1/workflows`."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import require
from operations.commands import Kind
from operations.models import Operation
from operations.serializers import OperationOut, SubmitWorkflow, WorkflowOut, WorkflowStatusOut
from operations.services import workflows
from operations.services.drawing import draw_workflow
from operations.views.base import IDEMPOTENCY_KEY, PREFER, Launch, WorkspaceScopedViewSet, launching
from operations.views.operations import (
    UUID_PATTERN,
    cancel_answer,
    check_choices,
    permissions_of_steps,
)
from operations.workflow import latest_runs

FILTERS = {"status": "status", "workspace": "workspace_name", "requested_by": "requested_by_name"}

EXAMPLE = {
    "workspace": "production",
    "name": "web",
    "steps": [
        {
            "id": "machine",
            "kind": "server_create",
            "params": {"provider": "local", "plan": "2xCPU-4GB", "hostname": "web-01"},
        },
        {
            "id": "runtime",
            "kind": "taskserv_create",
            "params": {"name": "containerd", "server": "web-01"},
            "depends_on": ["machine"],
        },
    ],
}


class WorkflowViewSet(WorkspaceScopedViewSet):
    """Graphs of operations; a workflow's id is that of its own operation."""

    required_permissions: ClassVar[dict[str, str]] = {
        "list": "workflow_read",
        "retrieve": "workflow_read",
        "status": "workflow_read",
        "graph": "workflow_read",
        "submit": "workflow_submit",
        "cancel": "workflow_cancel",
    }
    read_permission = "workflow_read"
    serializer_class = OperationOut
    queryset = Operation.objects.filter(kind=Kind.WORKFLOW).select_related("workspace")
    lookup_value_regex = UUID_PATTERN
    filters: ClassVar[dict[str, str]] = FILTERS
    newest_first = True

    def filter_queryset(self, queryset: Any) -> Any:
        check_choices(self.request)
        return super().filter_queryset(queryset)

    @extend_schema(
        summary="List workflows", parameters=[OpenApiParameter(name) for name in FILTERS]
    )
    def list(self, request: Request) -> Response:
        return super().list(request)

    @extend_schema(summary="One workflow with its steps", responses=WorkflowOut)
    def retrieve(self, request: Request, pk: str) -> Response:
        workflow = self.get_object()
        workflow.step_runs = list(workflow.steps.order_by("id"))
        return Response(WorkflowOut(workflow).data)

    @extend_schema(
        summary="Submit a workflow",
        parameters=[IDEMPOTENCY_KEY, PREFER],
        request=SubmitWorkflow,
        responses={202: OperationOut, 200: OperationOut},
        examples=[OpenApiExample("Two steps", value=EXAMPLE, request_only=True)],
    )
    @action(detail=False, methods=["post"])
    @launching
    def submit(self, request: Request) -> Launch:
        body = self.read_body(SubmitWorkflow)
        workspace = self.workspace_for(request, body.pop("workspace"))
        # A workflow is no way around the permission that its steps need alone.
        for permission in permissions_of_steps(body["steps"]):
            require(self.actor, permission, workspace)
        return lambda: workflows.submit_workflow(actor=self.actor, workspace=workspace, body=body)

    @extend_schema(summary="How far a workflow is", responses=WorkflowStatusOut)
    @action(detail=True, methods=["get"])
    def status(self, request: Request, pk: str) -> Response:
        workflow = self.get_object()
        workflow.progress = progress_of(workflow)
        return Response(WorkflowStatusOut(workflow).data)

    @extend_schema(
        summary="A picture of a workflow",
        description="Steps from left to right by what they depend on, with their status, as SVG.",
        responses={(200, "image/svg+xml"): OpenApiTypes.STR},
    )
    @action(detail=True, methods=["get"], url_path="graph.svg")
    def graph(self, request: Request, pk: str) -> HttpResponse:
        return svg(draw_workflow(self.get_object()))

    @extend_schema(
        summary="Stop a workflow",
        description="Waiting steps end at once, running ones are stopped.",
        request=None,
        responses={200: OperationOut, 202: OperationOut},
    )
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        return cancel_answer(workflows.cancel(self.get_object().pk, self.actor))


def svg(picture: str) -> HttpResponse:
    """A picture that styles itself and can do nothing else, also when it is opened by itself."""
    return HttpResponse(
        picture,
        content_type="image/svg+xml; charset=utf-8",
        headers={
            "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
            "Cache-Control": "no-store",
        },
    )


def progress_of(workflow: Operation) -> dict[str, Any]:
    """Steps by the status of their last attempt, and how many percent have ended."""
    latest = latest_runs(workflows.runs_of(workflow)).values()
    counts = Counter(run.status for run in latest)
    ended = sum(run.is_final for run in latest)
    return {
        "total": len(latest),
        **{status: counts[status] for status in Operation.Status.values},
        "percent": 100 * ended // max(len(latest), 1),
    }
