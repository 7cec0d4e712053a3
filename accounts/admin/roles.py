"""Roles: named lists of permissions, read as sentences."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from django import forms
from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts import services
from accounts.actor import actor_of
from accounts.admin.bindings import place
from accounts.console import ConsoleAdmin
from accounts.console.keys import key_of
from accounts.console.looks import badge
from accounts.models import Role, RoleBinding
from accounts.roles import PERMISSIONS

SHOWN_HOLDERS: Final = 100
# The matrix: a heading, and the beginnings of the permissions below it.
GROUPS: Final = (
    ("Servers", ("server_",)),
    ("Taskservs", ("taskserv_",)),
    ("Clusters", ("cluster_",)),
    ("Operations and workflows", ("operation_", "workflow_")),
    ("Workspaces", ("workspace_",)),
    ("Auto-install", ("answer_token_", "prepared_config_", "installation_")),
    ("People and audit", ("user_", "role_", "audit_")),
    ("System", ("",)),
)


class Box(NamedTuple):
    name: str
    sentence: str
    is_scoped: bool
    is_held: bool


def matrix(held: set[str]) -> list[tuple[str, list[Box]]]:
    """Every permission once, under the first heading that fits."""
    left = dict(PERMISSIONS)
    found = []
    for heading, beginnings in GROUPS:
        names = [name for name in left if name.startswith(beginnings)]
        boxes = [left.pop(name) for name in names]
        found.append((heading, [Box(*_of(one), one.name in held) for one in boxes]))
    return [(heading, boxes) for heading, boxes in found if boxes]


def _of(permission: Any) -> tuple[str, str, bool]:
    return permission.name, permission.sentence, permission.is_scoped


class MatrixWidget(forms.CheckboxSelectMultiple):
    """Check boxes with sentences, grouped by what they are about."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        shown = {"name": name, "groups": matrix(set(value or ())), "is_form": True}
        return render_to_string("admin/accounts/role/matrix.html", shown)


class RoleForm(forms.ModelForm):  # type: ignore[type-arg]  # takes none at run time
    permissions = forms.MultipleChoiceField(
        label="What it allows",
        choices=[(name, known.sentence) for name, known in PERMISSIONS.items()],
        widget=MatrixWidget,
        error_messages={"required": "Choose at least one permission."},
    )

    class Meta:
        model = Role
        fields = ("name", "description", "permissions")
        help_texts = {
            "name": "What people call it, such as Deployer.",
            "description": "One line: what somebody with it may do.",
        }


@admin.register(Role)
class RoleAdmin(ConsoleAdmin):
    section, position = "People", 2
    permissions = dict.fromkeys(("view", "add", "change", "delete"), "role_manage")
    intro = (
        "What people may do. The four built-in roles stay as they are; add your own beside them."
    )
    deleting = "A role that somebody holds cannot be deleted: take it from its holders first."
    form = RoleForm
    list_display = ("name", "description", "kind", "allows", "holders")
    search_fields = ("name", "description")
    ordering = ("-is_built_in", "id")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        annotated: QuerySet[Any] = rows.annotate(held_by=Count("bindings"))
        return annotated

    @admin.display(description="kind", ordering="is_built_in")
    def kind(self, role: Role) -> SafeString:
        return badge("built in", tone="busy") if role.is_built_in else badge("own", tone="quiet")

    @admin.display(description="allows")
    def allows(self, role: Role) -> str:
        return f"{len(role.permissions)} of {len(PERMISSIONS)} permissions"

    @admin.display(description="held by", ordering="held_by")
    def holders(self, role: Any) -> str:
        return f"{role.held_by} {'binding' if role.held_by == 1 else 'bindings'}"

    @admin.display(description="What it allows")
    def sentences(self, role: Role) -> SafeString:
        shown = {"groups": matrix(set(role.permissions)), "is_form": False}
        return format_html("{}", render_to_string("admin/accounts/role/matrix.html", shown))

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if self.has_change_permission(request, obj) or obj is None:
            return ("name", "description", "permissions")
        return ("name", "description", "sentences")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return () if self.has_change_permission(request, obj) else ("sentences",)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and not (obj and obj.is_built_in)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and not (obj and obj.is_built_in)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Beside the matrix who holds it, for those who may see people."""
        shown: dict[str, Any] = {}
        key = key_of(Role, object_id)
        if actor_of(request).grants.allows("user_manage") and key:
            bindings = RoleBinding.objects.filter(role_id=key).order_by("user__username")
            rows = list(bindings.select_related("user", "workspace")[: SHOWN_HOLDERS + 1])
            shown["holders"] = [(row, place(row)) for row in rows[:SHOWN_HOLDERS]]
            shown["has_more_holders"] = len(rows) > SHOWN_HOLDERS
            shown["may_see_holders"] = True
        return super().change_view(request, object_id, form_url, {**shown, **(extra_context or {})})

    def write(self, request: HttpRequest, obj: Any, form: Any) -> Any:
        if obj.pk is None:
            return services.create_role(**form.cleaned_data, actor=actor_of(request))
        return services.change_role(role=obj, **form.cleaned_data, actor=actor_of(request))

    def remove(self, request: HttpRequest, obj: Any) -> None:
        services.delete_role(role=obj, actor=actor_of(request))
