"""Acts on one row beyond add, change and delete: a button, a POST, a service, a sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.actor import Actor, actor_of
from accounts.console import ConsoleAdmin
from provisioning.errors import ProductError

# Does the act on a row and says what has been done.
Perform = Callable[[Any, Actor, HttpRequest], str]


class ActingAdmin(ConsoleAdmin):
    """A page whose rows have acts: `acts` names each with the permission it needs, and the method of the
    same name (`end_all` for `end-all`) does it. Its URL is `accounts_<model>_<name>`, POST only."""

    acts: ClassVar[dict[str, str]] = {}
    key = "<int:pk>"

    def get_urls(self) -> list[URLPattern]:
        own = [
            path(
                f"{self.key}/{name}/",
                self.admin_site.admin_view(self._act(name)),
                name=self._name(name),
            )
            for name in self.acts
        ]
        return [*own, *super().get_urls()]

    def _name(self, act: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{act.replace('-', '_')}"

    def _act(self, name: str) -> Callable[..., HttpResponse]:
        perform: Perform = getattr(self, name.replace("-", "_"))

        def view(request: HttpRequest, pk: Any) -> HttpResponse:
            return self._perform(request, pk, self.acts[name], perform)

        return view

    def _perform(
        self, request: HttpRequest, pk: Any, permission: str, perform: Perform
    ) -> HttpResponse:
        actor = actor_of(request)
        if not actor.grants.allows(permission):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        row = get_object_or_404(self.get_queryset(request), pk=pk)
        try:
            self.message_user(request, perform(row, actor, request), messages.SUCCESS)
        except ProductError as error:
            if error.status == 403:
                raise PermissionDenied(error.message) from None
            self.message_user(request, error.message, messages.ERROR)
        return HttpResponseRedirect(self.after_act(request, row))

    def after_act(self, request: HttpRequest, row: Any) -> str:
        """Where an act leads: to the list, for rows that are read there."""
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")

    def button(self, act: str, pk: Any, label: str, *, confirm: str = "") -> SafeString:
        """A button in a row of the list. It sends the form around the list, which brings the CSRF token."""
        return format_html(
            '<button type="submit" class="quiet-button" formaction="{}" data-confirm="{}">{}</button>',
            reverse(f"admin:{self._name(act)}", args=[pk]),
            confirm,
            label,
        )


def link(url: str, text: object) -> SafeString:
    return format_html('<a href="{}">{}</a>', url, text)


def user_link(pk: object, name: str) -> SafeString:
    return link(reverse("admin:accounts_user_change", args=[pk]), name)
