"""The inventory: rows that results of operations and the CLI's lists keep true."""

from __future__ import annotations

import functools
import json
import time
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import AuditEvent, Workspace
from operations import runner, sync
from operations.commands import Kind
from operations.inventory import _write_batch, store_list
from operations.models import Cluster, Operation, Server, Taskserv
from operations.runner.launch import capture_document
from tests.concurrently import at_once
from tests.factories import make_operation, make_server, make_workspace
from tests.processes import processes_with, read_journal

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)

LONG_AGO = timezone.now() - timedelta(hours=1)


@pytest.fixture
def cli(journal: Path, settings: Any) -> Any:
    """`cli(NAME=value)` sets environment variables of the fake CLI."""

    def set_variables(**variables: Any) -> None:
        texts = {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in variables.items()
        }
        settings.CLI_ENVIRONMENT = {**settings.CLI_ENVIRONMENT, **texts}

    return set_variables


def run(kind: Kind, workspace: Workspace, **params: Any) -> Operation:
    check_mode = params.pop("check_mode", False)
    operation = make_operation(workspace, kind=kind, params=params, check_mode=check_mode)
    runner.run_turn()
    operation.refresh_from_db()
    return operation


def create(workspace: Workspace, hostname: str, **params: Any) -> Operation:
    given = {"hostname": hostname, "provider": "local", "plan": "small", **params}
    return run(Kind.SERVER_CREATE, workspace, **given)


# --- Results -----------------------------------------------------------------------------------


def test_a_created_server_has_what_was_asked_for_and_what_the_cli_said(
    journal: Path, workspace: Workspace
) -> None:
    operation = create(workspace, "ok-1", zone="z1", tags=["a", "b"])
    server = Server.objects.get()
    assert (server.workspace, server.hostname, server.provider) == (workspace, "ok-1", "local")
    assert (server.plan, server.zone, server.tags) == ("small", "z1", ["a", "b"])
    assert (server.ip_address, server.status) == ("192.0.2.1", "running")
    assert server.last_operation == operation
    assert server.uid.startswith("srv-")


def test_creating_again_keeps_the_row_and_its_id(journal: Path, workspace: Workspace) -> None:
    create(workspace, "ok-1")
    uid = Server.objects.get().uid
    second = create(workspace, "ok-1", plan="large")
    server = Server.objects.get()
    assert (server.uid, server.plan, server.last_operation) == (uid, "large", second)


def test_the_same_name_in_two_workspaces_is_two_servers(
    journal: Path, workspace: Workspace
) -> None:
    create(workspace, "ok-1")
    create(make_workspace("staging"), "ok-1")
    assert Server.objects.count() == 2


def test_a_deleted_server_is_gone(journal: Path, workspace: Workspace) -> None:
    create(workspace, "ok-1")
    kept = make_server(workspace, "ok-2")
    run(Kind.SERVER_DELETE, workspace, hostname="ok-1")
    assert list(Server.objects.all()) == [kept]


def test_a_failed_delete_keeps_the_server_and_points_to_the_operation(
    journal: Path, workspace: Workspace
) -> None:
    server = make_server(workspace, "fail-1-x")
    operation = run(Kind.SERVER_DELETE, workspace, hostname="fail-1-x")
    server.refresh_from_db()
    assert server.last_operation == operation


@pytest.mark.parametrize("kind", [Kind.SERVER_CREATE, Kind.SERVER_DELETE])
def test_check_mode_changes_nothing(journal: Path, workspace: Workspace, kind: Kind) -> None:
    server = make_server(workspace, "ok-1", plan="small")
    params = {"hostname": "ok-1"}
    if kind is Kind.SERVER_CREATE:
        params |= {"provider": "p", "plan": "large"}
    operation = run(kind, workspace, check_mode=True, **params)
    assert operation.status == "completed"
    server.refresh_from_db()
    assert server.plan == "small"


