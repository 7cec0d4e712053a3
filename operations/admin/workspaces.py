"""Which workspaces a form offers."""

from __future__ import annotations

from accounts.actor import Actor
from accounts.models import Workspace
from accounts.permissions import within


def workspaces_for(actor: Actor, permission: str) -> list[str]:
    """Names of those that the person sees and holds the permission in."""
    rows = Workspace.objects.filter(
        within(actor, permission, "pk"), within(actor, "workspace_read", "pk")
    )
    return list(rows.order_by("name").values_list("name", flat=True))
