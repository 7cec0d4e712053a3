"""Operations of a real server: the limit under load, cancels, kills, and what the CLI gets to see."""

from __future__ import annotations

import os
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.live.harness import JWT_SECRET, PASSWORD, LiveServer, database, running
from tests.processes import (
    is_alive,
    most_at_once,
    processes_of,
    read_journal,
    runs_by_operation,
    starts_of,
    wait_until,
)


def test_two_hundred_creates_at_once_run_once_each_and_never_more_than_ten_together(
    server: LiveServer,
) -> None:
    names = [f"sleep-0.1-load{index}" for index in range(200)]
    with ThreadPoolExecutor(16) as pool:
        accepted = list(pool.map(server.create_server, names))
    ids = {operation["id"] for operation in accepted}
    assert len(ids) == 200

    def ended() -> Counter[str]:
        rows = server.get("/v1/operations", limit=1000)
        return Counter(row["status"] for row in rows if row["id"] in ids)

    wait_until(lambda: ended() == {"completed": 200}, "all 200 have completed", 90, pause=0.25)
    lines = [line for line in read_journal(server.journal) if line.operation in ids]
    assert runs_by_operation(lines) == dict.fromkeys(ids, 1)
    assert 1 < most_at_once(lines) <= 10
    hostnames = {row["hostname"] for row in server.get("/v1/servers", limit=1000)}
    assert hostnames >= set(names)


def test_a_cancelled_stubborn_cli_leaves_no_process(server: LiveServer) -> None:
    operation = server.create_server("stubborn-live")

    def children() -> list[int]:
        return [
            line.pid for line in read_journal(server.journal) if line.operation == operation["id"]
        ]

    wait_until(lambda: len(children()) == 4, "the CLI has forked three times")
    assert len(processes_of(operation["id"])) == 5
    answer = server.client.post(f"/v1/operations/{operation['id']}/cancel")
    assert answer.status_code == 202
    ended = server.wait_for(operation["id"], "cancelled")
    assert ended["reason"] == "cancelled_by_user"
    assert not any(is_alive(pid) for pid in children())
    assert processes_of(operation["id"]) == set()
    again = server.client.post(f"/v1/operations/{operation['id']}/cancel")
    assert again.status_code == 409
    assert again.json()["error"] == "CONFLICT"


def test_the_cli_sees_no_secret_of_the_server(server: LiveServer) -> None:
    operation = server.create_server("env-live")
    result = server.wait_for(operation["id"], "completed")["result"]
    seen = str(result["env"])
    assert result["env"]["PROVISIONING_ACTOR"] == "admin"
    assert result["env"]["PROVISIONING_REQUEST_ID"] == operation["request_id"]
    for secret in (JWT_SECRET, PASSWORD, "postgres", str(server.port)):
        assert secret not in seen


def test_an_operation_goes_on_when_the_worker_is_killed(server: LiveServer) -> None:
    operation = server.create_server("sleep-3-worker")
    wait_until(lambda: starts_of(server.journal, operation["id"]), "the CLI runs")
    worker = server.part("worker")
    before = server.processes()
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: server.part("worker") not in (0, worker), "there is another worker")
    ended = server.wait_for(operation["id"], "completed", "failed")
    assert (ended["status"], ended["exit_code"]) == ("completed", 0)
    assert starts_of(server.journal, operation["id"]) == 1
    assert "operation.adopted" in server.events_of(operation["id"])
    # Nothing of the killed worker's own process tree is left.
    session = {pid for pid in before if is_alive(pid)} - {
        server.process.pid if server.process else 0
    }
    web = server.part("serve")
    assert all(web in ancestors_of(pid) for pid in session)


def test_an_operation_goes_on_when_the_process_that_watches_it_is_killed(
    server: LiveServer,
) -> None:
    operation = server.create_server("sleep-2-turn")
    wait_until(lambda: starts_of(server.journal, operation["id"]), "the CLI runs")
    [launcher] = [
        pid for pid in processes_of(operation["id"]) if parent_of(pid) in server.processes()
    ]
    os.kill(parent_of(launcher), signal.SIGKILL)
    ended = server.wait_for(operation["id"], "completed", "failed")
    assert (ended["status"], ended["exit_code"]) == ("completed", 0)
    assert starts_of(server.journal, operation["id"]) == 1


def test_a_killed_cluster_is_replaced_and_its_operation_goes_on(server: LiveServer) -> None:
    operation = server.create_server("sleep-2-cluster")
    wait_until(lambda: starts_of(server.journal, operation["id"]), "the CLI runs")
    worker = server.part("worker")
    [sentinel] = [pid for pid in server.processes() if parent_of(pid) == worker]
    os.kill(sentinel, signal.SIGKILL)
    ended = server.wait_for(operation["id"], "completed", "failed")
    assert (ended["status"], ended["exit_code"]) == ("completed", 0)
    assert starts_of(server.journal, operation["id"]) == 1
    assert server.part("worker") == worker
    assert "the django-q2 cluster has died; starting another" in server.said


def parent_of(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def ancestors_of(pid: int) -> list[int]:
    found = [pid]
    while found[-1] > 1:
        found.append(parent_of(found[-1]))
    return found


def test_a_workflow_runs_its_steps_in_order(server: LiveServer) -> None:
    steps = [
        {"id": "a", "kind": "server_create", "params": params("ok-wf-a")},
        {"id": "b", "kind": "server_create", "params": params("ok-wf-b"), "depends_on": ["a"]},
    ]
    body = {"workspace": "production", "name": "two", "steps": steps}
    answer = server.client.post("/v1/workflows/submit", json=body)
    assert answer.status_code == 202
    ended = server.wait_for(answer.json()["id"], "completed", "failed")
    assert ended["result"] == {"steps": {"a": "completed", "b": "completed"}}
    started = [
        line.name
        for line in read_journal(server.journal)
        if line.word == "start" and line.name.startswith("ok-wf-")
    ]
    assert started == ["ok-wf-a", "ok-wf-b"]


def params(hostname: str) -> dict[str, str]:
    return {"hostname": hostname, "provider": "p", "plan": "q"}


def test_the_wake_and_not_the_poll_starts_an_operation(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The poll is a minute away: without a wake nothing would start before the test gives up."""
    root = tmp_path_factory.mktemp("w")
    with (
        database() as url,
        running(LiveServer.with_fake_cli(root, url, PROVISIONING_QUEUE__POLL_SECONDS="60")) as idle,
    ):
        operation = idle.create_server("ok-quick")
        idle.wait_for(operation["id"], "completed", seconds=20)

        assert idle.operation(operation["id"])["exit_code"] == 0
