"""The list of operations, the page of each, and what can be done to them."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.actor import Actor, actor_of
from accounts.console import ConsoleAdmin
from accounts.console.looks import badge, moment
from accounts.console.since import SinceFilter
from operations.admin import filters, page, search, words
from operations.admin.acting import Done, acting, launch_by_form, require_for
from operations.admin.following import LogPages
from operations.admin.workflows import WorkflowPages
from operations.commands import Kind
from operations.models import Operation
from operations.services import lifecycle
from operations.services.drawing import draw_workflow
from operations.services.rerun import rerun_operation
from operations.views.operations import permissions_of, refuse_workflow
from operations.views.workflows import svg
from provisioning.errors import ProductError
from provisioning.exception_handler import record_refusal


@admin.register(Operation)
class OperationAdmin(LogPages, WorkflowPages, ConsoleAdmin):
    section, position = "Operations", 1
    permissions = {"view": "operation_read", "cancel": "operation_cancel"}
    extra_permissions = {
        "operations_operation_cancel": "operation_cancel",
        "operations_operation_rerun": "operation_rerun",
        "operations_operation_workflow": "workflow_submit",
        "operations_operation_graph": "operation_read",
        "operations_operation_live": "operation_read",
        "operations_operation_log": "operation_read",
        "operations_operation_log_download": "operation_read",
        "operations_operation_log_stream": "operation_read",
    }
    workspace_path = "workspace"
    change_list_template = "admin/operations/list.html"
    intro = "Every run of the CLI and every workflow, newest first."
    empty = "Create a server, a taskserv or a cluster, or submit a workflow: it is shown here."
    list_display = ("what", "state", "where", "who", "submitted", "ran")
    list_display_links = None
    list_filter = (
        ("status", admin.ChoicesFieldListFilter),
        ("kind", filters.KindFilter),
        SinceFilter,
        filters.WorkspaceFilter,
        filters.PersonFilter,
        filters.WorkflowFilter,
        filters.RanFilter,
        "check_mode",
    )
    # Other columns have no index that their order could be read from.
    sortable_by = ()
    search_fields = ("subject",)
    search_help_text = search.HELP
    show_facets = admin.ShowFacets.NEVER  # counts
    list_max_show_all = 0
    list_select_related = ("workflow",)
    actions = ("cancel",)

    # --- List ----------------------------------------------------------------------------------

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changes = super().get_changelist_instance(request)
        short = [*page.SHORT_COLUMNS, "requested_by_name", "workflow"]
        rows = changes.result_list.only(*short, "workflow__kind", "workflow__subject")
        changes.result_list = list(rows)
        return changes

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return search.find_operations(queryset, search_term), False

    @admin.display(description="what")
    def what(self, operation: Operation) -> SafeString:
        shown = format_html('<span class="what">{}</span>', words.link_to(operation))
        if operation.check_mode:
            shown += format_html(" {}", badge("check", "check", tone="busy"))
        if operation.workflow:
            step = f"step {operation.step_id}"
            if operation.is_rollback:
                step += ", undone"
            if operation.attempt > 1:
                step += f", attempt {operation.attempt}"
            shown += format_html(
                '<span class="quiet step">{} of {}</span>', step, words.link_to(operation.workflow)
            )
        return shown

    @admin.display(description="status")
    def state(self, operation: Operation) -> SafeString:
        return words.badges_of(operation)

    @admin.display(description="workspace")
    def where(self, operation: Operation) -> str:
        return operation.workspace_name

    @admin.display(description="who asked")
    def who(self, operation: Operation) -> str:
        return operation.requested_by_name

    @admin.display(description="submitted")
    def submitted(self, operation: Operation) -> SafeString | str:
        return moment(operation.created_at)

    @admin.display(description="took")
    def ran(self, operation: Operation) -> str:
        return words.run_time_words(operation)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        shown = {"launch_links": self.launch_links(actor_of(request))}
        return super().changelist_view(request, {**shown, **(extra_context or {})})

    def launch_links(self, actor: Actor) -> list[tuple[str, str]]:
        """`(label, URL)` of what this person may start."""
        ways = [
            (f"{noun}_create", f"New {noun}", f"admin:operations_{noun}_add")
            for noun in ("server", "taskserv", "cluster")
        ]
        ways.append(("workflow_submit", "Submit workflow", "admin:operations_operation_workflow"))
        return [(label, reverse(url)) for needed, label, url in ways if actor.grants.allows(needed)]

    # --- One -----------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        views = {"graph.svg": self.graph_view, "live/": self.live_view}
        views |= {"cancel/": self.cancel_view, "rerun/": self.rerun_view}
        own = [
            path(
                f"<uuid:pk>/{route}",
                self.admin_site.admin_view(view),
                name=f"operations_operation_{route.strip('/').removesuffix('.svg')}",
            )
            for route, view in views.items()
        ]
        return [*own, *self.log_urls(), *self.workflow_urls(), *super().get_urls()]

    def one(self, request: HttpRequest, pk: uuid.UUID) -> Operation:
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = self.get_queryset(request).select_related("workspace", "workflow", "rerun_of")
        found: Operation = self.find(request, rows, pk)
        return found

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        if request.method == "POST" or not self.has_view_permission(request):
            raise PermissionDenied
        rows = self.get_queryset(request).select_related("workflow", "rerun_of")
        operation = self.get_object_of(rows, object_id)
        if operation is None:
            return self.gone(request, object_id)
        actor = actor_of(request)
        shown = {
            **self.admin_site.each_context(request),
            **page.whole_page(operation, actor),
            "title": words.title_of(operation),
            "opts": self.opts,
            "media": self.media,
            "form_key": uuid.uuid4(),
        }
        return TemplateResponse(request, "admin/operations/operation/page.html", shown)

    def gone(self, request: HttpRequest, object_id: str) -> HttpResponse:
        self.message_user(request, f"There is no operation {object_id[:80]}.", messages.WARNING)
        return HttpResponseRedirect(reverse("admin:operations_operation_changelist"))

    def get_object_of(self, rows: QuerySet[Any], object_id: str) -> Operation | None:
        try:
            return rows.filter(pk=uuid.UUID(object_id)).first()
        except ValueError:
            return None

    def live_view(self, request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
        """The parts of the page that change, as they are now; the script puts them into it."""
        shown = page.live_parts(self.one(request, pk), actor_of(request))
        shown["form_key"] = uuid.uuid4()
        return TemplateResponse(request, "admin/operations/operation/live.html", shown)

    def graph_view(self, request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = self.get_queryset(request).filter(kind=Kind.WORKFLOW)
        return svg(draw_workflow(get_object_or_404(rows, pk=pk)))

    # --- Acts ----------------------------------------------------------------------------------

    def cancel_view(self, request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
        operation = self.one(request, pk)

        def act() -> Done:
            self.cancel_one(operation, actor_of(request))
            said = "It is cancelled." if operation.is_final else "It is being stopped."
            return said, words.page_of(operation)

        return acting(request, act, back=words.page_of(operation))

    def rerun_view(self, request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
        operation = self.one(request, pk)
        actor = actor_of(request)

        def act() -> Done:
            for permission in ("operation_rerun", *permissions_of(operation)):
                require_for(actor, permission, operation)
            again = launch_by_form(
                request, {}, lambda: rerun_operation(operation=operation, actor=actor)
            )
            return f"{words.title_of(again)} runs again.", words.page_of(again)

        return acting(request, act, back=words.page_of(operation))

    def cancel_one(self, operation: Operation, actor: Actor) -> None:
        require_for(actor, "operation_cancel", operation)
        refuse_workflow(operation, actor)
        ended = lifecycle.cancel_operation(operation=operation, actor=actor)
        operation.status = ended.status

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return self._may(request, "cancel")

    @admin.action(description="Cancel the selected operations", permissions=["cancel"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Operation]) -> None:
        actor = actor_of(request)
        for operation in queryset.select_related("workspace")[: self.list_per_page]:
            try:
                self.cancel_one(operation, actor)
            except ProductError as error:
                if error.status == 403:
                    record_refusal(request, error)
                self.message_user(request, f"{operation}: {error.message}", messages.WARNING)
            else:
                self.message_user(request, f"{operation}: {operation.status}.", messages.SUCCESS)