def test_taskservs_are_told_apart_by_their_server(journal: Path, workspace: Workspace) -> None:
    for host in ("web-01", "web-02"):
        run(Kind.TASKSERV_CREATE, workspace, name="ok-cache", server=host)
    run(Kind.TASKSERV_DELETE, workspace, name="ok-cache", server="web-01")
    assert [(row.name, row.server) for row in Taskserv.objects.all()] == [("ok-cache", "web-02")]


def test_a_cluster_comes_and_goes(journal: Path, workspace: Workspace) -> None:
    run(Kind.CLUSTER_CREATE, workspace, name="ok-k8s", version="1.31")
    assert Cluster.objects.get().version == "1.31"
    run(Kind.CLUSTER_DELETE, workspace, name="ok-k8s")
    assert not Cluster.objects.exists()


# --- The periodic look -------------------------------------------------------------------------


def test_a_sync_adds_changes_and_removes(cli: Any, workspace: Workspace) -> None:
    changed = make_server(workspace, "web-01", status="unknown", seen_at=LONG_AGO)
    make_server(workspace, "web-02", seen_at=LONG_AGO)
    cli(
        FAKE_CLI_LIST_SERVER=[
            {"hostname": "web-01", "status": "running", "plan": "large"},
            {"hostname": "web-03", "id": "srv-abc123", "ip_address": "192.0.2.3"},
        ]
    )
    assert sync.sync_all() == {"seen": 2, "removed": 1, "failed": 0}
    changed.refresh_from_db()
    assert (changed.status, changed.plan) == ("running", "large")
    added = Server.objects.get(hostname="web-03")
    assert (added.uid, added.ip_address) == ("srv-abc123", "192.0.2.3")
    assert set(Server.objects.values_list("hostname", flat=True)) == {"web-01", "web-03"}


def test_what_a_sync_removed_is_in_the_audit_trail(cli: Any, workspace: Workspace) -> None:
    make_server(workspace, "web-02", seen_at=LONG_AGO)
    sync.sync_all()
    event = AuditEvent.objects.get(event="inventory.synced")
    assert event.data == {"list": "server", "seen": 0, "removed": ["web-02"]}
    assert event.workspace == "production"


def test_a_sync_that_changes_nothing_leaves_no_event(cli: Any, workspace: Workspace) -> None:
    cli(FAKE_CLI_LIST_SERVER=[{"hostname": "web-01"}])
    sync.sync_all()
    sync.sync_all()
    assert not AuditEvent.objects.filter(event="inventory.synced").exists()


@pytest.mark.parametrize(
    "variables",
    [
        {"FAKE_CLI_LIST_EXIT": "1"},
        {"FAKE_CLI_LIST_SERVER": "the cloud is away"},
        {"FAKE_CLI_LIST_SERVER": {"servers": []}},
        {"FAKE_CLI_LIST_SERVER": ""},
    ],
)
def test_a_list_that_cannot_be_used_leaves_the_rows_alone(
    cli: Any, workspace: Workspace, variables: dict[str, Any]
) -> None:
    server = make_server(workspace, "web-01", status="running", seen_at=LONG_AGO)
    cli(**variables)
    assert sync.sync_all()["failed"] >= 1
    server.refresh_from_db()
    assert (server.status, server.seen_at) == ("running", LONG_AGO)


def test_a_missing_cli_leaves_the_rows_alone(cli: Any, workspace: Workspace, settings: Any) -> None:
    make_server(workspace, "web-01", seen_at=LONG_AGO)
    settings.CLI_PATH = "/nowhere/provisioning"
    assert sync.sync_all() == {"seen": 0, "removed": 0, "failed": 3}
    assert Server.objects.count() == 1


def test_items_of_a_list_that_name_nothing_are_passed_over(cli: Any, workspace: Workspace) -> None:
    cli(FAKE_CLI_LIST_SERVER=["web-01", None, {}, {"hostname": 7}, {"hostname": "web-02"}])
    assert sync.sync_all()["seen"] == 1
    assert Server.objects.get().hostname == "web-02"


