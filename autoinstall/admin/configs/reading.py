"""A saved config for who may only read it: the same fields as the form, as facts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from accounts.actor import actor_of
from accounts.console import ConsoleAdmin
from autoinstall.admin.configs import wire as translation
from autoinstall.admin.configs.form import ConfigForm
from autoinstall.admin.configs.sections import bound_sections
from autoinstall.admin.configs.suggesting import suggested
from autoinstall.models import PreparedConfig
from autoinstall.services import configs


@dataclass(frozen=True)
class Fact:
    """`rows` are pairs or single names, `text` everything else."""

    label: str
    text: str = ""
    rows: tuple[tuple[str, str], ...] = ()


def read_page(
    page: ConsoleAdmin, request: HttpRequest, config: PreparedConfig, **more: Any
) -> HttpResponse:
    wire = configs.wire_of(config)
    context = {
        **page.admin_site.each_context(request),
        "opts": page.opts,
        "title": config.name,
        "config": config,
        "sections": facts_of(config, wire),
        "document": translation.shown(wire),
        "may_read_audit": actor_of(request).grants.allows("audit_read"),
        **suggested(actor_of(request)),
        **more,
    }
    return TemplateResponse(request, "admin/autoinstall/preparedconfig/read.html", context)


def facts_of(config: PreparedConfig, wire: dict[str, Any]) -> list[tuple[str, list[Fact]]]:
    form = ConfigForm(initial=translation.initial_of(wire))
    found = []
    for section in bound_sections(form):
        fields = [field for group in section.groups for field in group.fields]
        facts = [fact for field in fields if (fact := _fact(field, form, config))]
        found.append((section.title, facts))
    return found


def _fact(field: forms.BoundField, form: ConfigForm, config: PreparedConfig) -> Fact | None:
    kind, value, label = getattr(field.field, "kind", ""), field.value(), str(field.label)
    if kind == "secret":
        return _secret(field.name, label, config)
    if field.name == "forget_subscription_key" or not _matters(field, form):
        return None
    if kind == "flag":
        return Fact(label, "Yes" if value else "No")
    if kind == "rows":
        rows = tuple(row for row in field.rows if any(row))  # type: ignore[attr-defined]
        return Fact(label, rows=rows) if rows else None
    if not value:
        return None
    choices = dict(getattr(field.field.widget, "choices", ()))
    return Fact(label, str(choices.get(value, value)))


def _secret(name: str, label: str, config: PreparedConfig) -> Fact | None:
    if name == "root_password":
        return Fact(label, "Set; only its hash is stored")
    if name == "subscription_key" and "subscription-key" in config.document:
        return Fact(label, "Set")
    return None


def _matters(field: forms.BoundField, form: ConfigForm) -> bool:
    """Whether the choice is made that this field goes with."""
    when = getattr(field.field, "when", None)
    if when is None:
        return True
    value = form[when[0]].value()
    return ("on" if value is True else value) in when[1].split()
