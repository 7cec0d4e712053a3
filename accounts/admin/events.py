"""The audit trail: a readable sentence per event, what changed, and where it leads."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
    QueryDict,
    StreamingHttpResponse,
)
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from accounts import trail
from accounts.actor import actor_of
from accounts.admin.event_filters import TrailForm
from accounts.changes import changes_of, data_of, in_words, masked
from accounts.console import ConsoleAdmin
from accounts.console.looks import badge, moment
from accounts.models import AuditEvent
from accounts.sentences import marked_sentence_of
from provisioning.errors import ProductError

PAGE: Final = "admin:accounts_auditevent_changelist"
SHOWN_RELATED: Final = 20
PAGING: Final = ("before", "after")


@admin.register(AuditEvent)
class AuditEventAdmin(ConsoleAdmin):
    section, position = "System", 3
    permissions = {"view": "audit_read"}
    extra_permissions = {"accounts_auditevent_export": "audit_read"}

    def get_urls(self) -> list[URLPattern]:
        export = self.admin_site.admin_view(self.export_view)
        return [path("export/", export, name="accounts_auditevent_export"), *super().get_urls()]

    def _require(self, request: HttpRequest, *methods: str) -> HttpResponse | None:
        if not self._may(request, "view"):
            raise PermissionDenied
        return None if request.method in methods else HttpResponseNotAllowed(methods)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Own, not Django's list: that one counts, and sorts by any column."""
        self._refuse_forged_action(request)
        if wrong := self._require(request, "GET", "HEAD"):
            return wrong
        form = TrailForm(request.GET)
        asked = form.asked()
        page = trail.read_page(asked.rows(), **where(request.GET))
        shown = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Audit trail",
            "form": form,
            "asked": asked,
            "window": trail.WINDOW,
            "rows": [self._row(event) for event in page.events],
            "older": link_with(request.GET, before=page.older) if page.older else "",
            "newer": link_with(request.GET, after=page.newer) if page.newer else "",
            "without_id": link_without(request.GET, "target_id", "request_id"),
            "query": without_paging(request.GET).urlencode(),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/accounts/auditevent/trail.html", shown)

    def _row(self, event: AuditEvent) -> dict[str, Any]:
        return {
            "event": event,
            "url": reverse("admin:accounts_auditevent_change", args=[event.pk]),
            "sentence": marked_sentence_of(event),
            "at": moment(event.occurred_at),
            "outcome": badge(event.outcome) if event.outcome != "success" else "",
        }

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        if not self._may(request, "view") or request.method == "POST":
            raise PermissionDenied
        event = self.get_object(request, object_id)
        if event is None:
            raise Http404
        related = trail.of_same_request(event, SHOWN_RELATED)
        shown = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": event.event,
            "event": event,
            "sentence": marked_sentence_of(event),
            "at": moment(event.occurred_at),
            "outcome": badge(event.outcome),
            "changes": changes_of(event),
            "details": [
                (name.replace("_", " "), in_words(value))
                for name, value in masked(data_of(event)).items()
                if name != "changed"
            ],
            "target_url": self.page_of_target(request, event),
            "related": [(one, marked_sentence_of(one)) for one in related],
        }
        return TemplateResponse(request, "admin/accounts/auditevent/event.html", shown)

    def page_of_target(self, request: HttpRequest, event: AuditEvent) -> str:
        """The page of what it is about; empty where there is none, or none that the person may see."""
        for model, page in self.admin_site._registry.items():
            meta = model._meta
            if meta.model_name != event.target_type or not event.target_id:
                continue
            if page.has_view_permission(request) and page.get_object(request, event.target_id):
                return reverse(
                    f"admin:{meta.app_label}_{meta.model_name}_change", args=[event.target_id]
                )
        return ""

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        if wrong := self._require(request, "POST"):
            return wrong
        form = TrailForm(request.GET)
        if not form.is_valid():  # else the whole trail would go out where a part was asked for
            self.message_user(request, "Nothing was exported: a filter is wrong.", messages.ERROR)
            return HttpResponseRedirect(f"{reverse(PAGE)}?{request.GET.urlencode()}")
        asked = form.asked()
        kind = request.POST.get("format", "")
        try:
            lines = trail.export_trail(asked, format=kind, actor=actor_of(request))
        except ProductError as error:
            self.message_user(request, error.message, messages.ERROR)
            return HttpResponseRedirect(reverse(PAGE))
        name = f"audit-{timezone.now():%Y%m%d-%H%M%S}.{kind}"
        return StreamingHttpResponse(
            lines,
            content_type=trail.FORMATS[kind],
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )


def where(given: QueryDict) -> dict[str, int | None]:
    """`before` or `after` of a query string, as far as they are ids."""
    texts = {name: given.get(name, "") for name in PAGING}
    return {
        name: int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None
        for name, text in texts.items()
    }


def without_paging(given: QueryDict) -> QueryDict:
    left = given.copy()
    for name in PAGING:
        left.pop(name, None)
    return left


def link_with(given: QueryDict, **values: int) -> str:
    changed = without_paging(given)
    for name, value in values.items():
        changed[name] = str(value)
    return f"?{changed.urlencode()}"


def link_without(given: QueryDict, *names: str) -> str:
    left = without_paging(given)
    for name in names:
        left.pop(name, None)
    return f"?{left.urlencode()}"