def test_values_that_no_column_can_hold_are_cut_or_passed_over(
    cli: Any, workspace: Workspace
) -> None:
    cli(
        FAKE_CLI_LIST_SERVER=[
            {"hostname": "x" * 300, "plan": "p" * 300, "zone": ["z"], "status": None}
        ],
        FAKE_CLI_LIST_TASKSERV=[{"name": "y" * 300, "version": "v\x00" * 100}],
    )
    assert sync.sync_all() == {"seen": 2, "removed": 0, "failed": 0}
    server, taskserv = Server.objects.get(), Taskserv.objects.get()
    assert (len(server.hostname), len(server.plan), server.zone) == (253, 63, "")
    assert (len(taskserv.name), len(taskserv.version)) == (63, 63)


def test_a_foreign_or_taken_id_is_replaced(cli: Any, workspace: Workspace) -> None:
    taken = make_server(make_workspace("staging"), "web-09")
    cli(
        FAKE_CLI_LIST_SERVER=[
            {"hostname": "web-01", "id": taken.uid},
            {"hostname": "web-02", "id": "../../etc/passwd"},
            {"hostname": "web-03", "id": 17},
        ]
    )
    sync.sync_all()
    uids = set(Server.objects.filter(workspace=workspace).values_list("uid", flat=True))
    assert len(uids) == 3
    assert all(uid.startswith("srv-") and len(uid) == 12 for uid in uids)
    assert taken.uid not in uids


def test_what_came_up_after_the_list_was_asked_for_is_kept(
    journal: Path, workspace: Workspace
) -> None:
    asked_at = timezone.now()
    make_server(workspace, "web-01")
    assert store_list(Server, workspace, [], asked_at) == (0, [])
    assert Server.objects.count() == 1


def test_a_sync_of_many_servers_takes_a_handful_of_queries(workspace: Workspace) -> None:
    document = [{"hostname": f"web-{index}", "status": "running"} for index in range(300)]
    store_list(Server, workspace, document, timezone.now())
    asked_at = timezone.now()
    with CaptureQueriesContext(connection) as queries:
        assert store_list(Server, workspace, document, asked_at) == (300, [])
    assert len(queries) <= 12
    assert Server.objects.filter(seen_at__gte=asked_at).count() == 300


