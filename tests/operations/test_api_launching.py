"""Routes that launch something: 202, `Location`, the operation, its row, its event; nothing runs yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.models import AuditEvent, User, Workspace
from operations.models import Cluster, Operation, Server, Taskserv
from tests.answers import assert_error, nothing_changes, one_event
from tests.factories import bind, make_server, make_workspace

Api = Callable[[User | None], APIClient]

# The first six are fixed by the contract, in this order.
KEYS = [
    "id",
    "status",
    "created_at",
    "updated_at",
    "result",
    "error",
    "kind",
    "workspace",
    "check_mode",
    "requested_by",
    "reason",
    "exit_code",
    "started_at",
    "finished_at",
    "timeout_seconds",
    "cancel_requested_at",
    "request_id",
    "workflow",
    "rerun_of",
    "lock",
    "parameters",
    "links",
]
CREATES: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    (
        "/v1/servers/create",
        {"workspace": "production", "provider": "upcloud", "plan": "2xCPU-4GB"},
        "server_create",
        {"provider": "upcloud", "plan": "2xCPU-4GB"},
    ),
    (
        "/v1/servers/create",
        {
            "workspace": "production",
            "provider": "local",
            "plan": "2xCPU-4GB",
            "hostname": "Web-01.Example.com",
            "zone": "fi-hel1",
            "tags": ["web", "blue"],
        },
        "server_create",
        {
            "provider": "local",
            "plan": "2xCPU-4GB",
            "hostname": "web-01.example.com",
            "zone": "fi-hel1",
            "tags": ["web", "blue"],
        },
    ),
    (
        "/v1/taskservs/create",
        {
            "workspace": "production",
            "name": "containerd",
            "server": "web-01",
            "version": "1.7.2",
            "settings": {"root": "/var", "nested": {"list": [1, None, True]}},
        },
        "taskserv_create",
        {
            "name": "containerd",
            "server": "web-01",
            "version": "1.7.2",
            "settings": {"root": "/var", "nested": {"list": [1, None, True]}},
        },
    ),
    (
        "/v1/clusters/create",
        {"workspace": "production", "name": "kubernetes"},
        "cluster_create",
        {"name": "kubernetes"},
    ),
]


@pytest.fixture
def client(operator: User, workspace: Workspace, api: Api) -> APIClient:
    return api(operator)


@pytest.mark.parametrize(("path", "body", "kind", "params"), CREATES)
def test_a_create_is_answered_with_a_pending_operation(
    path: str, body: dict[str, Any], kind: str, params: dict[str, Any], client: APIClient
) -> None:
    answer = client.post(path, body, format="json")

    assert answer.status_code == 202
    operation = answer.json()
    assert list(operation) == KEYS
    assert answer.headers["Location"] == f"/v1/operations/{operation['id']}"
    assert answer.headers["Retry-After"] == "1"
    assert (operation["status"], operation["kind"]) == ("pending", kind)
    assert (operation["workspace"], operation["requested_by"]) == ("production", "oscar")
    assert (operation["check_mode"], operation["timeout_seconds"]) == (False, 300)
    for key in ("result", "error", "reason", "exit_code", "started_at", "finished_at"):
        assert operation[key] is None
    assert (operation["workflow"], operation["rerun_of"]) == (None, None)
    assert operation["created_at"].endswith("Z")


@pytest.mark.parametrize(("path", "body", "kind", "params"), CREATES)
def test_a_create_is_one_row_and_one_event(
    path: str,
    body: dict[str, Any],
    kind: str,
    params: dict[str, Any],
    client: APIClient,
    operator: User,
    workspace: Workspace,
) -> None:
    with one_event(event="operation.submitted", actor=operator, workspace="production"):
        client.post(path, body, format="json")

    operation = Operation.objects.get()
    assert (operation.kind, operation.status, operation.params) == (kind, "pending", params)
    assert (operation.workspace, operation.requested_by) == (workspace, operator)


def test_the_location_leads_to_the_operation(client: APIClient) -> None:
    answer = client.post(CREATES[0][0], CREATES[0][1], format="json")

    followed = client.get(answer.headers["Location"])

    assert (followed.status_code, followed.json()) == (200, answer.json())
    assert client.get(followed.json()["links"]["log"]).status_code == 200


def test_check_mode_is_kept(client: APIClient) -> None:
    body = CREATES[0][1] | {"check_mode": True}

    assert client.post(CREATES[0][0], body, format="json").json()["check_mode"] is True
    assert Operation.objects.get().check_mode is True


def test_settings_stay_out_of_the_audit_trail(client: APIClient) -> None:
    body = {
        "workspace": "production",
        "name": "db",
        "settings": {"password": "a-secret-for-the-cli"},
    }

    client.post("/v1/taskservs/create", body, format="json")

    assert "a-secret-for-the-cli" not in str(list(AuditEvent.objects.values()))


# --- Deleting ----------------------------------------------------------------------------------


def test_deleting_a_server_launches_the_operation_that_does_it(
    client: APIClient, operator: User, workspace: Workspace
) -> None:
    server = make_server(workspace, "web-01")

    with one_event(event="operation.submitted", actor=operator, workspace="production"):
        answer = client.delete(f"/v1/servers/{server.uid}")

    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/v1/operations/{answer.json()['id']}"
    operation = Operation.objects.get()
    assert (operation.kind, operation.params) == ("server_delete", {"hostname": "web-01"})
    assert Server.objects.filter(pk=server.pk).exists()


def test_deleting_a_taskserv_names_it_and_its_server(
    client: APIClient, workspace: Workspace
) -> None:
    item = Taskserv.objects.create(
        uid=Taskserv.new_uid(), workspace=workspace, name="containerd", server="web-01"
    )

    client.delete(f"/v1/taskservs/{item.uid}")

    assert Operation.objects.get().params == {"name": "containerd", "server": "web-01"}


def test_deleting_a_cluster_names_it(client: APIClient, workspace: Workspace) -> None:
    item = Cluster.objects.create(uid=Cluster.new_uid(), workspace=workspace, name="kubernetes")

    client.delete(f"/v1/clusters/{item.uid}")

    assert Operation.objects.get().params == {"name": "kubernetes"}


# --- Who may, where ----------------------------------------------------------------------------


@pytest.fixture
def halves(stranger: User, workspace: Workspace) -> dict[str, Server]:
    """Somebody who operates one workspace, only sees another, and a third not at all."""
    servers = {"production": make_server(workspace)}
    for name in ("staging", "secret"):
        servers[name] = make_server(make_workspace(name))
    bind(stranger, "Operator", workspace)
    bind(stranger, "Viewer", servers["staging"].workspace)
    return servers


def test_what_one_may_is_done(stranger: User, halves: dict[str, Server], api: Api) -> None:
    answer = api(stranger).delete(f"/v1/servers/{halves['production'].uid}")

    assert answer.status_code == 202


def test_what_one_sees_but_may_not_is_403(
    stranger: User, halves: dict[str, Server], api: Api
) -> None:
    client = api(stranger)
    with nothing_changes(AuditEvent), one_event(event="access.denied", actor=stranger):
        answer = client.delete(f"/v1/servers/{halves['staging'].uid}")

    assert "in workspace staging" in assert_error(answer, 403)["message"]


def test_what_one_does_not_see_is_404(stranger: User, halves: dict[str, Server], api: Api) -> None:
    client = api(stranger)
    path = f"/v1/servers/{halves['secret'].uid}"

    with nothing_changes():
        answers = [client.get(path), client.get(f"{path}/status"), client.delete(path)]

    for answer in answers:
        assert_error(answer, 404)


def test_lists_hold_only_what_one_sees(stranger: User, halves: dict[str, Server], api: Api) -> None:
    rows = api(stranger).get("/v1/servers").json()

    assert [row["workspace"] for row in rows] == ["production", "staging"]


def test_a_filter_does_not_reach_what_one_does_not_see(
    stranger: User, halves: dict[str, Server], api: Api
) -> None:
    assert api(stranger).get("/v1/servers?workspace=secret").json() == []


@pytest.mark.parametrize(
    ("name", "status"), [("production", 202), ("staging", 403), ("secret", 400), ("nowhere", 400)]
)
def test_a_workspace_in_a_body_is_asked_for_like_one_in_a_path(
    name: str, status: int, stranger: User, halves: dict[str, Server], api: Api
) -> None:
    body = {"workspace": name, "provider": "local", "plan": "small"}

    answer = api(stranger).post("/v1/servers/create", body, format="json")

    assert answer.status_code == status
    assert Operation.objects.count() == (status == 202)


# --- Reading -----------------------------------------------------------------------------------


def test_a_server_has_the_keys_of_the_contract(client: APIClient, workspace: Workspace) -> None:
    server = make_server(
        workspace,
        "web-01",
        provider="local",
        plan="2xCPU-4GB",
        zone="fi-hel1",
        ip_address="192.0.2.1",
        status="running",
        tags=["web"],
    )

    body = client.get(f"/v1/servers/{server.uid}").json()

    assert list(body) == [
        "id",
        "hostname",
        "provider",
        "plan",
        "zone",
        "ip_address",
        "status",
        "created_at",
        "workspace",
        "tags",
        "last_operation",
    ]
    assert body["id"] == server.uid
    assert body["id"].startswith("srv-")
    assert (body["hostname"], body["ip_address"], body["tags"]) == ("web-01", "192.0.2.1", ["web"])
    assert client.get("/v1/servers").json() == [body]


def test_the_status_of_a_server_is_what_is_stored_when_the_cli_does_not_answer(
    client: APIClient, workspace: Workspace, settings: Any
) -> None:
    settings.CLI_PATH = "/does/not/exist"
    server = make_server(workspace, "web-01", status="running")

    body = client.get(f"/v1/servers/{server.uid}/status").json()

    assert (body["status"], body["source"]) == ("running", "stored")
    assert body["observed_at"].endswith("Z")
    assert set(body) == set(client.get(f"/v1/servers/{server.uid}").json()) | {
        "observed_at",
        "source",
    }


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("status=running", ["a", "b"]),
        ("hostname=b", ["b"]),
        ("provider=local", ["a"]),
        ("status=running&provider=cloud", ["b"]),
        ("workspace=nowhere", []),
    ],
)
def test_the_list_of_servers_is_narrowed_by_its_filters(
    query: str, names: list[str], client: APIClient, workspace: Workspace
) -> None:
    make_server(workspace, "a", status="running", provider="local")
    make_server(workspace, "b", status="running", provider="cloud")
    make_server(workspace, "c", status="stopped", provider="cloud")

    assert [row["hostname"] for row in client.get(f"/v1/servers?{query}").json()] == names
