"""Nobody gives away, or takes over, more than he holds himself."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from rest_framework.test import APIClient

from accounts.models import AuditEvent, Role, RoleBinding, User, Workspace
from tests.answers import assert_error, nothing_changes, one_event
from tests.factories import bind, make_user, make_workspace

Api = Callable[[User | None], APIClient]


@pytest.fixture
def clerk(db: None) -> User:
    """Manages users and roles, and holds little else."""
    Role.objects.create(
        name="Clerk",
        permissions=sorted(
            ["user_manage", "role_manage", "server_read", "workspace_read", "metrics_read"]
        ),
    )
    user = make_user("clara")
    bind(user, "Clerk")
    return user


@pytest.fixture
def client(clerk: User, api: Api) -> APIClient:
    return api(clerk)


def give(client: APIClient, role: str, workspace: str | None = None, user: str = "sam") -> object:
    body = {"user": user, "role": role, "workspace": workspace}
    return client.post("/v1/role-bindings", body, format="json")


@pytest.mark.parametrize("user", ["sam", "clara"])
@pytest.mark.parametrize("role", ["Admin", "Operator", "Developer", "Viewer"])
def test_a_role_that_holds_more_cannot_be_given(
    role: str, user: str, client: APIClient, clerk: User, stranger: User
) -> None:
    with (
        nothing_changes(AuditEvent),
        one_event(event="access.denied", outcome="denied", actor=clerk),
    ):
        answer = give(client, role, user=user)

    message = assert_error(answer, 403)["message"]
    assert "taskserv_read" in message


def test_a_role_that_holds_no_more_can_be_given(client: APIClient, stranger: User) -> None:
    answer = give(client, "Clerk")

    assert getattr(answer, "status_code", 0) == 201
    assert stranger.bindings.get().role.name == "Clerk"


def test_not_in_a_workspace_either(client: APIClient, stranger: User, workspace: Workspace) -> None:
    with nothing_changes(AuditEvent):
        assert_error(give(client, "Admin", "production"), 403)


def test_what_he_holds_in_one_workspace_can_be_given_there_only(
    client: APIClient, clerk: User, stranger: User, workspace: Workspace
) -> None:
    make_workspace("staging")
    bind(clerk, "Operator", workspace)

    here, there, everywhere = (
        give(client, "Operator", where) for where in ("production", "staging", None)
    )

    assert getattr(here, "status_code", 0) == 201
    assert_error(there, 403)
    assert_error(everywhere, 403)


def test_the_binding_of_a_mightier_person_cannot_be_taken(client: APIClient, admin: User) -> None:
    binding = RoleBinding.objects.get(user=admin)

    with nothing_changes(AuditEvent):
        assert_error(client.delete(f"/v1/role-bindings/{binding.pk}"), 403)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/password", '{"password": "taken-over-by-me"}'),
        ("PATCH", "", '{"is_active": false}'),
        ("PATCH", "", '{"email": "mine@example.com"}'),
        ("DELETE", "", ""),
    ],
)
def test_an_admin_is_out_of_reach_of_a_user_manager(
    method: str, path: str, body: str, client: APIClient, clerk: User, admin: User
) -> None:
    bind(make_user("another"), "Admin")  # so that the last Admin is not the reason

    with (
        nothing_changes(AuditEvent),
        one_event(event="access.denied", outcome="denied", actor=clerk),
    ):
        answer = client.generic(method, f"/v1/users/{admin.pk}{path}", body, "application/json")

    assert_error(answer, 403)


def test_somebody_mightier_in_one_workspace_is_out_of_reach_too(
    client: APIClient, stranger: User, workspace: Workspace
) -> None:
    bind(stranger, "Operator", workspace)

    with nothing_changes(AuditEvent):
        answer = client.post(
            f"/v1/users/{stranger.pk}/password", {"password": "taken-over-by-me"}, format="json"
        )

    assert_error(answer, 403)


def test_somebody_no_mightier_can_be_managed(client: APIClient, stranger: User) -> None:
    answer = client.post(
        f"/v1/users/{stranger.pk}/password", {"password": "given-by-a-clerk"}, format="json"
    )

    assert answer.status_code == 204


def test_a_role_cannot_be_made_with_more(client: APIClient, clerk: User) -> None:
    with nothing_changes(AuditEvent):
        answer = client.post(
            "/v1/roles", {"name": "Mine", "permissions": ["system_admin"]}, format="json"
        )

    assert_error(answer, 403)


def test_a_role_of_his_own_cannot_be_raised(client: APIClient, clerk: User) -> None:
    role = Role.objects.get(name="Clerk")

    with nothing_changes(AuditEvent):
        answer = client.patch(
            f"/v1/roles/{role.pk}",
            {"permissions": [*role.permissions, "audit_read"]},
            format="json",
        )

    assert_error(answer, 403)


@pytest.mark.parametrize("body", [{"permissions": ["server_read"]}, {"description": "Emptied"}])
def test_a_mightier_role_cannot_be_changed_not_even_to_hold_less(
    body: dict[str, object], client: APIClient, clerk: User
) -> None:
    role = Role.objects.create(name="Auditor", permissions=["audit_read", "server_read"])

    with nothing_changes(AuditEvent):
        assert_error(client.patch(f"/v1/roles/{role.pk}", body, format="json"), 403)


def test_a_mightier_role_cannot_be_deleted(client: APIClient, clerk: User) -> None:
    role = Role.objects.create(name="Auditor", permissions=["audit_read"])

    with nothing_changes(AuditEvent):
        assert_error(client.delete(f"/v1/roles/{role.pk}"), 403)
