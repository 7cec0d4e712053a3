"""`/v1/workspaces`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import AuditEvent, User, Workspace
from operations.models import Operation, Server
from tests.answers import assert_error, nothing_changes, one_event
from tests.factories import bind, make_operation, make_server, make_workspace

Api = Callable[[User | None], APIClient]


@pytest.fixture
def client(admin: User, api: Api) -> APIClient:
    return api(admin)


def test_a_workspace_is_created(client: APIClient, admin: User) -> None:
    with one_event(event="workspace.created", actor=admin, workspace="staging"):
        answer = client.post(
            "/v1/workspaces", {"name": "staging", "description": "Before"}, format="json"
        )

    assert answer.status_code == 201
    assert set(answer.json()) == {
        "id",
        "name",
        "description",
        "concurrency_policy",
        "created_at",
    }
    assert Workspace.objects.get(name="staging").description == "Before"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "-staging"),
        ("name", "a/b"),
        ("name", ".."),
        ("name", "a b"),
        ("name", "a\nb"),
        ("name", "x" * 64),
        ("name", ""),
        ("name", None),
        ("name", 1),
        ("description", "x" * 256),
        ("owner", "alice"),
    ],
)
def test_a_value_that_breaks_a_rule_is_400(field: str, value: object, client: APIClient) -> None:
    with nothing_changes():
        answer = client.post("/v1/workspaces", {"name": "staging", field: value}, format="json")

    assert_error(answer, 400, field=field)


def test_a_name_that_is_taken_is_409(client: APIClient, workspace: Workspace) -> None:
    with nothing_changes():
        assert_error(client.post("/v1/workspaces", {"name": "production"}, format="json"), 409)


def test_its_description_is_changed_and_recorded(
    client: APIClient, admin: User, workspace: Workspace
) -> None:
    with one_event(
        event="workspace.changed",
        actor=admin,
        workspace="production",
        data={"changed": {"description": ["", "Live"]}},
    ):
        answer = client.patch(
            f"/v1/workspaces/{workspace.pk}", {"description": "Live"}, format="json"
        )

    assert answer.json()["description"] == "Live"
    workspace.refresh_from_db()
    assert workspace.description == "Live"


def test_its_name_stays(client: APIClient, workspace: Workspace) -> None:
    with nothing_changes():
        answer = client.patch(
            f"/v1/workspaces/{workspace.pk}", {"name": "x", "description": ""}, format="json"
        )

    assert_error(answer, 400, field="name")


def test_an_empty_workspace_is_deleted_with_its_bindings(
    client: APIClient, admin: User, workspace: Workspace, stranger: User
) -> None:
    bind(stranger, "Viewer", workspace)

    with one_event(event="workspace.deleted", actor=admin, workspace="production"):
        assert client.delete(f"/v1/workspaces/{workspace.pk}").status_code == 204

    assert not Workspace.objects.exists()
    assert not stranger.bindings.exists()


@pytest.mark.parametrize("make", [make_server, make_operation])
def test_a_workspace_in_use_cannot_be_deleted(
    make: Callable[[Workspace], Any], client: APIClient, workspace: Workspace
) -> None:
    make(workspace)

    with nothing_changes():
        assert_error(client.delete(f"/v1/workspaces/{workspace.pk}"), 409)


def test_the_history_of_a_deleted_workspace_stays(client: APIClient, workspace: Workspace) -> None:
    operation = make_operation(workspace)
    operation.log.all().delete()
    Operation.objects.filter(pk=operation.pk).update(status="completed", finished_at=timezone.now())
    Server.objects.all().delete()

    assert client.delete(f"/v1/workspaces/{workspace.pk}").status_code == 204

    answer = client.get(f"/v1/operations/{operation.pk}")
    assert (answer.status_code, answer.json()["workspace"]) == (200, "production")
    assert AuditEvent.objects.filter(event="operation.submitted", workspace="production").exists()


def test_somebody_bound_to_one_workspace_sees_that_one(
    stranger: User, workspace: Workspace, api: Api
) -> None:
    other = make_workspace("staging")
    bind(stranger, "Viewer", workspace)
    client = api(stranger)

    assert [row["name"] for row in client.get("/v1/workspaces").json()] == ["production"]
    assert client.get(f"/v1/workspaces/{workspace.pk}").status_code == 200
    assert_error(client.get(f"/v1/workspaces/{other.pk}"), 404)


def test_an_admin_of_one_workspace_manages_no_workspaces(
    stranger: User, workspace: Workspace, api: Api
) -> None:
    bind(stranger, "Admin", workspace)
    client = api(stranger)

    with nothing_changes(AuditEvent):
        assert_error(client.post("/v1/workspaces", {"name": "mine"}, format="json"), 403)
        assert_error(client.delete(f"/v1/workspaces/{workspace.pk}"), 403)
        assert_error(client.get("/v1/users"), 403)
        assert_error(client.get("/v1/audit"), 403)
