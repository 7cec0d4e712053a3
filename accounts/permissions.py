"""Deny by default: each view declares what each action needs, undeclared is refused."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

from django.db.models import Q
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts.actor import Actor
from accounts.models import User, Workspace
from provisioning.errors import Forbidden, Invalid
from provisioning.statements import Prepared

if TYPE_CHECKING:  # rest_framework.views imports this module for its default permission
    from rest_framework.views import APIView

# For an action that needs a valid token and nothing more, and for one that needs not even that.
ANY_USER: Final = "any_user"
PUBLIC: Final = "public"


class RequiredPermission(BasePermission):
    """Asks for `view.required_permissions[action]` (or `[method]` on a plain APIView).

    It runs before the body is read. A permission that is bound to workspaces passes here when it is
    held in any; the service asks again for the workspace that is meant.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        needed = needed_permission(request, view)
        if needed is None:
            # Method not allowed: DRF says 405 itself; an undeclared action of ours is denied.
            return request.method not in {name.upper() for name in _handlers(view)}
        if needed == PUBLIC:
            return True
        if not isinstance(request.user, User):
            return False
        if needed == ANY_USER or request.user.has_perm(needed):
            return True
        raise Forbidden(f"This needs the permission {needed}, which you do not hold.")


def needed_permission(request: Request, view: APIView) -> str | None:
    required: dict[str, str] = getattr(view, "required_permissions", {})
    action = getattr(view, "action", None) or (request.method or "").lower()
    return required.get("get" if action == "head" else action)


def _handlers(view: APIView) -> set[str]:
    mapped = set(getattr(view, "action_map", None) or {})
    return mapped or {name for name in view.http_method_names if hasattr(view, name)}


def require(actor: Actor, permission: str, workspace: Workspace) -> None:
    """Raise Forbidden unless the actor holds the permission in this workspace."""
    if actor.is_system or actor.grants.allows(permission, workspace.pk):
        return
    raise Forbidden(
        f"This needs the permission {permission} in workspace {workspace.name}, "
        "which you do not hold."
    )


def visible_workspace(actor: Actor, name: str) -> Workspace:
    """The workspace of this name. One that does not exist and one that the actor may not see are
    refused alike: Invalid naming the field."""
    workspace = next(iter(_by_name()(name)), None)
    if workspace is None or not (
        actor.is_system or actor.grants.allows("workspace_read", workspace.pk)
    ):
        raise Invalid(f"{name!r} is no workspace", field="workspace")
    return workspace


@functools.cache
def _by_name() -> Prepared[Workspace]:
    """Asked by every request that launches something."""
    return Prepared(Workspace.objects.filter(name="?"), "?")


def within(actor: Actor, permission: str, path: str = "workspace_id") -> Q:
    """The filter that narrows a queryset to the workspaces where the actor holds the permission."""
    if actor.is_system:
        return Q()
    workspaces = actor.grants.workspaces_for(permission)
    return Q() if workspaces is None else Q(**{f"{path}__in": workspaces})
