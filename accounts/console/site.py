"""The site: its home page, its sections, its login."""

from __future__ import annotations

import functools
from typing import Any

from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from accounts import sessions
from accounts.actor import actor_of
from accounts.console import timeouts
from accounts.console.forms import LoginForm, PasswordView
from accounts.console.home import panels_for
from accounts.models import User

SECTIONS = ("Operations", "Inventory", "Auto-install", "People", "System")


class ConsoleSite(AdminSite):
    site_header = "Provisioning Server"
    site_title = "Provisioning Server"
    index_title = "Overview"
    site_url = "/v1/docs"
    enable_nav_sidebar = False  # Django's own; ours is in admin/base.html
    login_form = LoginForm

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        panels = panels_for(actor_of(request))
        shown = {"panels": panels, "is_home": True, **(extra_context or {})}
        return super().index(request, shown)

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Grouped by the section that each page names, not by the Django app that it lives in."""
        if app_label is not None:  # an app's own page, which nothing links to
            return super().get_app_list(request, app_label)
        sections: dict[str, list[Any]] = {name: [] for name in SECTIONS}
        for app in self._build_app_dict(request).values():
            for model in app["models"]:
                page = self._registry[model["model"]]
                model["position"] = getattr(page, "position", 0)
                sections[getattr(page, "section", "System")].append(model)
        return [
            {
                "name": name,
                "app_label": name.lower(),
                "models": sorted(models, key=lambda one: one["position"]),
            }
            for name, models in sections.items()
            if models
        ]

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """Somebody who has lost his last role sees the login page; what he sends is refused."""
        guarded = super().admin_view(view, cacheable)

        @functools.wraps(guarded)
        def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            is_sent = request.method == "POST" and request.path != reverse("admin:logout")
            if is_sent and isinstance(request.user, User) and not self.has_permission(request):
                raise PermissionDenied
            return guarded(request, *args, **kwargs)

        return inner

    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Django's, which says why the last session ended; the trail remembers who came in."""
        ended = timeouts.sentence(request.GET.get("ended", ""))
        response = super().login(request, {"ended": ended, **(extra_context or {})})
        if request.method == "POST" and isinstance(response, HttpResponseRedirect):
            timeouts.begin(request.session)
            sessions.record_console_login(actor_of(request))
        return response

    def logout(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        actor = actor_of(request)
        response = super().logout(request, extra_context)
        if actor.user:
            sessions.record_console_logout(actor)
        return response

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """Django's page with our form."""
        view = PasswordView.as_view(
            extra_context={**self.each_context(request), **(extra_context or {})},
            success_url=reverse("admin:password_change_done"),
            template_name="registration/password_change_form.html",
        )
        request.current_app = self.name
        return view(request)  # type: ignore[return-value]

    def has_permission(self, request: HttpRequest) -> bool:
        return isinstance(request.user, User) and request.user.is_staff
