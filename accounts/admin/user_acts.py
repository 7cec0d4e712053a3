"""The buttons on the page of a user."""

from __future__ import annotations

import uuid
from typing import Any, Final

from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode

from accounts import lockout, services, sessions
from accounts.actor import Actor
from accounts.admin.acts import ActingAdmin
from accounts.admin.bindings import place
from accounts.admin.user_forms import BindForm
from accounts.console.keys import key_of
from accounts.models import RefreshSession, RoleBinding, User
from provisioning.errors import Invalid

MANAGE: Final = "user_manage"
ACTS: Final = ("activate", "deactivate", "bind", "unbind", "end-session", "end-all", "unlock")


class UserActs(ActingAdmin):
    acts = dict.fromkeys(ACTS, MANAGE)
    extra_permissions = {f"accounts_user_{name.replace('-', '_')}": MANAGE for name in ACTS}

    def page_of(self, user: User) -> str:
        return reverse("admin:accounts_user_change", args=[user.pk])

    def after_act(self, request: HttpRequest, row: Any) -> str:
        chosen = {
            name: request.POST[name] for name in ("role", "workspace") if name in request.POST
        }
        is_refused = getattr(request, "keeps_choice", False) and chosen
        return self.page_of(row) + (f"?{urlencode(chosen)}" if is_refused else "")

    def activate(self, user: User, actor: Actor, request: HttpRequest) -> str:
        services.change_user(user=user, is_active=True, actor=actor)
        return f"{user.username} is active."

    def deactivate(self, user: User, actor: Actor, request: HttpRequest) -> str:
        services.change_user(user=user, is_active=False, actor=actor)
        return f"{user.username} is inactive, and logged out everywhere."

    def bind(self, user: User, actor: Actor, request: HttpRequest) -> str:
        request.keeps_choice = True  # type: ignore[attr-defined]  # for a refusal
        form = BindForm(request.POST)
        if not form.is_valid():
            raise Invalid("Choose a role that exists.")
        binding = services.create_binding(user=user, **form.cleaned_data, actor=actor)
        request.keeps_choice = False  # type: ignore[attr-defined]
        return f"{user.username} is {binding.role.name} {place(binding)}."

    def unbind(self, user: User, actor: Actor, request: HttpRequest) -> str:
        key = key_of(RoleBinding, request.POST.get("binding", ""))
        bindings = RoleBinding.objects.select_related("user", "role", "workspace")
        found = bindings.filter(user=user, pk=key).first() if key else None
        if found is None:
            raise Invalid("This role has been taken already.")
        services.delete_binding(binding=found, actor=actor)
        return f"{user.username} is not {found.role.name} {place(found)} any more."

    def end_session(self, user: User, actor: Actor, request: HttpRequest) -> str:
        named = as_uuid(request.POST.get("session", ""))
        session = RefreshSession.objects.filter(user=user, pk=named).first() if named else None
        if session is None:
            raise Invalid("This session has ended already.")
        sessions.revoke_session(family=session.family, user=user, actor=actor)
        return "The session has ended."

    def end_all(self, user: User, actor: Actor, request: HttpRequest) -> str:
        sessions.revoke_all_sessions(user=user, actor=actor)
        return f"{user.username} is logged out everywhere, from the console, too."

    def unlock(self, user: User, actor: Actor, request: HttpRequest) -> str:
        lockout.unlock(user, actor=actor)
        return f"{user.username} can log in again."


def as_uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
