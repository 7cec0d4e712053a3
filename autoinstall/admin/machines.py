"""What the pages of attempts and installations share: the same rows, looked at in two ways."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import orjson
from django.contrib.admin import ShowFacets
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.actor import Actor, actor_of
from accounts.console import ConsoleAdmin
from accounts.console.looks import badge, moment
from autoinstall.admin import hardware, why
from autoinstall.admin.lists import found
from autoinstall.admin.timeline import OUTCOMES, page_of, timeline
from autoinstall.models import AnswerToken, Attempt, PreparedConfig
from autoinstall.services import installing
from autoinstall.shapes import HEAVY, info_of
from provisioning.errors import ProductError

MOST_RELATED = 10


class MachineAdmin(ConsoleAdmin):
    """Rows that machines write: to look at, and to delete."""

    section = "Auto-install"
    permissions = {"view": "installation_read", "delete": "installation_manage"}
    fields = ()
    ordering = ("-id",)
    sortable_by = ()  # by anything else a million rows would be sorted for each page
    show_facets = ShowFacets.NEVER
    search_fields = ("id",)  # see get_search_results
    search_help_text = (
        "A serial, identity, UUID, address, MAC address, token, prepared config or request id: "
        "the whole of it."
    )
    change_form_template = "admin/autoinstall/attempt/change_form.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        match = request.resolver_match
        is_list = match is not None and str(match.url_name).endswith("_changelist")
        return rows.defer(*HEAVY) if is_list else rows

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return (found(queryset, search_term) if search_term.strip() else queryset), False

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """The row alone: that is what the service deletes."""
        return [str(obj) for obj in objs], {}, set(), []

    def remove(self, request: HttpRequest, obj: Any) -> None:
        # The audit trail calls both the same, whichever page it was.
        attempt = Attempt.objects.filter(pk=obj.pk).first() or obj
        installing.delete_installation(attempt=attempt, actor=actor_of(request))

    def response_delete(self, request: HttpRequest, obj_display: str, obj_id: Any) -> Any:
        """Back to the list: Django sends who may not change rows to the home page."""
        super().response_delete(request, obj_display, obj_id)
        return HttpResponseRedirect(reverse(f"admin:autoinstall_{self.opts.model_name}_changelist"))

    def _refused(self, request: HttpRequest, error: ProductError) -> HttpResponseRedirect:
        super()._refused(request, error)
        return HttpResponseRedirect("../change/")

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **more: Any
    ) -> Any:
        attempt = more.get("obj") or context["original"]
        context |= self.page(request, attempt)
        return super().render_change_form(request, context, *args, **more)

    # --- Columns ---

    def linked(self, parameter: str, value: str) -> SafeString | str:
        """To all rows of this list that have it; the row that it names may be gone."""
        if not value:
            return "-"
        return format_html(
            '<a class="whole" href="?{}">{}</a>', urlencode({parameter: value}), value
        )

    # --- One row ---

    def page(self, request: HttpRequest, attempt: Attempt) -> dict[str, Any]:
        actor = actor_of(request)
        info = info_of(attempt)
        earlier, later = others_of(attempt)
        return {
            "title": name_of(attempt, info),
            "attempt": attempt,
            "badge": badge(attempt.state or attempt.outcome),
            "is_installation": self.opts.model_name == "installation",
            "counterpart": counterpart(attempt, self.opts.model_name or ""),
            "timeline": timeline(attempt, later),
            "earlier": [
                {
                    "when": moment(other.received_at),
                    "badge": badge(other.state or other.outcome),
                    "config": other.config_name,
                    "url": page_of(other),
                }
                for other in earlier
            ],
            "facts": facts(attempt, actor),
            "hardware": hardware.hardware(info) if info else None,
            "raw": pretty(attempt.raw),
            "report": hardware.report(attempt.hook_data) if attempt.hook_data else None,
            "report_raw": pretty(attempt.hook_data) if attempt.hook_data else "",
            "make_config_url": make_config_url(attempt, actor),
            "why": why.explain(attempt, actor, is_asked_for="why" in request.GET),
        }


def name_of(attempt: Attempt, info: dict[str, Any] | None) -> str:
    """What a person would call the machine."""
    reported = hardware.text(attempt.hook_data, "fqdn")
    model = hardware.text(info, "dmi", "system", "name")
    named = " ".join(filter(None, (model, attempt.serial)))
    return reported or named or attempt.identity or f"Machine at {attempt.source or 'no address'}"


def others_of(attempt: Attempt) -> tuple[list[Attempt], list[Attempt]]:
    """Requests of the same machine: the last before this one, newest first, and the first after it."""
    if not attempt.identity:
        return [], []
    rows = Attempt.objects.filter(identity=attempt.identity).defer(*HEAVY)
    earlier = rows.filter(pk__lt=attempt.pk).order_by("-pk")[:MOST_RELATED]
    later = rows.filter(pk__gt=attempt.pk).order_by("pk")[:MOST_RELATED]
    return list(earlier), list(later)


def counterpart(attempt: Attempt, model_name: str) -> str:
    if model_name == "installation":
        return reverse("admin:autoinstall_attempt_change", args=[attempt.pk])
    return page_of(attempt) if attempt.status else ""


def facts(attempt: Attempt, actor: Actor) -> list[tuple[str, Any]]:
    counters = ", ".join(f"{name} = {value}" for name, value in attempt.counters.items())
    pairs = [
        ("Outcome", OUTCOMES[attempt.outcome]),
        ("Reason", attempt.reason),
        ("Requests", f"{attempt.repeats} alike" if attempt.repeats > 1 else ""),
        ("Prepared config", row_link(PreparedConfig, attempt.config_name, actor)),
        ("Counters handed out", counters),
        ("Format", attempt.answer_format.upper()),
        ("Left out", ", ".join(map(str, attempt.omitted))),
        ("SHA-256 of the answer", attempt.answer_digest),
        ("Token", row_link(AnswerToken, attempt.token_name, actor)),
        ("Credential", credential(attempt)),
        ("Source", attempt.source),
        ("Identity", attempt.identity),
        ("User agent", attempt.user_agent),
        ("Request id", attempt.request_id),
        ("Asked", moment(attempt.received_at)),
        ("Attempt", str(attempt.pk)),
    ]
    return [(label, value) for label, value in pairs if value]


READERS = {PreparedConfig: "prepared_config_read", AnswerToken: "answer_token_read"}


def row_link(
    model: type[PreparedConfig] | type[AnswerToken], name: str, actor: Actor
) -> SafeString | str:
    """The name, as a link for whoever may open it while it is there."""
    if not name or not actor.grants.allows(READERS[model]):
        return name
    pk = model._default_manager.filter(name=name).values_list("pk", flat=True).first()
    if pk is None:
        return format_html('{} <span class="quiet">(is gone)</span>', name)
    url = reverse(f"admin:autoinstall_{model._meta.model_name}_change", args=[pk])
    return format_html('<a href="{}">{}</a>', url, name)


def credential(attempt: Attempt) -> SafeString:
    """How the token came; all but the header catch the eye."""
    words = {"header": "in the header", "path": "in the path", "source": "by address"}
    how = str(attempt.credential)
    return badge(how, words.get(how, "none"), tone="warn" if how in ("path", "source") else "quiet")


def make_config_url(attempt: Attempt, actor: Actor) -> str:
    """For machines without an answer that told what they are."""
    is_without = attempt.outcome != Attempt.Outcome.ANSWERED and bool(attempt.product)
    if not is_without or not actor.grants.allows("prepared_config_manage"):
        return ""
    add = reverse("admin:autoinstall_preparedconfig_add")
    return f"{add}?{urlencode({'attempt': attempt.pk})}"


def pretty(value: Any) -> str:
    """JSON for reading; what is none stays as it came."""
    try:
        parsed = orjson.loads(value) if isinstance(value, str) else value
        return orjson.dumps(parsed, option=orjson.OPT_INDENT_2).decode()
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return str(value)
