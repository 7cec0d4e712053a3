"""The list of prepared configs, and which page answers which address."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, QuerySet, Subquery
from django.forms import NumberInput
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from accounts.actor import actor_of
from accounts.console import ConsoleAdmin
from accounts.console.keys import key_of
from accounts.console.looks import badge, moment
from autoinstall.admin.configs import answer_files, trying
from autoinstall.admin.configs.editing import NEW, Draft, Editor
from autoinstall.admin.configs.form import ConfigForm
from autoinstall.admin.configs.priorities import PriorityForm
from autoinstall.admin.configs.reading import read_page
from autoinstall.documents import Secrets
from autoinstall.models import Attempt, PreparedConfig
from autoinstall.services import configs, seen
from provisioning.errors import Forbidden, ProductError

MOST_SHOWN = 3  # filters and tokens in one cell


@admin.register(PreparedConfig)
class PreparedConfigAdmin(ConsoleAdmin):
    section, position = "Auto-install", 3
    permissions = {
        "view": "prepared_config_read",
        "add": "prepared_config_manage",
        "change": "prepared_config_manage",
        "delete": "prepared_config_manage",
    }
    # The preview of what is not saved yet needs more, which its view asks for.
    extra_permissions = {
        "autoinstall_preparedconfig_check": "prepared_config_manage",
        "autoinstall_preparedconfig_preview": "prepared_config_read",
        "autoinstall_preparedconfig_machines": "installation_read",
        "autoinstall_preparedconfig_import": "prepared_config_manage",
        "autoinstall_preparedconfig_export": "prepared_config_read",
    }
    intro = (
        "Which machine gets which answer, in the order in which they are tried: the first that matches "
        "wins, the default comes last."
    )
    empty = (
        "Make one with the guided form, import an answer.toml, or start from a machine that has asked: "
        "it is among the installations."
    )
    list_display = ("name", "for_whom", "priority", "tokens", "last_answer", "updated")
    list_editable = ("priority",)
    list_filter = ("is_default",)
    search_fields = ("name", "document__target-filter", "authorized_tokens__name")
    ordering = ("is_default", "priority", "id")
    change_list_template = "admin/autoinstall/preparedconfig/change_list.html"

    # --- The list ------------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        answered = Attempt.objects.filter(
            config_name=OuterRef("name"), outcome=Attempt.Outcome.ANSWERED
        )
        last = answered.order_by("-id").values("received_at")[:1]
        rows = super().get_queryset(request).prefetch_related("authorized_tokens")
        annotated: QuerySet[Any] = rows.annotate(answered_at=Subquery(last))
        return annotated

    def get_list_display(self, request: HttpRequest) -> Any:
        may_see = actor_of(request).grants.allows("installation_read")
        return [name for name in self.list_display if may_see or name != "last_answer"]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **more: Any) -> Any:
        if db_field.name == "priority":
            more["widget"] = NumberInput(attrs={"aria-label": "Priority", "class": "priority"})
        return super().formfield_for_dbfield(db_field, request, **more)

    @admin.display(description="for")
    def for_whom(self, config: Any) -> SafeString:
        if config.is_default:
            return format_html("{} machines that match no other", badge("default", tone="busy"))
        rows = list(config.document.get("target-filter", {}).items())
        shown = format_html_join(
            "", "<li><code>{}</code> = <code>{}</code></li>", rows[:MOST_SHOWN]
        )
        more = f"and {len(rows) - MOST_SHOWN} more" if len(rows) > MOST_SHOWN else ""
        return format_html('<ul class="filters">{}</ul>{}', shown, more)

    @admin.display(description="tokens")
    def tokens(self, config: Any) -> str:
        names = [token.name for token in config.authorized_tokens.all()]
        more = f" and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else ""
        return ", ".join(names[:MOST_SHOWN]) + more or "-"

    @admin.display(description="last answer", ordering="answered_at")
    def last_answer(self, config: Any) -> Any:
        return moment(config.answered_at, empty="never")

    @admin.display(description="updated", ordering="updated_at")
    def updated(self, config: Any) -> Any:
        return moment(config.updated_at)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        try:
            response = super().changelist_view(request, extra_context)
        except ProductError as error:
            return self._refused(request, error)
        shown = getattr(response, "context_data", {}).get("cl")
        if shown is None or shown.formset is None or not shown.formset.is_bound:
            return response
        # Refused: the rows in the order in which they were sent, each beside its own form.
        rows = [form.instance for form in shown.formset.forms]
        if any(row.pk is None for row in rows):
            gone = "One of these prepared configs has been deleted meanwhile: nothing is saved."
            self.message_user(request, gone, messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())
        shown.result_list = rows
        return response

    def get_changelist_form(self, request: HttpRequest, **kwargs: Any) -> Any:
        return PriorityForm

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """A priority that was changed in the list."""
        saved = configs.change_config(
            name=PreparedConfig.objects.values_list("name", flat=True).get(pk=obj.pk),
            values={"priority": form.cleaned_data["priority"]},
            delete=[],
            secrets=Secrets(),
            actor=actor_of(request),
            precondition=form.refuse_changed,
        )
        for warning in saved.warnings:
            self.message_user(request, f"{saved.config}: {warning}", messages.WARNING)

    def remove(self, request: HttpRequest, obj: PreparedConfig) -> None:
        configs.delete_config(name=obj.name, actor=actor_of(request))

    # --- One config ----------------------------------------------------------------------------

    def get_urls(self) -> list[Any]:
        pages: dict[str, Any] = {
            "check/": self.check_view,
            "preview/": self.preview_view,
            "machines/": self.machines_view,
            "import/": self.import_view,
            "<int:key>/answer.toml": self.export_view,
        }
        own = [
            path(
                route,
                self.admin_site.admin_view(view),
                name=f"autoinstall_preparedconfig_{view.__name__.removesuffix('_view')}",
            )
            for route, view in pages.items()
        ]
        return [*own, *super().get_urls()]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """The guided form; for who may only read, the same as facts."""
        stored = self._find(object_id) if object_id is not None else None
        may_write = self.has_change_permission(request)
        if stored is not None and not may_write and request.method in ("GET", "HEAD"):
            self._demand(request, "view")
            return read_page(self, request, stored)
        self._demand(request, "change" if stored else "add")
        editor = Editor(self, request, stored)
        if request.method == "POST":
            return editor.save()
        return editor.open(configs.wire_of(stored)) if stored else self._new(editor, request)

    def _new(self, editor: Editor, request: HttpRequest) -> HttpResponse:
        """Empty, or begun with a machine or another config."""
        if attempt := request.GET.get("attempt"):
            return self._for_machine(editor, request, attempt)
        if copied := request.GET.get("copy"):
            config = self._find(copied)
            wire = {**configs.wire_of(config), "id": f"{config.name}-copy"[:64]}
            wire["is-default"] = False  # there can be only one
            secrets = {"root-password-hashed": config.root_password_hash}
            if key := wire.pop("subscription-key", None):
                secrets["subscription-key"] = key
            note = f"A copy of {config}, with its root password. Nothing is saved yet."
            return editor.open(wire, secrets=secrets, note=note)
        return editor.open({**NEW, **editor.own_address()})

    def _for_machine(self, editor: Editor, request: HttpRequest, attempt: str) -> HttpResponse:
        if not actor_of(request).grants.allows("installation_read"):
            raise PermissionDenied
        try:
            begun = seen.config_for(attempt)
        except ProductError as error:
            self.message_user(request, error.message, messages.ERROR)
            return HttpResponseRedirect(reverse("admin:autoinstall_preparedconfig_add"))
        note = "Begun with what the machine told of itself. Nothing is saved yet."
        editor.machine = attempt
        return editor.open({**NEW, **editor.own_address(), **begun}, note=note)

    def check_view(self, request: HttpRequest) -> HttpResponse:
        self._demand_post(request, "change")
        return trying.check(request, self._named_in(request))

    def preview_view(self, request: HttpRequest) -> HttpResponse:
        """Of the form as it is, or of a saved config for who may only read."""
        is_saved = "saved" in request.GET
        self._demand_post(request, "view" if is_saved else "change")
        stored = self._named_in(request)
        try:
            if is_saved and stored is not None:
                shown = trying.preview_of_saved(request, stored)
                if trying.wants_fragment(request):
                    return trying.fragment(request, shown)
                return read_page(self, request, stored, preview=shown)
            draft = Draft(ConfigForm(request.POST), stored)
            shown = trying.preview_of_form(request, draft)
        except Forbidden:  # what the handler of 403 answers and records
            raise PermissionDenied from None
        if trying.wants_fragment(request):
            return trying.fragment(request, shown)
        draft.carry_secrets()
        return Editor(self, request, stored).show(draft.form, preview=shown, is_started=True)

    def machines_view(self, request: HttpRequest) -> HttpResponse:
        self._demand(request, "view")
        try:
            return trying.machines(request)
        except Forbidden:
            raise PermissionDenied from None

    def import_view(self, request: HttpRequest) -> HttpResponse:
        self._demand(request, "add")
        return answer_files.import_page(self, request)

    def export_view(self, request: HttpRequest, key: int) -> HttpResponse:
        self._demand(request, "view")
        return answer_files.export(request, self._find(str(key)))

    def _demand(self, request: HttpRequest, act: str) -> None:
        if not self._may(request, act):
            raise PermissionDenied

    def _demand_post(self, request: HttpRequest, act: str) -> None:
        if request.method != "POST":
            raise Http404
        self._demand(request, act)

    def _named_in(self, request: HttpRequest) -> PreparedConfig | None:
        key = request.GET.get("config", "")
        return self._find(key) if key else None

    def _find(self, text: str) -> PreparedConfig:
        key = key_of(PreparedConfig, text)
        config = PreparedConfig.objects.filter(pk=key).first() if key else None
        if config is None:
            raise Http404
        return config
