"""Lists: keyset paging, `Link`, `X-Total-Count`, and a number of queries that rows do not raise."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from accounts import audit, authentication
from accounts.actor import Actor
from accounts.events import Event
from accounts.models import Role, User, Workspace
from autoinstall.models import Attempt
from operations.commands import Kind
from operations.models import Cluster, Operation, Server, Taskserv
from tests.autoinstall.factories import make_config, make_token
from tests.factories import bind, make_operation, make_server, make_user, make_workspace

Api = Callable[[User | None], APIClient]


@pytest.fixture
def client(admin: User, api: Api) -> APIClient:
    return api(admin)


def next_path(answer: Any) -> str | None:
    """Where `Link` points; None on the last page."""
    link = answer.headers.get("Link")
    if link is None:
        return None
    match = re.fullmatch(r'<(/v1/[^>]+)>; rel="next"', link)
    assert match, link
    return match.group(1)


def gather(client: APIClient, path: str) -> tuple[list[Any], int]:
    """All rows, page by page, and the number of pages."""
    rows: list[Any] = []
    pages = 0
    following: str | None = path
    while following:
        answer = client.get(following)
        assert answer.status_code == 200
        rows += answer.json()
        pages += 1
        following = next_path(answer)
    return rows, pages


def make_servers(workspace: Workspace, count: int) -> list[Server]:
    return Server.objects.bulk_create(
        Server(uid=f"srv-{index:08}", workspace=workspace, hostname=f"host-{index}")
        for index in range(count)
    )


def make_operations(workspace: Workspace, count: int) -> list[Operation]:
    return Operation.objects.bulk_create(
        Operation(
            kind=Kind.SERVER_CREATE,
            workspace=workspace,
            workspace_name=workspace.name,
            requested_by_name="tester",
            timeout_seconds=300,
            status="pending" if index % 2 else "running",
        )
        for index in range(count)
    )


@pytest.mark.parametrize(("limit", "pages"), [(7, 18), (50, 3), (60, 2), (119, 2), (120, 1)])
def test_the_pages_hold_each_row_once_in_the_order_of_creation(
    limit: int, pages: int, client: APIClient, workspace: Workspace
) -> None:
    servers = make_servers(workspace, 120)

    rows, count = gather(client, f"/v1/servers?limit={limit}")

    assert [row["id"] for row in rows] == [server.uid for server in servers]
    assert count == pages


def test_operations_are_paged_newest_first(client: APIClient, workspace: Workspace) -> None:
    operations = make_operations(workspace, 120)

    rows, _ = gather(client, "/v1/operations?limit=50")

    assert [row["id"] for row in rows] == [str(row.pk) for row in reversed(operations)]


def test_the_filters_stay_in_the_link(client: APIClient, workspace: Workspace) -> None:
    make_operations(workspace, 120)

    rows, pages = gather(client, "/v1/operations?status=running&workspace=production&limit=20")

    assert (len(rows), pages) == (60, 3)
    assert {row["status"] for row in rows} == {"running"}


def test_without_a_limit_a_page_holds_fifty(client: APIClient, workspace: Workspace) -> None:
    make_servers(workspace, 51)

    answer = client.get("/v1/servers")

    assert len(answer.json()) == 50
    assert next_path(answer)


def test_a_row_that_is_added_while_one_pages_moves_no_other(
    client: APIClient, workspace: Workspace
) -> None:
    operations = make_operations(workspace, 4)
    first = client.get("/v1/operations?limit=2")
    make_operations(workspace, 3)

    second = client.get(str(next_path(first)))

    ids = [row["id"] for row in first.json() + second.json()]
    assert ids == [str(row.pk) for row in reversed(operations)]


def test_a_row_that_is_deleted_while_one_pages_hides_no_other(
    client: APIClient, workspace: Workspace
) -> None:
    servers = make_servers(workspace, 4)
    first = client.get("/v1/servers?limit=2")
    for server in servers[:2]:
        server.delete()

    second = client.get(str(next_path(first)))

    assert [row["id"] for row in second.json()] == [server.uid for server in servers[2:]]


def test_the_total_is_counted_only_when_asked_for(client: APIClient, workspace: Workspace) -> None:
    make_servers(workspace, 60)

    assert "X-Total-Count" not in client.get("/v1/servers")
    answer = client.get("/v1/servers?count=true&limit=2")
    assert answer.headers["X-Total-Count"] == "60"
    assert "count=" not in str(next_path(answer))


def test_the_total_counts_what_the_filter_and_the_bindings_leave(
    stranger: User, workspace: Workspace, api: Api
) -> None:
    bind(stranger, "Viewer", workspace)
    make_servers(workspace, 3)
    make_server(make_workspace("invisible"))

    answer = api(stranger).get("/v1/servers?count=true&hostname=host-1")

    assert answer.headers["X-Total-Count"] == "1"
    assert len(api(stranger).get("/v1/servers").json()) == 3


def test_an_empty_list_is_an_empty_array(client: APIClient) -> None:
    answer = client.get("/v1/servers")

    assert (answer.json(), "Link" in answer) == ([], False)


# --- The number of queries ---------------------------------------------------------------------


def more_bindings(workspace: Workspace, index: int) -> None:
    bind(make_user(), "Viewer", workspace if index % 2 else None)


def more_workflows(workspace: Workspace, index: int) -> None:
    user = make_user()
    Operation.objects.create(
        kind=Kind.WORKFLOW,
        workspace=make_workspace(),
        workspace_name=workspace.name,
        params={"name": f"w{index}", "steps": []},
        requested_by=user,
        requested_by_name=user.username,
        timeout_seconds=0,
    )


def more_operations(workspace: Workspace, index: int) -> None:
    user = make_user()
    make_operation(make_workspace(), actor=Actor(name=user.username, user=user))


def more_audit(workspace: Workspace, index: int) -> None:
    user = make_user()
    audit.record(Event.USER_CREATED, actor=Actor(name=user.username, user=user), target=workspace)


def more_taskservs(workspace: Workspace, index: int) -> None:
    Taskserv.objects.create(
        uid=Taskserv.new_uid(),
        workspace=make_workspace(),
        name=f"t{index}",
        last_operation=make_operation(workspace),
    )


def more_clusters(workspace: Workspace, index: int) -> None:
    Cluster.objects.create(
        uid=Cluster.new_uid(),
        workspace=make_workspace(),
        name=f"c{index}",
        last_operation=make_operation(workspace),
    )


MORE: dict[str, Callable[[Workspace, int], Any]] = {
    "/v1/servers": lambda w, _: make_server(make_workspace(), last_operation=make_operation(w)),
    "/v1/taskservs": more_taskservs,
    "/v1/clusters": more_clusters,
    "/v1/operations": more_operations,
    "/v1/workflows": more_workflows,
    "/v1/users": lambda _, __: bind(make_user(), "Viewer"),
    "/v1/roles": lambda _, i: Role.objects.create(name=f"r{i}", permissions=["server_read"]),
    "/v1/role-bindings": more_bindings,
    "/v1/workspaces": lambda _, __: make_workspace(),
    "/v1/audit": more_audit,
    "/v1/auto-install/tokens": lambda _, __: make_token(),
    "/v1/auto-install/prepared": lambda _, i: make_config(template_counters={"number": i}),
    "/v1/auto-install/installations": lambda _, i: make_attempt(status="in-progress"),
    "/v1/auto-install/attempts": lambda _, i: make_attempt(status=""),
}
# The row itself and what hangs on it: tokens and counters of a config.
MOST_QUERIES = {"/v1/auto-install/prepared": 3}


def make_attempt(**fields: Any) -> Attempt:
    return Attempt.objects.create(outcome="answered", source="192.0.2.7", raw="{}", **fields)


def count_queries(client: APIClient, path: str) -> int:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        answer = client.get(path)
    assert answer.status_code == 200
    return len(queries)


@pytest.fixture
def lasting_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine thirty rows take longer than a person is kept in the cache."""
    monkeypatch.setattr(authentication, "CACHE_SECONDS", 3600.0)