def test_a_long_list_is_written_in_several_transactions(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one item is told in two of them is put together; all ids of one kind stay apart."""
    monkeypatch.setattr("operations.inventory.BATCH_ROWS", 2)
    kept = make_server(workspace, "web-2", plan="small", zone="z1", seen_at=LONG_AGO)
    make_server(workspace, "web-9", seen_at=LONG_AGO)
    document = [{"hostname": f"web-{index}", "id": "srv-abc123"} for index in range(5)]
    document.append({"hostname": "web-2", "plan": "large"})
    document.append({"hostname": "web-0", "plan": "huge"})

    with CaptureQueriesContext(connection) as queries:
        assert store_list(Server, workspace, document, timezone.now()) == (5, ["web-9"])

    assert sum(query["sql"].startswith("BEGIN") for query in queries) == 4
    rows = {server.hostname: server for server in Server.objects.all()}
    assert sorted(rows) == [f"web-{index}" for index in range(5)]
    assert (rows["web-0"].uid, rows["web-0"].plan) == ("srv-abc123", "huge")
    assert (rows["web-2"].uid, rows["web-2"].plan, rows["web-2"].zone) == (kept.uid, "large", "z1")


def test_a_list_ends_where_an_operation_overtakes_it(
    journal: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The delete ends between the first transaction and the second."""
    monkeypatch.setattr("operations.inventory.BATCH_ROWS", 1)
    server = make_server(workspace, "ok-1", seen_at=LONG_AGO)
    unseen = make_server(workspace, "web-9", seen_at=LONG_AGO)
    asked_at = timezone.now()

    def write_and_let_a_delete_end(*given: Any) -> None:
        _write_batch(*given)
        transaction.on_commit(lambda: run(Kind.SERVER_DELETE, workspace, hostname=server.hostname))

    monkeypatch.setattr("operations.inventory._write_batch", write_and_let_a_delete_end)
    document = [{"hostname": "web-1"}, {"hostname": "ok-1"}]

    assert store_list(Server, workspace, document, asked_at) == (1, [])

    names = Server.objects.values_list("hostname", flat=True)
    assert set(names) == {"web-1", unseen.hostname}


# --- One item's status -------------------------------------------------------------------------


def test_a_status_that_the_cli_tells_is_live_and_kept(cli: Any, workspace: Workspace) -> None:
    server = make_server(workspace, "ok-1", status="unknown", seen_at=LONG_AGO)
    item, observed_at, source = sync.observe(server)
    assert (item.status, source) == ("running", "live")
    server.refresh_from_db()
    assert (server.status, server.seen_at) == ("running", observed_at)


@pytest.mark.parametrize("hostname", ["fail-1-x", "plain-1", "silent-1", "sleep-60-x"])
def test_a_status_that_the_cli_does_not_tell_is_the_stored_one(
    cli: Any, workspace: Workspace, settings: Any, hostname: str
) -> None:
    settings.STATUS_TIMEOUT_SECONDS = 0.3
    server = make_server(workspace, hostname, status="running", seen_at=LONG_AGO)
    item, observed_at, source = sync.observe(server)
    assert (item.status, observed_at, source) == ("running", LONG_AGO, "stored")


@pytest.mark.parametrize("hostname", ["stubborn-1", "escape-1"])
def test_a_cli_that_does_not_answer_in_time_is_ended_with_all_that_it_started(
    cli: Any, workspace: Workspace, journal: Path, settings: Any, hostname: str
) -> None:
    settings.STATUS_TIMEOUT_SECONDS = 1.0
    sync.observe(make_server(workspace, hostname))
    assert sum(line.word == "child" for line in read_journal(journal)) == 3
    assert processes_with(f"FAKE_CLI_JOURNAL={journal}") == set()


def test_a_cli_that_has_answered_is_not_signalled(
    cli: Any, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has been reaped: its pid may be that of somebody else's group by now."""
    signalled: list[int] = []
    monkeypatch.setattr("os.killpg", lambda pid, number: signalled.append(pid))
    assert sync.observe(make_server(workspace, "ok-1"))[2] == "live"
    assert signalled == []


def test_a_status_call_is_marked_but_no_operation(cli: Any, workspace: Workspace) -> None:
    document, _ = capture_document("server_status", workspace.name, {"hostname": "env-1"})
    assert uuid.UUID(document["env"]["PROVISIONING_CAPTURE_ID"]).version == 4
    assert "PROVISIONING_OPERATION_ID" not in document["env"]


def test_a_cli_that_hangs_holds_only_some_of_the_threads(
    cli: Any, workspace: Workspace, journal: Path, settings: Any
) -> None:
    settings.STATUS_TIMEOUT_SECONDS = 2.0
    allowed = settings.STATUS_CALLS_AT_ONCE
    assert allowed == 8  # of 32 threads
    servers = [make_server(workspace, f"sleep-60-{index}") for index in range(allowed + 4)]

    def ask(server: Server) -> tuple[str, float]:
        began = time.monotonic()
        return sync.observe(server)[2], time.monotonic() - began

    answers = at_once([functools.partial(ask, server) for server in servers])

    assert [source for source, _ in answers] == ["stored"] * len(servers)
    assert sum(seconds < 1.0 for _, seconds in answers) == len(servers) - allowed
    assert sum(line.word == "start" for line in read_journal(journal)) == allowed
    assert sync.observe(make_server(workspace, "ok-1"))[2] == "live"


def test_a_list_that_was_asked_for_before_a_delete_ended_brings_nothing_back(
    cli: Any, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The delete ends between the CLI's answer and our looking at it."""
    make_server(workspace, "ok-1")
    ask = capture_document

    def ask_while_a_delete_ends(key: str, *args: Any) -> Any:
        answer = ask(key, *args)
        if key == "server_list":
            run(Kind.SERVER_DELETE, workspace, hostname="ok-1")
        return answer

    monkeypatch.setattr("operations.sync.capture_document", ask_while_a_delete_ends)
    cli(FAKE_CLI_LIST=[{"hostname": "ok-1", "name": "ok-1", "status": "running"}])

    sync.sync_all()

    assert not Server.objects.exists()
