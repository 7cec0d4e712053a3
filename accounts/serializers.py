"""Request and response shapes of accounts; they translate and decide nothing."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from accounts.models import AuditEvent, Role, RoleBinding, User, Workspace
from accounts.passwords import MAX_LENGTH
from provisioning.serializers import StrictBooleanField, StrictCharField, StrictSerializer


def password_field(**kwargs: Any) -> StrictCharField:
    return StrictCharField(
        max_length=MAX_LENGTH,
        trim_whitespace=False,
        write_only=True,
        style={"input_type": "password"},
        **kwargs,
    )


class LoginRequest(StrictSerializer):
    username = StrictCharField(max_length=150)
    password = password_field()


class RefreshRequest(StrictSerializer):
    refresh_token = StrictCharField(max_length=4096)


class TokenPair(StrictSerializer):
    token = serializers.CharField(help_text="Access token for `Authorization: Bearer`.")
    refresh_token = serializers.CharField(help_text="Works once, at `/v1/auth/refresh`.")
    expires_in = serializers.IntegerField(help_text="Seconds until the access token ends.")


class PasswordRequest(StrictSerializer):
    old_password = password_field()
    new_password = password_field()


class BindingOfMe(StrictSerializer):
    role = serializers.CharField()
    workspace = serializers.CharField(allow_null=True, help_text="null: everywhere")


class Me(StrictSerializer):
    id = serializers.IntegerField()
    username = serializers.CharField()
    email = serializers.CharField()
    full_name = serializers.CharField()
    roles = BindingOfMe(many=True)
    permissions = serializers.ListField(child=serializers.CharField(), help_text="Held everywhere.")
    workspace_permissions = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField()),
        help_text="Held in single workspaces, by the workspace's name.",
    )


class UserOut(serializers.ModelSerializer[User]):
    email = serializers.CharField(help_text="An address, or empty")

    class Meta:
        model = User
        fields = ("id", "username", "email", "full_name", "is_active", "created_at", "last_login")
        read_only_fields = fields


class UserCreate(StrictSerializer):
    username = StrictCharField(max_length=150)
    password = password_field()
    email = serializers.EmailField(required=False, allow_blank=True, max_length=254)
    full_name = StrictCharField(required=False, allow_blank=True, max_length=150)


class UserChange(StrictSerializer):
    email = serializers.EmailField(required=False, allow_blank=True, max_length=254)
    full_name = StrictCharField(required=False, allow_blank=True, max_length=150)
    is_active = StrictBooleanField(required=False)


class UserPassword(StrictSerializer):
    password = password_field()


class RoleOut(serializers.ModelSerializer[Role]):
    class Meta:
        model = Role
        fields = ("id", "name", "description", "permissions", "is_built_in", "created_at")
        read_only_fields = fields


class RoleIn(StrictSerializer):
    name = StrictCharField(max_length=63)
    description = StrictCharField(required=False, allow_blank=True, max_length=255)
    permissions = serializers.ListField(child=StrictCharField(max_length=64), max_length=100)


class BindingOut(serializers.ModelSerializer[RoleBinding]):
    user = serializers.CharField(source="user.username")
    role = serializers.CharField(source="role.name")
    workspace = serializers.CharField(source="workspace.name", default=None, allow_null=True)

    class Meta:
        model = RoleBinding
        fields = ("id", "user", "role", "workspace", "created_at")
        read_only_fields = fields


class BindingCreate(StrictSerializer):
    user = StrictCharField(max_length=150, help_text="User name")
    role = StrictCharField(max_length=63, help_text="Role name")
    workspace = StrictCharField(
        max_length=63, required=False, allow_null=True, help_text="Left out or null: everywhere"
    )


class WorkspaceOut(serializers.ModelSerializer[Workspace]):
    class Meta:
        model = Workspace
        fields = ("id", "name", "description", "concurrency_policy", "created_at")
        read_only_fields = fields


class WorkspaceCreate(StrictSerializer):
    name = StrictCharField(max_length=63)
    description = StrictCharField(required=False, allow_blank=True, max_length=255)
    concurrency_policy = serializers.ChoiceField(
        Workspace.ConcurrencyPolicy.choices, required=False
    )


class WorkspaceChange(StrictSerializer):
    description = StrictCharField(required=False, allow_blank=True, max_length=255)
    concurrency_policy = serializers.ChoiceField(
        Workspace.ConcurrencyPolicy.choices, required=False
    )


class AuditEventOut(serializers.ModelSerializer[AuditEvent]):
    actor = serializers.CharField(source="actor_name")
    target = serializers.SerializerMethodField()

    class Meta:
        model = AuditEvent
        fields = (
            "id",
            "occurred_at",
            "event",
            "outcome",
            "actor",
            "target",
            "workspace",
            "source",
            "user_agent",
            "request_id",
            "data",
        )
        read_only_fields = fields

    def get_target(self, event: AuditEvent) -> dict[str, str]:
        return {
            "type": event.target_type,
            "id": event.target_id,
            "name": event.target_name,
        }
