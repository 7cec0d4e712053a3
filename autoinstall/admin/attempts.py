"""Every request for an answer, in the console."""

from __future__ import annotations

from django.contrib import admin
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.console.looks import badge, moment
from accounts.console.since import SinceFilter
from autoinstall.admin.filters import (
    ConfigFilter,
    CredentialFilter,
    OutcomeFilter,
    ProductFilter,
    TokenFilter,
)
from autoinstall.admin.machines import MachineAdmin, credential
from autoinstall.models import Attempt


@admin.register(Attempt)
class AttemptAdmin(MachineAdmin):
    position = 2
    intro = (
        "Every request for an answer, whatever became of it. Machines learn little of why they were "
        "refused; here it stands. The command manage.py prune_installations removes old ones. By "
        "credential or product the newest 100,000 are looked through."
    )
    empty = (
        "No machine has asked yet. Make an answer token and a prepared config, prepare an image with "
        "the token, and boot it. Nothing here after that: the request never reached this server."
    )
    list_display = ("asked", "outcome_badge", "what", "machine", "source", "token")
    list_display_links = ("asked",)
    list_filter = (
        *(OutcomeFilter, SinceFilter, CredentialFilter, ProductFilter),
        *(ConfigFilter, TokenFilter),
    )

    @admin.display(description="asked")
    def asked(self, attempt: Attempt) -> SafeString | str:
        return moment(attempt.received_at)

    @admin.display(description="outcome")
    def outcome_badge(self, attempt: Attempt) -> SafeString:
        shown = badge(attempt.outcome)
        if attempt.repeats == 1:
            return shown
        return format_html('{} <span class="quiet">&times; {}</span>', shown, attempt.repeats)

    @admin.display(description="what became of it")
    def what(self, attempt: Attempt) -> SafeString | str:
        if attempt.outcome == Attempt.Outcome.ANSWERED:
            state = attempt.state
            return format_html("{} {}", self.linked("config", attempt.config_name), badge(state))
        return format_html('<span class="reason">{}</span>', attempt.reason or "-")

    @admin.display(description="machine")
    def machine(self, attempt: Attempt) -> SafeString | str:
        product = " ".join(filter(None, (attempt.product, attempt.release)))
        if not attempt.serial and not product:
            return "-"
        return format_html(
            '<span class="whole">{}</span><span class="second">{}</span>',
            attempt.serial or "no serial",
            product,
        )

    @admin.display(description="token")
    def token(self, attempt: Attempt) -> SafeString | str:
        """And how it came, where that makes it worth less."""
        shown = self.linked("token", attempt.token_name)
        if attempt.credential not in (Attempt.Credential.PATH, Attempt.Credential.SOURCE):
            return shown
        return format_html("{} {}", shown, credential(attempt))
