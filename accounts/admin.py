"""Console pages of people and the audit trail; every act is the API's service."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts import lockout, services
from accounts.actor import actor_of
from accounts.console import ConsoleAdmin
from accounts.models import AuditEvent, RefreshSession, Role, RoleBinding, User, Workspace
from accounts.roles import PERMISSIONS

USER_PERMISSIONS = dict.fromkeys(("view", "add", "change", "delete"), "user_manage")


class UserForm(forms.ModelForm):  # type: ignore[type-arg]  # takes none at run time
    """The password is asked for when a user is made; left empty later it stays."""

    password = forms.CharField(
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="Left empty: it stays as it is. A new one ends every session of the user.",
    )

    class Meta:
        model = User
        fields = ("username", "email", "full_name", "is_active")


@admin.register(User)
class UserAdmin(ConsoleAdmin):
    permissions = USER_PERMISSIONS
    form = UserForm
    fields = ("username", "password", "email", "full_name", "is_active")
    list_display = ("username", "full_name", "email", "is_active", "last_login")
    list_filter = ("is_active",)
    search_fields = ("username", "email", "full_name")
    actions = ("unlock",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("username",) if obj else ()

    def write(self, request: HttpRequest, obj: Any, form: Any) -> Any:
        values = form.cleaned_data
        password = values.pop("password", "")
        actor = actor_of(request)
        if obj.pk is None:
            values.pop("is_active", None)
            return services.create_user(**values, password=password, actor=actor)
        user = services.change_user(user=obj, **values, actor=actor)
        if password:
            services.set_user_password(user=user, new_password=password, actor=actor)
        return user

    def remove(self, request: HttpRequest, obj: Any) -> None:
        services.delete_user(user=obj, actor=actor_of(request))

    @admin.action(description="End the lockout of the selected users")
    def unlock(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        ended = sum(lockout.unlock(user, actor=actor_of(request)) for user in queryset)
        self.message_user(request, f"{ended} lockouts ended.", messages.SUCCESS)


class RoleForm(forms.ModelForm):  # type: ignore[type-arg]  # takes none at run time
    permissions = forms.MultipleChoiceField(
        choices=[(name, f"{name} - {known.sentence}") for name, known in PERMISSIONS.items()],
        widget=forms.CheckboxSelectMultiple,
    )

    class Meta:
        model = Role
        fields = ("name", "description", "permissions")


@admin.register(Role)
class RoleAdmin(ConsoleAdmin):
    permissions = dict.fromkeys(("view", "add", "change", "delete"), "role_manage")
    form = RoleForm
    list_display = ("name", "description", "is_built_in")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and not (obj and obj.is_built_in)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and not (obj and obj.is_built_in)

    def write(self, request: HttpRequest, obj: Any, form: Any) -> Any:
        if obj.pk is None:
            return services.create_role(**form.cleaned_data, actor=actor_of(request))
        return services.change_role(role=obj, **form.cleaned_data, actor=actor_of(request))

    def remove(self, request: HttpRequest, obj: Any) -> None:
        services.delete_role(role=obj, actor=actor_of(request))


@admin.register(RoleBinding)
class RoleBindingAdmin(ConsoleAdmin):
    permissions = dict.fromkeys(("view", "add", "delete"), "user_manage")
    fields = ("user", "role", "workspace")
    list_display = ("user", "role", "workspace", "created_at")
    list_select_related = ("user", "role", "workspace")
    list_filter = ("role", "workspace")
    search_fields = ("user__username",)

    def write(self, request: HttpRequest, obj: Any, form: Any) -> Any:
        return services.create_binding(**form.cleaned_data, actor=actor_of(request))

    def remove(self, request: HttpRequest, obj: Any) -> None:
        services.delete_binding(binding=obj, actor=actor_of(request))


@admin.register(Workspace)
class WorkspaceAdmin(ConsoleAdmin):
    permissions = {
        "view": "workspace_read",
        "add": "workspace_manage",
        "change": "workspace_manage",
        "delete": "workspace_manage",
    }
    workspace_path = "pk"
    fields = ("name", "description", "concurrency_policy")
    list_display = ("name", "description", "concurrency_policy", "created_at")
    search_fields = ("name", "description")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("name",) if obj else ()

    def write(self, request: HttpRequest, obj: Any, form: Any) -> Any:
        actor = actor_of(request)
        if obj.pk is None:
            return services.create_workspace(**form.cleaned_data, actor=actor)
        return services.change_workspace(workspace=obj, **form.cleaned_data, actor=actor)

    def remove(self, request: HttpRequest, obj: Any) -> None:
        services.delete_workspace(workspace=obj, actor=actor_of(request))


@admin.register(RefreshSession)
class RefreshSessionAdmin(ConsoleAdmin):
    permissions = {"view": "user_manage"}
    list_display = ("user", "created_at", "expires_at", "spent_at", "revoked_at", "source")
    list_select_related = ("user",)
    search_fields = ("user__username", "source")


@admin.register(AuditEvent)
class AuditEventAdmin(ConsoleAdmin):
    permissions = {"view": "audit_read"}
    list_display = (
        "occurred_at",
        "event",
        "outcome",
        "actor_name",
        "target_name",
        "workspace",
        "source",
    )
    list_filter = ("outcome", "event")
    search_fields = ("actor_name", "target_name", "target_id", "request_id", "workspace")
    date_hierarchy = "occurred_at"
