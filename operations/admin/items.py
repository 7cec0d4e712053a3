"""What the pages of servers, taskservs and clusters have in common: their lists, and a page of each."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any, ClassVar

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from accounts.actor import Actor, actor_of
from accounts.console import ConsoleAdmin
from accounts.console.looks import badge, copyable, moment
from operations.admin import words
from operations.admin.filters import WorkspaceFilter
from operations.admin.item_acts import ItemActs
from operations.admin.page import SHORT_COLUMNS, Fact
from operations.inventory import KEYS
from operations.models import InventoryItem, Operation

RECENT_OPERATIONS = 10
# What was seen longer ago may not be so any more: two rounds of looking were missed.
STALE = timedelta(minutes=2 * settings.SYNC_MINUTES) if settings.SYNC_MINUTES else timedelta(days=1)


class ItemWorkspaceFilter(WorkspaceFilter):
    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        name = self.value()
        return queryset.filter(workspace__name=name) if name else queryset


def seen_words(item: InventoryItem) -> SafeString:
    """When somebody last saw it, and that this was long ago."""
    shown = format_html("{}", moment(item.seen_at))
    if timezone.now() - item.seen_at > STALE:
        shown += format_html(" {}", badge("stale", tone="warn"))
    return shown


class ItemAdmin(ItemActs, ConsoleAdmin):
    """What the three have in common; `noun` names their kinds and permissions."""

    section = "Inventory"
    workspace_path = "workspace"
    shown_fields: ClassVar[tuple[str, ...]] = ()
    list_select_related = ("workspace", "last_operation")
    list_filter: ClassVar[tuple[Any, ...]] = ("status", ItemWorkspaceFilter)
    list_display_links = None
    show_facets = admin.ShowFacets.NEVER
    change_list_template = "admin/operations/list.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        # Of operations only what a link and a badge need.
        large = ("params", "result", "error")
        return rows.select_related("workspace", "last_operation").defer(
            *(f"last_operation__{name}" for name in large)
        )

    # --- List ----------------------------------------------------------------------------------

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """The rows know who looks: an operation is linked for who may see it."""
        changes = super().get_changelist_instance(request)
        changes.result_list = list(changes.result_list)
        grants = actor_of(request).grants
        for item in changes.result_list:
            item.shows_operation = grants.allows("operation_read", item.workspace_id)
        return changes

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        links = []
        if self.has_add_permission(request):
            links.append((f"New {self.noun}", reverse(f"admin:operations_{self.noun}_add")))
        return super().changelist_view(request, {"launch_links": links, **(extra_context or {})})

    @admin.display(description="name", ordering="pk")
    def what(self, item: InventoryItem) -> SafeString:
        url = self.page_of(item)
        return format_html('<span class="what"><a href="{}">{}</a></span>', url, str(item))

    @admin.display(description="status", ordering="status")
    def state(self, item: InventoryItem) -> SafeString:
        return words.item_badge(item)

    @admin.display(description="last seen", ordering="seen_at")
    def seen(self, item: InventoryItem) -> SafeString:
        return seen_words(item)

    @admin.display(description="last operation")
    def last(self, item: Any) -> SafeString | str:
        if item.last_operation is None or not item.shows_operation:
            return "-"
        return format_html(
            "{} {}", words.link_to(item.last_operation), badge(item.last_operation.status)
        )

    # --- One -----------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        own = [
            path(
                f"<int:pk>/{name}/",
                self.admin_site.admin_view(view),
                name=f"operations_{self.noun}_{name}",
            )
            for name, view in {"refresh": self.refresh_view, "remove": self.remove_view}.items()
        ]
        return [*own, *super().get_urls()]

    def one(self, request: HttpRequest, pk: int) -> Any:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return self.find(request, self.get_queryset(request), pk)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        if request.method == "POST" or not self.has_view_permission(request):
            raise PermissionDenied
        item = self.get_object(request, object_id)
        if item is None:
            return self.gone(request, object_id)
        actor = actor_of(request)
        shown = {
            **self.admin_site.each_context(request),
            **self.page(item, actor),
            "title": str(item),
            "opts": self.opts,
            "media": self.media,
            "may_read_audit": actor.grants.allows("audit_read"),
        }
        return TemplateResponse(request, "admin/operations/item.html", shown)

    def gone(self, request: HttpRequest, object_id: str) -> HttpResponse:
        self.message_user(request, f"There is no {self.noun} {object_id[:80]}.", messages.WARNING)
        return HttpResponseRedirect(reverse(f"admin:operations_{self.noun}_changelist"))

    def page(self, item: Any, actor: Actor) -> dict[str, Any]:
        allows = actor.grants.allows
        sees_operations = allows("operation_read", item.workspace_id)
        return {
            "item": item,
            "noun": self.noun,
            "state": words.item_badge(item),
            "facts": self.facts(item),
            "can_delete": allows(f"{self.noun}_delete", item.workspace_id),
            "sees_operations": sees_operations,
            "operations": self.recent_operations(item) if sees_operations else [],
            "operations_url": f"{reverse('admin:operations_operation_changelist')}?"
            + urlencode({"q": self.name_of(item), "workspace": item.workspace.name}),
            "form_key": uuid.uuid4(),
            **self.more(item, actor),
        }

    def more(self, item: Any, actor: Actor) -> dict[str, Any]:
        """What the page of this noun shows beside the common."""
        return {}

    def facts(self, item: Any) -> list[Fact]:
        found: list[Fact] = [("Workspace", item.workspace.name)]
        for name in self.shown_fields:
            value = getattr(item, name)
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            if text:
                label = name.replace("_", " ").replace("ip ", "IP ")
                found.append((label[:1].upper() + label[1:], text))
        found.append(("Last seen", seen_words(item)))
        found.append(("Known since", format_html("{}", moment(item.created_at))))
        found.append(("Id", copyable(item.uid)))
        return found

    def name_of(self, item: Any) -> str:
        return str(getattr(item, KEYS[self.model][0]))

    def recent_operations(self, item: Any) -> list[Operation]:
        """The newest, from each way to find them: one OR over all would be slow."""
        found: dict[uuid.UUID, Operation] = {}
        for rows in self.operations_of(item):
            short = rows.only(*SHORT_COLUMNS, "requested_by_name").order_by("-pk")
            found |= {one.pk: one for one in short[:RECENT_OPERATIONS]}
        return [found[key] for key in sorted(found, reverse=True)[:RECENT_OPERATIONS]]

    def operations_of(self, item: Any) -> list[QuerySet[Operation]]:
        rows = Operation.objects.filter(
            workspace=item.workspace_id,
            subject=self.name_of(item),
            kind__in=(f"{self.noun}_create", f"{self.noun}_delete"),
        )
        for key in KEYS[self.model][1:]:
            if value := getattr(item, key):
                rows = rows.filter(**{f"params__{key}": value})
        return [rows]
