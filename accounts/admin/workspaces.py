"""Workspaces: what the CLI calls an infra, and how operations in it get along."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.safestring import SafeString

from accounts import services
from accounts.actor import actor_of
from accounts.console import ConsoleAdmin
from accounts.console.looks import badge, moment
from accounts.models import Workspace

# The lists of other apps that are narrowed to one workspace: the page, its permission, its parameter.
LISTS: Final = (
    ("Servers", "operations_server", "server_read", "workspace={name}"),
    ("Taskservs", "operations_taskserv", "taskserv_read", "workspace={name}"),
    ("Clusters", "operations_cluster", "cluster_read", "workspace={name}"),
    ("Operations", "operations_operation", "operation_read", "workspace={name}"),
)


class WorkspaceForm(forms.ModelForm):  # type: ignore[type-arg]  # takes none at run time
    class Meta:
        model = Workspace
        fields = ("name", "description", "concurrency_policy")
        widgets = {"concurrency_policy": forms.RadioSelect}
        help_texts = {
            "name": "What the CLI knows it by (--infra). It stays as it is.",
            "description": "What it is for, for whoever chooses among workspaces.",
            "concurrency_policy": "What becomes of an operation on something that another one waits for "
            "or works on.",
        }


@admin.register(Workspace)
class WorkspaceAdmin(ConsoleAdmin):
    section, position = "System", 1
    permissions = {
        "view": "workspace_read",
        "add": "workspace_manage",
        "change": "workspace_manage",
        "delete": "workspace_manage",
    }
    workspace_path = "pk"
    intro = (
        "A named set of servers, taskservs and clusters. Roles can be held in one workspace only."
    )
    empty = "Add one: every server, taskserv and cluster belongs to a workspace."
    deleting = "Only an empty workspace can be deleted. The role bindings in it go with it."
    form = WorkspaceForm
    fields = ("name", "description", "concurrency_policy")
    list_display = ("name", "description", "policy", "since")
    search_fields = ("name", "description")
    ordering = ("name",)

    @admin.display(description="at the same time", ordering="concurrency_policy")
    def policy(self, workspace: Workspace) -> SafeString:
        return badge(workspace.get_concurrency_policy_display(), tone="quiet")

    @admin.display(description="since", ordering="created_at")
    def since(self, workspace: Workspace) -> SafeString | str:
        return moment(workspace.created_at)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("name",) if obj else ()

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        workspace = self.get_object(request, object_id)
        shown = {"lists": lists_of(request, workspace) if workspace else []}
        return super().change_view(request, object_id, form_url, {**shown, **(extra_context or {})})

    def write(self, request: HttpRequest, obj: Any, form: Any) -> Any:
        actor = actor_of(request)
        if obj.pk is None:
            return services.create_workspace(**form.cleaned_data, actor=actor)
        return services.change_workspace(workspace=obj, **form.cleaned_data, actor=actor)

    def remove(self, request: HttpRequest, obj: Any) -> None:
        services.delete_workspace(workspace=obj, actor=actor_of(request))


def lists_of(request: HttpRequest, workspace: Workspace) -> list[tuple[str, str]]:
    """`(label, URL)` of what lives in it, as far as the person may see it there."""
    grants = actor_of(request).grants
    found = []
    for label, page, permission, parameter in LISTS:
        if not grants.allows(permission, workspace.pk):
            continue
        try:
            url = reverse(f"admin:{page}_changelist")
        except NoReverseMatch:  # the app of that page is not there
            continue
        found.append(
            (label, f"{url}?{parameter.format(pk=workspace.pk, name=quote(workspace.name))}")
        )
    return found
