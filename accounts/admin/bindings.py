"""Who holds which role where."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts import services
from accounts.actor import actor_of
from accounts.admin.acts import user_link
from accounts.console import ConsoleAdmin
from accounts.console.looks import badge, moment
from accounts.models import Role, RoleBinding, User, Workspace


def role_field() -> Any:
    return forms.ModelChoiceField(
        Role.objects.order_by("-is_built_in", "id"),
        help_text="What it lets one do stands on the page of the role.",
    )


def workspace_field() -> Any:
    return forms.ModelChoiceField(
        Workspace.objects.order_by("name"),
        required=False,
        empty_label="Everywhere",
        help_text="In one workspace only what belongs to workspaces counts; "
        "managing people or auto-install needs everywhere.",
    )


class BindingForm(forms.ModelForm):  # type: ignore[type-arg]  # takes none at run time
    user = forms.ModelChoiceField(User.objects.order_by("username"), help_text="Who gets the role.")
    role = role_field()
    workspace = workspace_field()

    class Meta:
        model = RoleBinding
        fields = ("user", "role", "workspace")


def place(binding: RoleBinding) -> str:
    return f"in {binding.workspace.name}" if binding.workspace else "everywhere"


@admin.register(RoleBinding)
class RoleBindingAdmin(ConsoleAdmin):
    section, position = "People", 3
    permissions = dict.fromkeys(("view", "add", "delete"), "user_manage")
    intro = "A binding gives a user a role: in one workspace, or everywhere."
    empty = "Add one: without any role a user may do nothing."
    deleting = "What the role allowed there ends within five seconds."
    form = BindingForm
    list_display = ("shown_user", "role_name", "where", "since")
    list_select_related = ("user", "role", "workspace")
    list_filter = ("role", "workspace")
    search_fields = ("user__username", "user__full_name")
    ordering = ("user__username", "id")

    @admin.display(description="user", ordering="user__username")
    def shown_user(self, binding: RoleBinding) -> str:
        return binding.user.username

    @admin.display(description="role", ordering="role__name")
    def role_name(self, binding: RoleBinding) -> str:
        return binding.role.name

    @admin.display(description="where", ordering="workspace__name")
    def where(self, binding: RoleBinding) -> SafeString | str:
        return binding.workspace.name if binding.workspace else badge("everywhere", tone="busy")

    @admin.display(description="since", ordering="created_at")
    def since(self, binding: RoleBinding) -> SafeString | str:
        return moment(binding.created_at)

    @admin.display(description="user")
    def linked_user(self, binding: RoleBinding) -> SafeString:
        return user_link(binding.user_id, binding.user.username)

    def get_fields(self, request: HttpRequest, obj: RoleBinding | None = None) -> Any:
        return ("linked_user", "role_name", "where", "since") if obj else self.form.Meta.fields

    def write(self, request: HttpRequest, obj: Any, form: Any) -> Any:
        return services.create_binding(**form.cleaned_data, actor=actor_of(request))

    def remove(self, request: HttpRequest, obj: Any) -> None:
        services.delete_binding(binding=obj, actor=actor_of(request))


def shown_binding(binding: RoleBinding) -> SafeString:
    """`Operator in production` with the role as a badge."""
    return format_html(
        '<span class="held-role">{} <span class="quiet">{}</span></span>',
        badge(binding.role.name, tone="busy" if binding.role.name == "Admin" else "quiet"),
        place(binding),
    )
