"""Who keeps which workspace, and what happens where two want the same: one page for all workspaces."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from accounts.actor import Actor, actor_of
from accounts.console import ConsoleAdmin
from accounts.models import Workspace
from accounts.permissions import require, within
from operations.admin.acting import Done, acting
from operations.models import Operation, WorkspaceLock
from operations.serializers import LockWorkspace
from operations.services import locking
from provisioning.errors import Invalid

WORKSPACES_ON_A_PAGE = 50


@admin.register(WorkspaceLock)
class WorkspaceLockAdmin(ConsoleAdmin):
    section, position = "Operations", 2
    permissions = {"view": "workspace_read"}
    extra_permissions = dict.fromkeys(
        ("operations_workspacelock_lock", "operations_workspacelock_unlock"), "workspace_lock"
    )

    def get_urls(self) -> list[URLPattern]:
        own = [
            path(
                f"<int:pk>/{name}/",
                self.admin_site.admin_view(view),
                name=f"operations_workspacelock_{name}",
            )
            for name, view in {"lock": self.lock_view, "unlock": self.unlock_view}.items()
        ]
        return [*own, *super().get_urls()]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Every workspace that the person may see, locked or not."""
        if request.method == "POST" or not self.has_view_permission(request):
            raise PermissionDenied
        actor = actor_of(request)
        rows = Workspace.objects.filter(within(actor, "workspace_read", "pk"))
        pages = Paginator(rows.select_related("lock").order_by("name"), WORKSPACES_ON_A_PAGE)
        page = pages.get_page(request.GET.get("p"))
        shown = {
            **self.admin_site.each_context(request),
            "title": "Workspace locks",
            "opts": self.opts,
            "media": self.media,
            "page": page,
            "workspaces": described(list(page.object_list), actor),
        }
        return TemplateResponse(request, "admin/operations/workspacelock/list.html", shown)

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **more: Any) -> Any:
        if request.method == "POST" or not self.has_view_permission(request):
            raise PermissionDenied
        raise Http404  # a lock has no page of its own

    # --- Acts ----------------------------------------------------------------------------------

    def lock_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        workspace = self.one(request, pk)
        actor = actor_of(request)

        def act() -> Done:
            require(actor, "workspace_lock", workspace)
            body = LockWorkspace(data={"reason": request.POST.get("reason", "")})
            if not body.is_valid():
                raise Invalid(str(body.errors["reason"][0]), field="reason")
            reason = body.validated_data["reason"]
            locking.lock_workspace(workspace=workspace, reason=reason, actor=actor)
            return f"You keep the workspace {workspace.name} now.", self.list_url

        return acting(request, act, back=self.list_url)

    def unlock_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """With `force`, somebody else's lock; that needs the permission to manage workspaces."""
        workspace = self.one(request, pk)
        actor = actor_of(request)
        force = "force" in request.POST

        def act() -> Done:
            require(actor, "workspace_lock", workspace)
            if force:
                require(actor, "workspace_manage", workspace)
            locking.unlock_workspace(workspace=workspace, actor=actor, force=force)
            return f"The workspace {workspace.name} is free again.", self.list_url

        return acting(request, act, back=self.list_url)

    def one(self, request: HttpRequest, pk: int) -> Workspace:
        if not self.has_view_permission(request):
            raise PermissionDenied
        mine = Workspace.objects.filter(within(actor_of(request), "workspace_read", "pk"))
        found: Workspace = self.find(request, mine, pk)
        return found

    @property
    def list_url(self) -> str:
        return reverse("admin:operations_workspacelock_changelist")


def described(workspaces: list[Workspace], actor: Actor) -> list[dict[str, Any]]:
    """Each with its lock, what is under way (for who may see that), and what the person may do."""
    counts = open_operations()
    described = []
    for workspace in workspaces:
        lock = getattr(workspace, "lock", None)
        is_own = lock is not None and lock.holder_name == actor.name
        may_lock = actor.grants.allows("workspace_lock", workspace.pk)
        may_manage = actor.grants.allows("workspace_manage", workspace.pk)
        described.append(
            {
                "workspace": workspace,
                "policy": Workspace.ConcurrencyPolicy(workspace.concurrency_policy).label,
                "lock": lock,
                "is_own": is_own,
                "counts": counts.get(workspace.pk, {"running": 0, "pending": 0})
                if actor.grants.allows("operation_read", workspace.pk)
                else None,
                "can_lock": may_lock and (lock is None or is_own),
                "can_unlock": may_lock and is_own,
                "can_force": may_lock and may_manage and lock is not None and not is_own,
            }
        )
    return described


def open_operations() -> dict[int | None, dict[str, int]]:
    """Workspace -> counts. Of all of them: what is open is little, and has an index of its own."""
    counts: dict[int | None, dict[str, int]] = {}
    rows = Operation.objects.filter(status__in=locking.OPEN).order_by()
    for key, status, count in rows.values_list("workspace", "status").annotate(count=Count("pk")):
        counts.setdefault(key, {"running": 0, "pending": 0})[status] = count
    return counts
