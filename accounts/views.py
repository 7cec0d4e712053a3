"""The doors of accounts: parse, service, answer."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar, TypeVar

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from accounts import lockout, serializers, services, sessions
from accounts.models import AuditEvent, Role, RoleBinding, User, Workspace
from accounts.permissions import ANY_USER, PUBLIC, within
from provisioning.api import ApiViewSet
from provisioning.errors import Invalid

Row = TypeVar("Row", User, Role, Workspace)

TOKEN_EXAMPLE = OpenApiExample(
    "A token pair",
    value={"token": "eyJhbGciOi...", "refresh_token": "eyJhbGciOi...", "expires_in": 86400},
    response_only=True,
)


class AuthViewSet(ApiViewSet):
    """Log in, refresh, log out, who am I, change my password."""

    required_permissions: ClassVar[dict[str, str]] = {
        "login": PUBLIC,
        "refresh": PUBLIC,
        "logout": ANY_USER,
        "me": ANY_USER,
        "password": ANY_USER,
    }
    serializer_class = serializers.Me

    def get_authenticators(self) -> list[object]:  # type: ignore[override]
        # An outdated token beside a login must not refuse the login.
        path = getattr(self.request, "path", "")
        is_public = path in ("/v1/auth/login", "/v1/auth/refresh")
        return [] if is_public else list(super().get_authenticators())

    @extend_schema(
        summary="Log in",
        request=serializers.LoginRequest,
        responses=serializers.TokenPair,
        auth=[],
        examples=[
            OpenApiExample(
                "Login", value={"username": "admin", "password": "..."}, request_only=True
            ),
            TOKEN_EXAMPLE,
        ],
    )
    @action(detail=False, methods=["post"])
    def login(self, request: Request) -> Response:
        body = self.read_body(serializers.LoginRequest)
        return Response(sessions.log_in(**body, actor=self.actor))

    @extend_schema(
        summary="Rotate the refresh token",
        request=serializers.RefreshRequest,
        responses=serializers.TokenPair,
        auth=[],
        examples=[TOKEN_EXAMPLE],
    )
    @action(detail=False, methods=["post"])
    def refresh(self, request: Request) -> Response:
        body = self.read_body(serializers.RefreshRequest)
        return Response(sessions.refresh(**body, actor=self.actor))

    @extend_schema(summary="End this session", request=None, responses={204: None})
    @action(detail=False, methods=["post"])
    def logout(self, request: Request) -> Response:
        payload: dict[str, Any] = request.auth  # type: ignore[assignment]  # ours, see authentication
        sessions.log_out(family=uuid.UUID(payload["sid"]), actor=self.actor)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(summary="Who am I", responses=serializers.Me)
    @action(detail=False, methods=["get"])
    def me(self, request: Request) -> Response:
        user = self.person
        bindings = RoleBinding.objects.filter(user=user).select_related("role", "workspace")
        names = dict(Workspace.objects.values_list("pk", "name"))
        body = {
            "id": user.pk,
            "username": user.username,
            "email": user.email,
            "full_name": user.full_name,
            "roles": [
                {"role": b.role.name, "workspace": b.workspace.name if b.workspace else None}
                for b in bindings
            ],
            "permissions": sorted(user.grants.everywhere),
            "workspace_permissions": {
                names[key]: sorted(held)
                for key, held in user.grants.by_workspace.items()
                if key in names
            },
        }
        return Response(body)

    @extend_schema(
        summary="Change my password",
        description="Every session of mine ends, this one too: log in again.",
        request=serializers.PasswordRequest,
        responses={204: None},
    )
    @action(detail=False, methods=["post"])
    def password(self, request: Request) -> Response:
        body = self.read_body(serializers.PasswordRequest)
        user = User.objects.get(pk=self.person.pk)
        sessions.change_password(user=user, **body, actor=self.actor)
        return Response(status=status.HTTP_204_NO_CONTENT)


class CrudViewSet(ListModelMixin, RetrieveModelMixin, ApiViewSet):
    """List and retrieve, and the answer of the acts that change a row."""

    lookup_value_regex = "[0-9]{1,18}"

    def answer(self, row: object, code: int = status.HTTP_200_OK) -> Response:
        serializer: BaseSerializer[object] = self.get_serializer(row)
        return Response(serializer.data, status=code)


MANAGE_USERS = "user_manage"


class UserViewSet(CrudViewSet):
    """People. Only their roles say what they may do."""

    required_permissions: ClassVar[dict[str, str]] = dict.fromkeys(
        ("list", "retrieve", "create", "partial_update", "destroy", "password", "unlock"),
        MANAGE_USERS,
    )
    serializer_class = serializers.UserOut
    queryset = User.objects.all()

    @extend_schema(summary="Create a user", request=serializers.UserCreate)
    def create(self, request: Request) -> Response:
        body = self.read_body(serializers.UserCreate)
        return self.answer(services.create_user(**body, actor=self.actor), 201)

    @extend_schema(summary="Change a user", request=serializers.UserChange)
    def partial_update(self, request: Request, pk: str) -> Response:
        body = self.read_body(serializers.UserChange, partial=True)
        return self.answer(services.change_user(user=self.get_object(), **body, actor=self.actor))

    @extend_schema(summary="Delete a user")
    def destroy(self, request: Request, pk: str) -> Response:
        services.delete_user(user=self.get_object(), actor=self.actor)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        summary="Give a user a new password",
        request=serializers.UserPassword,
        responses={204: None},
    )
    @action(detail=True, methods=["post"])
    def password(self, request: Request, pk: str) -> Response:
        body = self.read_body(serializers.UserPassword)
        services.set_user_password(
            user=self.get_object(), new_password=body["password"], actor=self.actor
        )
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(summary="End the lockout of a user", request=None, responses={204: None})
    @action(detail=True, methods=["post"])
    def unlock(self, request: Request, pk: str) -> Response:
        lockout.unlock(self.get_object(), actor=self.actor)
        return Response(status=status.HTTP_204_NO_CONTENT)


class RoleViewSet(CrudViewSet):
    """Named lists of permissions. Admin, Operator, Developer and Viewer are built in."""

    required_permissions: ClassVar[dict[str, str]] = dict.fromkeys(
        ("list", "retrieve", "create", "partial_update", "destroy"), "role_manage"
    )
    serializer_class = serializers.RoleOut
    queryset = Role.objects.all()

    @extend_schema(summary="Create a role", request=serializers.RoleIn)
    def create(self, request: Request) -> Response:
        body = self.read_body(serializers.RoleIn)
        return self.answer(services.create_role(**body, actor=self.actor), 201)

    @extend_schema(summary="Change a role", request=serializers.RoleIn)
    def partial_update(self, request: Request, pk: str) -> Response:
        body = self.read_body(serializers.RoleIn, partial=True)
        return self.answer(services.change_role(role=self.get_object(), **body, actor=self.actor))

    @extend_schema(summary="Delete a role")
    def destroy(self, request: Request, pk: str) -> Response:
        services.delete_role(role=self.get_object(), actor=self.actor)
        return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema(tags=["role-bindings"])
class RoleBindingViewSet(CrudViewSet):
    """Who holds which role, in one workspace or everywhere."""

    required_permissions: ClassVar[dict[str, str]] = dict.fromkeys(
        ("list", "retrieve", "create", "destroy"), MANAGE_USERS
    )
    serializer_class = serializers.BindingOut
    queryset = RoleBinding.objects.select_related("user", "role", "workspace")
    filters: ClassVar[dict[str, str]] = {
        "user": "user__username__iexact",
        "role": "role__name",
        "workspace": "workspace__name",
    }

    @extend_schema(summary="Give a user a role", request=serializers.BindingCreate)
    def create(self, request: Request) -> Response:
        body = self.read_body(serializers.BindingCreate)
        binding = services.create_binding(
            user=named(User, "user", body["user"], "username__iexact"),
            role=named(Role, "role", body["role"]),
            workspace=(
                named(Workspace, "workspace", body["workspace"]) if body.get("workspace") else None
            ),
            actor=self.actor,
        )
        return self.answer(binding, 201)

    @extend_schema(summary="Take a role from a user")
    def destroy(self, request: Request, pk: str) -> Response:
        services.delete_binding(binding=self.get_object(), actor=self.actor)
        return Response(status=status.HTTP_204_NO_CONTENT)


def named(kind: type[Row], field: str, name: str, lookup: str = "name") -> Row:
    """The row of this name. Raises Invalid naming the field of the body."""
    row = kind._default_manager.filter(**{lookup: name}).first()
    if row is None:
        raise Invalid(f"there is no {field} named {name!r}", field=field)
    return row


class WorkspaceViewSet(CrudViewSet):
    """Workspaces that the caller may see; `{id}` is the number."""

    required_permissions: ClassVar[dict[str, str]] = {
        "list": "workspace_read",
        "retrieve": "workspace_read",
        "create": "workspace_manage",
        "partial_update": "workspace_manage",
        "destroy": "workspace_manage",
    }
    serializer_class = serializers.WorkspaceOut
    queryset = Workspace.objects.all()

    def get_queryset(self) -> QuerySet[Workspace]:
        rows: QuerySet[Workspace] = super().get_queryset()
        return rows.filter(within(self.actor, "workspace_read", "pk"))

    @extend_schema(summary="Create a workspace", request=serializers.WorkspaceCreate)
    def create(self, request: Request) -> Response:
        body = self.read_body(serializers.WorkspaceCreate)
        return self.answer(services.create_workspace(**body, actor=self.actor), 201)

    @extend_schema(summary="Change a workspace", request=serializers.WorkspaceChange)
    def partial_update(self, request: Request, pk: str) -> Response:
        body = self.read_body(serializers.WorkspaceChange)
        if not body:
            raise Invalid("say what to change: description or concurrency_policy")
        return self.answer(
            services.change_workspace(workspace=self.get_object(), **body, actor=self.actor)
        )

    @extend_schema(summary="Delete an empty workspace")
    def destroy(self, request: Request, pk: str) -> Response:
        services.delete_workspace(workspace=self.get_object(), actor=self.actor)
        return Response(status=status.HTTP_204_NO_CONTENT)


AUDIT_FILTERS = {
    "event": "event",
    "outcome": "outcome",
    "actor": "actor_name",
    "target": "target_id",
    "workspace": "workspace",
    "request_id": "request_id",
    "since": "occurred_at__gte",
    "until": "occurred_at__lt",
}


class AuditViewSet(ListModelMixin, RetrieveModelMixin, ApiViewSet):
    """The audit trail, newest first."""

    required_permissions: ClassVar[dict[str, str]] = dict.fromkeys(
        ("list", "retrieve"), "audit_read"
    )
    serializer_class = serializers.AuditEventOut
    queryset = AuditEvent.objects.all()
    filters: ClassVar[dict[str, str]] = AUDIT_FILTERS
    lookup_value_regex = "[0-9]{1,18}"
    newest_first = True

    @extend_schema(parameters=[OpenApiParameter(name) for name in AUDIT_FILTERS])
    def list(self, request: Request) -> Response:
        return super().list(request)
