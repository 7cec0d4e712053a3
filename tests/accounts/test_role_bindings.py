"""`/v1/role-bindings`: who holds which role where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.models import RoleBinding, User, Workspace
from tests.answers import assert_error, nothing_changes, one_event
from tests.factories import bind

Api = Callable[[User | None], APIClient]


@pytest.fixture
def client(admin: User, api: Api) -> APIClient:
    return api(admin)


def give(client: APIClient, **body: Any) -> Any:
    return client.post("/v1/role-bindings", {"user": "sam", "role": "Viewer"} | body, format="json")


def test_a_role_is_given_everywhere(client: APIClient, admin: User, stranger: User) -> None:
    with one_event(
        event="role-binding.created",
        actor=admin,
        workspace="",
        data={"user": "sam", "role": "Viewer"},
    ):
        answer = give(client)

    assert answer.status_code == 201
    assert set(answer.json()) == {"id", "user", "role", "workspace", "created_at"}
    binding = RoleBinding.objects.get(user=stranger)
    assert (binding.role.name, binding.workspace) == ("Viewer", None)


def test_a_role_is_given_in_one_workspace(
    client: APIClient, stranger: User, workspace: Workspace
) -> None:
    with one_event(event="role-binding.created", workspace="production"):
        answer = give(client, workspace="production")

    assert answer.json()["workspace"] == "production"
    assert RoleBinding.objects.get(user=stranger).workspace == workspace


def test_null_means_everywhere(client: APIClient, stranger: User) -> None:
    assert give(client, workspace=None).json()["workspace"] is None


@pytest.mark.parametrize("where", [None, "production"])
def test_the_same_binding_twice_is_409(
    where: str | None, client: APIClient, stranger: User, workspace: Workspace
) -> None:
    give(client, workspace=where)

    with nothing_changes():
        assert_error(give(client, workspace=where), 409)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("user", "nobody-here"),
        ("role", "Emperor"),
        ("workspace", "nowhere"),
        ("workspace", ""),
        ("user", 5),
        ("role", None),
        ("workspace", ["production"]),
        ("expires", "never"),
    ],
)
def test_a_name_that_does_not_exist_is_400_naming_the_field(
    field: str, value: object, client: APIClient, stranger: User
) -> None:
    with nothing_changes():
        assert_error(give(client, **{field: value}), 400, field=field)


def test_a_role_is_taken_away(client: APIClient, admin: User, stranger: User) -> None:
    binding = bind(stranger, "Viewer")

    with one_event(
        event="role-binding.deleted", actor=admin, data={"user": "sam", "role": "Viewer"}
    ):
        answer = client.delete(f"/v1/role-bindings/{binding.pk}")

    assert answer.status_code == 204
    assert not RoleBinding.objects.filter(pk=binding.pk).exists()


def test_a_binding_is_not_changed_but_replaced(client: APIClient, stranger: User) -> None:
    binding = bind(stranger, "Viewer")

    with nothing_changes():
        assert_error(client.patch(f"/v1/role-bindings/{binding.pk}", {}, format="json"), 405)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("user=sam", {("sam", "Viewer"), ("sam", "Operator")}),
        ("user=SAM&role=Viewer", {("sam", "Viewer")}),
        ("workspace=production", {("sam", "Operator")}),
        ("role=Admin", {("alice", "Admin")}),
        ("user=nobody", set()),
    ],
)
def test_the_list_is_narrowed_by_its_filters(
    query: str,
    expected: set[tuple[str, str]],
    client: APIClient,
    stranger: User,
    workspace: Workspace,
) -> None:
    bind(stranger, "Viewer")
    bind(stranger, "Operator", workspace)

    rows = client.get(f"/v1/role-bindings?{query}").json()

    assert {(row["user"], row["role"]) for row in rows} == expected
