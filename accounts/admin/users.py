"""Users: who they are, what they hold, where they are logged in, what they did."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Lower
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from accounts import passwords, services, sessions
from accounts.actor import actor_of
from accounts.admin.bindings import place, shown_binding
from accounts.admin.sessions import with_began
from accounts.admin.user_acts import MANAGE, UserActs
from accounts.admin.user_filters import RoleFilter, StateFilter
from accounts.admin.user_forms import AddForm, BindForm, ChangeForm, NewPasswordForm
from accounts.console.looks import badge, copyable, moment
from accounts.models import LoginThrottle, User
from accounts.sentences import marked_sentence_of
from accounts.trail import events_around
from provisioning.errors import ProductError

SHOWN_SESSIONS: Final = 20
SHOWN_EVENTS: Final = 12


@admin.register(User)
class UserAdmin(UserActs):
    section, position = "People", 1
    permissions = dict.fromkeys(("view", "add", "change", "delete"), MANAGE)
    extra_permissions = {"accounts_user_password": MANAGE, **UserActs.extra_permissions}
    intro = "People who use the API or this console. Only their roles say what they may do."
    deleting = (
        "Every session ends and every role is taken. The audit trail keeps the name. "
        "To lock somebody out for a while, deactivate instead."
    )
    list_display = ("username", "full_name", "roles", "state", "last_seen", "email")
    list_filter = (StateFilter, RoleFilter)
    search_fields = ("username", "email", "full_name")
    ordering = ("username",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        locked = LoginThrottle.objects.filter(
            username=Lower(OuterRef("username")), locked_until__gt=timezone.now()
        )
        rows: QuerySet[Any] = super().get_queryset(request)
        rows = rows.annotate(is_locked=Exists(locked))
        return rows.prefetch_related("bindings__role", "bindings__workspace")

    @admin.display(description="roles")
    def roles(self, user: User) -> SafeString | str:
        return format_html_join(
            " ", "{}", ((shown_binding(one),) for one in user.bindings.all())
        ) or badge("none", tone="warn")

    @admin.display(description="state", ordering="is_active")
    def state(self, user: Any) -> SafeString:
        shown = badge("active") if user.is_active else badge("inactive", tone="quiet")
        return format_html_join(
            " ",
            "{}",
            [(shown,), (badge("locked out", tone="bad"),)] if user.is_locked else [(shown,)],
        )

    @admin.display(description="last login", ordering="last_login")
    def last_seen(self, user: User) -> SafeString | str:
        return moment(user.last_login, empty="never")

    # --- Creating and changing -------------------------------------------------------------------

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        kwargs["form"] = ChangeForm if obj else AddForm
        return super().get_form(request, obj, change, **kwargs)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("email", "full_name") if obj else ("username", "email", "full_name", "password")

    def write(self, request: HttpRequest, obj: Any, form: Any) -> Any:
        values = dict(form.cleaned_data)
        actor = actor_of(request)
        if obj.pk is not None:
            return services.change_user(user=obj, **values, actor=actor)
        typed = values.pop("password")
        password = typed or passwords.generate()
        user = services.create_user(**values, password=password, actor=actor)
        request.shown_once = "" if typed else password  # type: ignore[attr-defined]
        return user

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: str | None = None
    ) -> HttpResponse:
        """To the page of the new user, where the roles are; a generated password comes first."""
        if password := getattr(request, "shown_once", ""):
            return self._shown_once(request, obj, password, is_new=True)
        self.message_user(request, f"{obj.username} exists now. Give the person a role below.")
        return HttpResponseRedirect(self.page_of(obj))

    def _shown_once(
        self, request: HttpRequest, user: User, password: str, *, is_new: bool
    ) -> HttpResponse:
        shown = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "person": user,
            "shown": copyable(password),
            "is_new": is_new,
            "title": f"The password of {user.username}",
        }
        return TemplateResponse(request, "admin/accounts/user/shown_once.html", shown)

    def remove(self, request: HttpRequest, obj: Any) -> None:
        services.delete_user(user=obj, actor=actor_of(request))

    # --- The page of one user --------------------------------------------------------------------

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        user = self.get_object(request, object_id) if self._may(request, "view") else None
        shown = self._around(request, user) if user else {}
        return super().change_view(request, object_id, form_url, {**shown, **(extra_context or {})})

    def _around(self, request: HttpRequest, user: User) -> dict[str, Any]:
        """What stands beside the form: roles, sessions, events."""
        live = with_began(sessions.live_sessions(timezone.now()).filter(user=user))
        chosen = {name: request.GET[name] for name in ("role", "workspace") if name in request.GET}
        events = (
            events_around(user, SHOWN_EVENTS)
            if actor_of(request).grants.allows("audit_read")
            else None
        )
        return {
            "person": user,
            "state": self.state(user),
            "is_self": user == request.user,
            "bindings": [(one, place(one)) for one in user.bindings.all()],
            "bind_form": BindForm(initial=chosen),
            "live": list(live.order_by("-created_at")[:SHOWN_SESSIONS]),
            "events": None
            if events is None
            else [(event, marked_sentence_of(event)) for event in events],
        }

    # --- A new password --------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.password_view)
        return [
            path("<int:pk>/password/", view, name="accounts_user_password"),
            *super().get_urls(),
        ]

    def password_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        if not self._may(request, "change"):
            raise PermissionDenied
        user = get_object_or_404(self.get_queryset(request), pk=pk)
        form = NewPasswordForm(request.POST or None, user=user)
        if request.method == "POST" and form.is_valid():
            typed = form.cleaned_data["password"]
            password = typed or passwords.generate()
            try:
                services.set_user_password(
                    user=user, new_password=password, actor=actor_of(request)
                )
            except ProductError as error:
                raise PermissionDenied(error.message) from None
            return self._password_is_set(request, user, "" if typed else password)
        shown = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "person": user,
            "form": form,
            "title": f"A new password for {user.username}",
        }
        return TemplateResponse(request, "admin/accounts/user/password.html", shown)

    def _password_is_set(self, request: HttpRequest, user: User, shown_once: str) -> HttpResponse:
        if shown_once:
            return self._shown_once(request, user, shown_once, is_new=False)
        self.message_user(
            request, f"{user.username} has a new password and is logged out everywhere."
        )
        return HttpResponseRedirect(self.page_of(user))
