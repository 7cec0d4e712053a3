"""The authentication backend: passwords against Argon2id, permissions from role bindings."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from accounts.models import User, Workspace
from accounts.roles import PERMISSIONS


class RoleBackend:
    """API, console and commands ask the same `user.has_perm("server_create", workspace)`."""

    def authenticate(
        self, request: HttpRequest | None, username: str = "", password: str = "", **_: Any
    ) -> User | None:
        """The active user with this name and password. An unknown name, an inactive user and a wrong
        password cost the same one hash, so that timing tells nothing apart."""
        # Names are ASCII. To a database a name with a long s (U+017F) can be a spelling of another,
        # which the lockout would not count as the same.
        found = User.objects.filter(username__iexact=username) if username.isascii() else None
        user = found.first() if found is not None else None
        if user is None:
            User().set_password(password)
            return None
        if not user.check_password(password) or not user.is_active:
            return None
        return user

    def get_user(self, user_id: int) -> User | None:
        return User.objects.filter(pk=user_id, is_active=True).first()

    def has_perm(self, user: User, permission: str, workspace: Workspace | None = None) -> bool:
        """Unknown names (Django's own `app.action_model`) are always denied."""
        if not getattr(user, "is_active", False) or permission not in PERMISSIONS:
            return False
        return user.grants.allows(permission, workspace.pk if workspace else None)
