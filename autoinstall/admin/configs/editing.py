"""The page with the guided form: a new config, a copy, one for a machine, or a saved one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import orjson
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from accounts.actor import Actor, actor_of
from accounts.console import ConsoleAdmin
from autoinstall.admin.configs import wire as translation
from autoinstall.admin.configs.form import ConfigForm
from autoinstall.admin.configs.sections import bound_sections
from autoinstall.admin.configs.suggesting import suggested
from autoinstall.documents import DELETABLE, Secrets
from autoinstall.models import PreparedConfig
from autoinstall.services import configs, drafts
from autoinstall.services.configs import Saved
from autoinstall.services.drafts import Checked
from provisioning.errors import PreconditionFailed, ProductError
from provisioning.exception_handler import record_refusal

Wire = dict[str, Any]
# What a new config begins with; the rest is empty.
NEW: Wire = {
    "keyboard": "en-us",
    "timezone": "UTC",
    "filesystem": {"filesystem": "ext4"},
    "use-dhcp-network": True,
    "disk-mode": "fixed",
    "reboot-mode": "reboot",
}


class Draft:
    """What a posted form says: the document, the secrets, and what the services think of it."""

    def __init__(self, form: ConfigForm, stored: PreparedConfig | None) -> None:
        form.is_valid()  # its own errors, of rows, stand beside those of the services
        self.form, self.stored = form, stored
        self.before = configs.wire_of(stored) if stored else {}
        self.secrets = translation.secrets_of(form)
        self.wire = translation.wire_of(form)
        if stored:
            self.wire["id"] = stored.name
        key = self.secrets.get("subscription-key") or self.before.get("subscription-key")
        if key and not form.cleaned_data.get("forget_subscription_key"):
            self.wire["subscription-key"] = key
        self.passwords = {
            key: value for key, value in self.secrets.items() if key.startswith("root-password")
        }
        self._keep_counters()

    def check(self) -> Checked:
        """As saving would; the form knows the sentences afterwards."""
        checked = drafts.check_draft(wire=self.wire, secrets=self.passwords, stored=self.stored)
        filesystem = self.form.cleaned_data.get("filesystem", "")
        found = translation.by_field(checked.errors, filesystem)
        own = set(self.form.errors)  # a field whose rows could not be read says only that
        self.form.add_errors({name: found[name] for name in found if name not in own})
        return checked

    def save(self, actor: Actor) -> Saved:
        """Raises ProductError."""
        secrets = Secrets.model_validate(self.passwords)
        if self.stored is None:
            document = configs.read_document(self.wire)
            return configs.create_config(document=document, secrets=secrets, actor=actor)
        values = dict(self.wire)
        del values["id"]
        if values.get("template-counters") == self.before.get("template-counters"):
            values.pop("template-counters", None)  # they go on while the config is saved
        delete = [key for key in self.before if key in DELETABLE and key not in self.wire]
        return configs.change_config(
            name=self.stored.name,
            values=values,
            delete=delete,
            secrets=secrets,
            actor=actor,
            precondition=self._refuse_changed,
        )

    def carry_secrets(self) -> None:
        """What was typed stays, though a page never shows it."""
        self._set("carried", translation.carried(self.secrets))

    def _set(self, name: str, value: str) -> None:
        data: Any = self.form.data
        data = data.copy()
        data[name] = value
        self.form.data = data

    def _keep_counters(self) -> None:
        """A counter that nobody touched has moved on with each machine since the form was opened."""
        now: Mapping[str, int] = self.before.get("template-counters", {})
        counters = self.wire.get("template-counters", {})
        try:
            shown = orjson.loads(self.form.cleaned_data.get("counters_shown") or "{}")
        except orjson.JSONDecodeError:
            shown = {}
        for name, value in counters.items():
            if name in now and isinstance(shown, dict) and shown.get(name) == value:
                counters[name] = now[name]

    def _refuse_changed(self, config: PreparedConfig) -> None:
        seen = self.form.cleaned_data.get("generation", "")
        if seen and seen != str(config.generation):
            self._set("generation", str(config.generation))
            raise PreconditionFailed(
                f"Somebody else has changed {config} since you opened it. Save again to replace it by "
                "what stands here, or reload the page to see what it is now."
            )


class Editor:
    """One request to the form's page. Whoever calls it has asked whether the person may."""

    template = "admin/autoinstall/preparedconfig/edit.html"
    SAVED: ClassVar[str] = "The prepared config {} is saved."

    def __init__(
        self, page: ConsoleAdmin, request: HttpRequest, stored: PreparedConfig | None = None
    ) -> None:
        self.page, self.request, self.stored = page, request, stored
        self.machine = request.POST.get("machine", "")  # that is chosen for the preview

    def open(self, wire: Wire, *, secrets: Mapping[str, str] = {}, note: str = "") -> HttpResponse:
        """The form with these values, of which nothing is saved."""
        form = ConfigForm(initial=self.initial(wire, secrets))
        return self.show(form, note=note, is_started=bool(note))

    def own_address(self) -> Wire:
        """Where machines report to, as far as the address in the browser is one that they reach."""
        origin = self.request.build_absolute_uri("/").rstrip("/")
        is_local = self.request.get_host().partition(":")[0] in ("localhost", "127.0.0.1", "[")
        return {} if is_local else {"post-hook-base-url": origin}

    def initial(self, wire: Wire, secrets: Mapping[str, str]) -> dict[str, Any]:
        initial = translation.initial_of(wire)
        initial["carried"] = translation.carried(secrets)
        initial["generation"] = str(self.stored.generation) if self.stored else ""
        return initial

    def save(self) -> HttpResponse:
        draft = Draft(ConfigForm(self.request.POST), self.stored)
        draft.check()
        if not draft.form.errors:
            try:
                saved = draft.save(actor_of(self.request))
            except ProductError as error:
                if error.status == 403:
                    record_refusal(self.request, error)
                draft.form.add_error(None, error.message)
            else:
                return self.done(saved)
        draft.carry_secrets()
        return self.show(draft.form, is_started=True)

    def done(self, saved: Saved) -> HttpResponse:
        self.page.message_user(self.request, self.SAVED.format(saved.config), messages.SUCCESS)
        for warning in saved.warnings:
            self.page.message_user(self.request, warning, messages.WARNING)
        if saved.token is None:
            name = "admin:autoinstall_preparedconfig_change"
            return HttpResponseRedirect(reverse(name, args=[saved.config.pk]))
        origin = self.request.build_absolute_uri("/").rstrip("/")
        credential = f"{saved.token.name}:{saved.secret}"
        context = {
            "title": f"A token for {saved.config}",
            "config": saved.config,
            "credential": credential,
            "prepare": "proxmox-auto-install-assistant prepare-iso --fetch-from http "
            f"--url {origin}/api2/json/auto-install/answer --answer-auth-token {credential} IMAGE.iso",
        }
        return self._respond("admin/autoinstall/preparedconfig/token.html", context)

    def show(
        self, form: ConfigForm, *, note: str = "", is_started: bool = False, **more: Any
    ) -> HttpResponse:
        """`is_started`: say at once what is missing, not only what somebody has touched."""
        hidden = {"forget_subscription_key": not self._has_key, "id": bool(self.stored)}
        context = {
            "title": f"Change {self.stored}" if self.stored else "New prepared config",
            "config": self.stored,
            "form": form,
            "sections": bound_sections(
                form, without=tuple(name for name in hidden if hidden[name])
            ),
            "note": note,
            "is_started": is_started,
            "machine": self.machine,
            "system_info": self.request.POST.get("system_info", ""),
            "has_key": self._has_key,
            "document": translation.shown(configs.wire_of(self.stored)) if self.stored else "",
            "may_delete": self.page.has_delete_permission(self.request, self.stored),
            "may_read_audit": actor_of(self.request).grants.allows("audit_read"),
            **suggested(actor_of(self.request)),
            **more,
        }
        return self._respond(self.template, context)

    @property
    def _has_key(self) -> bool:
        return bool(self.stored and "subscription-key" in self.stored.document)

    def _respond(self, template: str, context: dict[str, Any]) -> HttpResponse:
        site = self.page.admin_site.each_context(self.request)
        whole = {**site, "opts": self.page.opts, **context}
        return TemplateResponse(self.request, template, whole)
