"""Console pages of operations and the inventory: to look, and to cancel."""

from __future__ import annotations

import uuid

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from accounts.actor import actor_of
from accounts.console import ConsoleAdmin
from accounts.permissions import require
from operations import logs
from operations.commands import Kind
from operations.models import Cluster, Operation, Runner, Server, Taskserv
from operations.services import lifecycle
from operations.services.drawing import draw_workflow
from operations.views.operations import refuse_workflow
from operations.views.workflows import svg
from provisioning.errors import ProductError

SHOWN_LOG_LINES = 200
SHOWN_OPERATIONS = 10


@admin.register(Operation)
class OperationAdmin(ConsoleAdmin):
    permissions = {"view": "operation_read", "cancel": "operation_cancel"}
    workspace_path = "workspace"
    list_display = (
        "created_at",
        "kind",
        "subject",
        "workspace_name",
        "status",
        "reason",
        "requested_by_name",
    )
    list_filter = ("status", "kind", "workspace_name")
    search_fields = ("=id", "request_id", "requested_by_name", "workspace_name", "error")
    fields = (
        "id",
        "kind",
        "subject",
        "workspace_name",
        "status",
        "reason",
        "error",
        "exit_code",
        "result",
        "check_mode",
        "requested_by_name",
        "request_id",
        "created_at",
        "started_at",
        "finished_at",
        "cancel_requested_at",
        "timeout_seconds",
        "workflow",
        "step_id",
        "graph",
        "last_lines",
    )
    actions = ("cancel",)

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return self._may(request, "cancel")

    @admin.display(description="Steps")
    def graph(self, operation: Operation) -> SafeString | str:
        """The picture of a workflow; it opens by itself at full size."""
        if operation.kind != Kind.WORKFLOW:
            return "-"
        return format_html(
            '<a href="{0}"><img src="{0}" alt="The steps of the workflow and their status"></a>',
            reverse("admin:operations_operation_graph", args=[operation.pk]),
        )

    def get_urls(self) -> list[URLPattern]:
        graph = path(
            "<uuid:pk>/graph.svg",
            self.admin_site.admin_view(self.graph_view),
            name="operations_operation_graph",
        )
        return [graph, *super().get_urls()]

    def graph_view(self, request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = self.get_queryset(request).filter(kind=Kind.WORKFLOW)
        return svg(draw_workflow(get_object_or_404(rows, pk=pk)))

    @admin.display(description=f"Last {SHOWN_LOG_LINES} lines of the log")
    def last_lines(self, operation: Operation) -> SafeString:
        _, data = logs.tail(operation, lines=SHOWN_LOG_LINES)
        return format_html("<pre>{}</pre>", data.decode("utf-8", "replace") or "It said nothing.")

    @admin.action(description="Cancel the selected operations", permissions=["cancel"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Operation]) -> None:
        actor = actor_of(request)
        for operation in queryset.select_related("workspace"):
            try:
                if operation.workspace:
                    require(actor, "operation_cancel", operation.workspace)
                refuse_workflow(operation, actor)
                lifecycle.cancel_operation(operation=operation, actor=actor)
            except ProductError as error:
                self.message_user(request, f"{operation}: {error.message}", messages.WARNING)
            else:
                self.message_user(request, f"{operation}: {operation.status}.", messages.SUCCESS)


class ItemAdmin(ConsoleAdmin):
    workspace_path = "workspace"
    list_select_related = ("workspace",)
    list_filter = ("workspace", "status")
    exclude = ("id",)


@admin.register(Server)
class ServerAdmin(ItemAdmin):
    permissions = {"view": "server_read"}
    list_display = ("hostname", "workspace", "provider", "plan", "ip_address", "status", "seen_at")
    search_fields = ("hostname", "ip_address", "uid")


@admin.register(Taskserv)
class TaskservAdmin(ItemAdmin):
    permissions = {"view": "taskserv_read"}
    list_display = ("name", "version", "server", "workspace", "status", "seen_at")
    search_fields = ("name", "server", "uid")


@admin.register(Cluster)
class ClusterAdmin(ItemAdmin):
    permissions = {"view": "cluster_read"}
    list_display = ("name", "version", "workspace", "status", "seen_at")
    search_fields = ("name", "uid")


@admin.register(Runner)
class RunnerAdmin(ConsoleAdmin):
    permissions = {"view": "system_admin"}
    list_display = (
        "role",
        "host_name",
        "pid",
        "started_at",
        "heartbeat_at",
        "heartbeat_age",
        "operations_running",
        "is_alive",
    )
    list_filter = ("role", "host_name")

    @admin.display(boolean=True, description="alive")
    def is_alive(self, runner: Runner) -> bool:
        return runner.is_alive

    @admin.display(description="last sign of life", ordering="heartbeat_at")
    def heartbeat_age(self, runner: Runner) -> str:
        seconds = max((timezone.now() - runner.heartbeat_at).total_seconds(), 0.0)
        return f"{seconds:.0f} s ago"

    @admin.display(description="runs")
    def operations_running(self, runner: Runner) -> SafeString:
        """What it watches itself; a worker what its turns watch, which is all that runs at its host."""
        mine = (
            lifecycle.running().filter(host_id=runner.host_id)
            if runner.role == Runner.Role.WORKER
            else lifecycle.running().filter(runner=runner.pk)
        )
        shown = list(mine.order_by("id")[:SHOWN_OPERATIONS])
        links = format_html_join(
            ", ",
            '<a href="{}">{}</a>',
            ((reverse("admin:operations_operation_change", args=[op.pk]), str(op)) for op in shown),
        )
        return format_html("{}{}", links, ", ..." if len(shown) == SHOWN_OPERATIONS else "")