@pytest.mark.parametrize(("path", "make"), MORE.items(), ids=MORE.keys())
def test_a_list_of_thirty_costs_as_many_queries_as_a_list_of_one(
    path: str,
    make: Callable[[Workspace, int], Any],
    client: APIClient,
    workspace: Workspace,
    lasting_cache: None,
) -> None:
    make(workspace, 0)
    client.get(path)  # the person is in the cache from here on
    with_one = count_queries(client, path)
    for index in range(1, 30):
        make(workspace, index)

    assert count_queries(client, path) == with_one
    assert with_one <= MOST_QUERIES.get(path, 2)


def test_every_list_of_the_api_is_counted_above() -> None:
    from tests.system.test_url_map import EXPECTED

    assert set(MORE) == {path for (_, path), (action, _) in EXPECTED.items() if action == "list"}


def test_a_workflow_with_thirty_steps_costs_as_many_queries_as_one_with_one(
    client: APIClient,
) -> None:
    counts = []
    for length in (1, 30):
        workspace = make_workspace()
        steps = [
            {"id": f"s{index}", "kind": "cluster_create", "params": {"name": f"c{index}"}}
            for index in range(length)
        ]
        body = {"workspace": workspace.name, "name": "w", "steps": steps}
        location = client.post("/v1/workflows/submit", body, format="json").json()["id"]
        counts.append(
            [
                count_queries(client, f"/v1/workflows/{location}"),
                count_queries(client, f"/v1/workflows/{location}/status"),
            ]
        )

    assert counts[0] == counts[1]
