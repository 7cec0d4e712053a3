"""The processes that run operations, and draining them all."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from accounts.actor import actor_of
from accounts.console import ConsoleAdmin
from accounts.console.looks import badge, moment
from operations.admin import words
from operations.admin.acting import Done, acting
from operations.models import Operation, Runner
from operations.services import drain, lifecycle
from operations.views.system import state

SHOWN_OPERATIONS = 10
MOST_RUNNING = 1_000
ROLES = {
    "worker": "supervises the turns of its host",
    "turn": "runs operations now",
    "foreground": "runs one operation at a terminal",
}


@admin.register(Runner)
class RunnerAdmin(ConsoleAdmin):
    section, position = "System", 2
    permissions = {"view": "system_admin"}
    extra_permissions = dict.fromkeys(
        ("operations_runner_drain", "operations_runner_resume"), "system_admin"
    )
    change_list_template = "admin/operations/runner/change_list.html"
    intro = (
        "Every process that runs operations. A worker lives as long as its host serves; a turn comes when "
        "there is something to run and goes when there is nothing left."
    )
    empty = "No worker has begun: start one with `manage.py worker`, nothing runs without."
    list_display = ("host_name", "alive", "seen", "runs", "does", "pid", "started")
    list_display_links = None
    list_filter = ("role", "host_name")
    sortable_by = ("host_name", "pid")
    show_facets = admin.ShowFacets.NEVER

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """With what each runs: one query for all rows."""
        changes = super().get_changelist_instance(request)
        changes.result_list = list(changes.result_list)
        by_place: dict[Any, list[Operation]] = defaultdict(list)
        running = lifecycle.running().only("id", "kind", "subject", "host_id", "runner")
        for operation in running.order_by("id")[:MOST_RUNNING]:
            by_place[operation.host_id].append(operation)
            by_place[operation.runner].append(operation)
        for runner in changes.result_list:
            place = runner.host_id if runner.role == Runner.Role.WORKER else runner.pk
            runner.operations = by_place[place]
        return changes

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        return super().changelist_view(request, {"system": state(), **(extra_context or {})})

    @admin.display(description="state")
    def alive(self, runner: Runner) -> SafeString:
        return badge("alive" if runner.is_alive else "silent")

    @admin.display(description="last sign of life", ordering="heartbeat_at")
    def seen(self, runner: Runner) -> SafeString | str:
        return moment(runner.heartbeat_at)

    @admin.display(description="started", ordering="started_at")
    def started(self, runner: Runner) -> SafeString | str:
        return moment(runner.started_at)

    @admin.display(description="process")
    def does(self, runner: Runner) -> SafeString:
        return format_html(
            '{} <span class="quiet">{}</span>', runner.role, ROLES.get(runner.role, "")
        )

    @admin.display(description="runs now")
    def runs(self, runner: Any) -> SafeString | str:
        """What it watches itself; a worker what its turns watch, which is all that runs at its host."""
        if not runner.operations:
            return "nothing"
        links = ((words.link_to(one),) for one in runner.operations[:SHOWN_OPERATIONS])
        more = len(runner.operations) - SHOWN_OPERATIONS
        shown = format_html_join("", "<div>{}</div>", links)
        return shown if more <= 0 else format_html("{}and {} more", shown, more)

    # --- Drain ---------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        own = [
            path(f"{name}/", self.admin_site.admin_view(view), name=f"operations_runner_{name}")
            for name, view in {"drain": self.drain_view, "resume": self.resume_view}.items()
        ]
        return [*own, *super().get_urls()]

    def drain_view(self, request: HttpRequest) -> HttpResponse:
        def act() -> Done:
            drain.drain_system(actor=actor_of(request), reason=request.POST.get("reason", ""))
            return "The system is drained: what runs finishes, nothing new starts.", self.list_url

        return self.acted(request, act)

    def resume_view(self, request: HttpRequest) -> HttpResponse:
        def act() -> Done:
            was_drained = drain.resume_system(actor=actor_of(request))
            words_ = "Operations start again." if was_drained else "It was not drained."
            return words_, self.list_url

        return self.acted(request, act)

    def acted(self, request: HttpRequest, act: Any) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return acting(request, act, back=self.list_url)

    @property
    def list_url(self) -> str:
        return reverse("admin:operations_runner_changelist")
