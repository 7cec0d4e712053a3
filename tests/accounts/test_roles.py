"""`/v1/roles`: four are built in, others can be made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.models import Role, User
from accounts.roles import BUILT_IN_ROLES, PERMISSIONS
from tests.answers import assert_error, nothing_changes, one_event
from tests.factories import bind

Api = Callable[[User | None], APIClient]

READ = {
    "server_read",
    "taskserv_read",
    "cluster_read",
    "workflow_read",
    "operation_read",
    "workspace_read",
    "metrics_read",
    "answer_token_read",
    "prepared_config_read",
    "installation_read",
}
OPERATE = {
    "server_create",
    "server_delete",
    "taskserv_create",
    "taskserv_delete",
    "cluster_create",
    "cluster_delete",
    "workflow_submit",
    "workflow_cancel",
    "operation_cancel",
    "operation_rerun",
    "workspace_lock",
    "answer_token_manage",
    "prepared_config_manage",
    "installation_manage",
}
ADMINISTER = {"workspace_manage", "user_manage", "role_manage", "audit_read", "system_admin"}
# The table of the contract.
CONTRACT = {
    "Admin": READ | {"server_ssh"} | OPERATE | ADMINISTER,
    "Operator": READ | {"server_ssh"} | OPERATE,
    "Developer": READ | {"server_ssh"},
    "Viewer": READ,
}


@pytest.fixture
def client(admin: User, api: Api) -> APIClient:
    return api(admin)


@pytest.fixture
def custom(db: None) -> Role:
    return Role.objects.create(name="Auditor", permissions=["audit_read"])


def test_the_built_in_roles_hold_what_the_contract_says(db: None) -> None:
    stored = {role.name: set(role.permissions) for role in Role.objects.filter(is_built_in=True)}

    assert stored == CONTRACT


def test_the_built_in_roles_in_the_database_are_those_of_the_code(db: None) -> None:
    stored = {
        role.name: (role.description, frozenset(role.permissions)) for role in Role.objects.all()
    }

    assert stored == BUILT_IN_ROLES


def test_every_permission_is_held_by_the_admin_and_has_a_sentence() -> None:
    assert set(PERMISSIONS) == CONTRACT["Admin"]
    assert all(permission.sentence for permission in PERMISSIONS.values())


def test_a_role_is_created(client: APIClient, admin: User) -> None:
    body = {
        "name": "Auditor",
        "description": "Reads the trail",
        "permissions": ["server_read", "audit_read", "server_read"],
    }

    with one_event(event="role.created", actor=admin, target_name="Auditor"):
        answer = client.post("/v1/roles", body, format="json")

    assert answer.status_code == 201
    assert set(answer.json()) == {
        "id",
        "name",
        "description",
        "permissions",
        "is_built_in",
        "created_at",
    }
    role = Role.objects.get(name="Auditor")
    assert role.permissions == ["audit_read", "server_read"]
    assert role.is_built_in is False


def test_a_role_that_was_made_gives_what_it_names(
    client: APIClient, viewer: User, custom: Role, api: Api
) -> None:
    bind(viewer, "Auditor")

    assert api(viewer).get("/v1/audit").status_code == 200
    assert_error(api(viewer).get("/v1/users"), 403)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "-x"),
        ("name", "a b"),
        ("name", ""),
        ("name", "x" * 64),
        ("name", 5),
        ("permissions", ["no_such_permission"]),
        ("permissions", []),
        ("permissions", "server_read"),
        ("permissions", {"server_read": True}),
        ("permissions", None),
        ("description", "x" * 256),
        ("is_built_in", True),
    ],
)
def test_a_value_that_breaks_a_rule_is_400(field: str, value: object, client: APIClient) -> None:
    body = {"name": "Auditor", "permissions": ["audit_read"], field: value}

    with nothing_changes():
        answer = client.post("/v1/roles", body, format="json")

    assert_error(answer, 400, field=field)


def test_a_permission_that_is_no_text_is_400(client: APIClient) -> None:
    body = {"name": "Auditor", "permissions": [["server_read"], 5, None]}

    with nothing_changes():
        assert_error(client.post("/v1/roles", body, format="json"), 400)


def test_a_name_that_is_taken_is_409(client: APIClient, custom: Role) -> None:
    with nothing_changes():
        answer = client.post(
            "/v1/roles", {"name": "Auditor", "permissions": ["server_read"]}, format="json"
        )

    assert_error(answer, 409)


def test_a_change_is_stored_and_recorded(client: APIClient, admin: User, custom: Role) -> None:
    changed = {"permissions": [["audit_read"], ["audit_read", "server_read"]]}

    with one_event(event="role.changed", actor=admin, data={"changed": changed}):
        answer = client.patch(
            f"/v1/roles/{custom.pk}", {"permissions": ["server_read", "audit_read"]}, format="json"
        )

    assert answer.status_code == 200
    custom.refresh_from_db()
    assert custom.permissions == ["audit_read", "server_read"]


def test_a_role_cannot_be_given_the_name_of_another(client: APIClient, custom: Role) -> None:
    with nothing_changes():
        assert_error(client.patch(f"/v1/roles/{custom.pk}", {"name": "Viewer"}, format="json"), 409)


@pytest.mark.parametrize("name", list(CONTRACT))
@pytest.mark.parametrize(
    "body", [{"name": "X"}, {"permissions": ["server_read"]}, {"description": "x"}, {}]
)
def test_a_built_in_role_cannot_be_changed(
    name: str, body: dict[str, Any], client: APIClient
) -> None:
    role = Role.objects.get(name=name)

    with nothing_changes():
        assert_error(client.patch(f"/v1/roles/{role.pk}", body, format="json"), 409)


@pytest.mark.parametrize("name", list(CONTRACT))
def test_a_built_in_role_cannot_be_deleted(name: str, client: APIClient) -> None:
    with nothing_changes():
        assert_error(client.delete(f"/v1/roles/{Role.objects.get(name=name).pk}"), 409)


def test_a_role_is_deleted(client: APIClient, admin: User, custom: Role) -> None:
    with one_event(event="role.deleted", actor=admin, target_name="Auditor"):
        assert client.delete(f"/v1/roles/{custom.pk}").status_code == 204

    assert not Role.objects.filter(pk=custom.pk).exists()


def test_a_role_that_somebody_holds_cannot_be_deleted(
    client: APIClient, viewer: User, custom: Role
) -> None:
    bind(viewer, "Auditor")

    with nothing_changes():
        assert_error(client.delete(f"/v1/roles/{custom.pk}"), 409)
