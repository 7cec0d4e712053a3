"""Installations in the console: what machines were told to become, and whether they did."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.db.models.fields.json import KT
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.console.looks import badge, duration, moment
from accounts.console.since import SinceFilter
from autoinstall.admin.filters import (
    ConfigFilter,
    InstallationStateFilter,
    ProductFilter,
    ReportedFilter,
    TokenFilter,
)
from autoinstall.admin.machines import MachineAdmin
from autoinstall.models import Installation


@admin.register(Installation)
class InstallationAdmin(MachineAdmin):
    position = 1
    intro = (
        "Machines that got an answer, and those for which there was none. One that does not report "
        "before its deadline is timed out. The command manage.py prune_installations removes old ones."
    )
    empty = (
        "No machine has got an answer yet. Make an answer token and a prepared config, prepare an "
        "image with the token, and boot it. A machine that was refused is among the attempts."
    )
    list_display = ("machine", "state_badge", "config", "asked", "took", "installer", "token")
    list_display_links = ("machine",)
    list_filter = (
        *(InstallationStateFilter, SinceFilter, ProductFilter, ConfigFilter, TokenFilter),
        ReportedFilter,
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        named: QuerySet[Any] = rows.annotate(fqdn=KT("hook_data__fqdn"))
        return named

    @admin.display(description="machine")
    def machine(self, row: Any) -> SafeString | str:
        """What it is called now, else its serial."""
        serial = row.serial or row.identity or row.source or "unknown"
        if not row.fqdn:
            return format_html('<span class="whole">{}</span>', serial)
        return format_html(
            '<span class="whole">{}</span><span class="second">{}</span>', row.fqdn, serial
        )

    @admin.display(description="state")
    def state_badge(self, row: Installation) -> SafeString:
        return badge(row.state)

    @admin.display(description="prepared config")
    def config(self, row: Installation) -> SafeString | str:
        return self.linked("config", row.config_name)

    @admin.display(description="asked")
    def asked(self, row: Installation) -> SafeString | str:
        return moment(row.received_at)

    @admin.display(description="took / due")
    def took(self, row: Installation) -> SafeString | str:
        if row.finished_at:
            return duration((row.finished_at - row.received_at).total_seconds())
        return moment(row.deadline_at)

    @admin.display(description="product")
    def installer(self, row: Installation) -> SafeString:
        shown = " ".join(filter(None, (row.product, row.release))) or "-"
        return format_html('<span class="whole">{}</span>', shown)

    @admin.display(description="token, source")
    def token(self, row: Installation) -> SafeString:
        shown = self.linked("token", row.token_name)
        return format_html('{}<span class="second">{}</span>', shown, row.source)
