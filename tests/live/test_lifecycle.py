"""Starting, stopping, killing the real server: in order, and nothing left."""

from __future__ import annotations

import os
import re
import signal

import pytest

from tests.live.harness import LiveServer
from tests.processes import (
    is_alive,
    processes_of,
    read_journal,
    starts_of,
    wait_until,
)


def test_a_stop_of_an_idle_server_leaves_nothing_running(own_server: LiveServer) -> None:
    own_server.start()
    assert len(own_server.processes()) > 5
    assert own_server.stop() == 0
    assert own_server.processes() == set()
    assert re.search(r"\nStopping\..*\nStopped\.\n$", own_server.said)
    assert list((own_server.state / "sockets").iterdir()) == []


def test_ctrl_c_stops_it_too(own_server: LiveServer) -> None:
    own_server.start()
    assert own_server.process is not None
    os.killpg(own_server.process.pid, signal.SIGINT)
    assert own_server.process.wait(30) == 0
    assert own_server.processes() == set()
    assert "Traceback" not in own_server.said


def test_a_stop_during_an_operation_leaves_it_to_the_next_start(own_server: LiveServer) -> None:
    own_server.start()
    operation = own_server.create_server("hold-1")
    wait_until(lambda: starts_of(own_server.journal, operation["id"]), "the CLI runs")
    [cli] = [line.pid for line in read_journal(own_server.journal)]
    assert own_server.stop() == 0
    assert own_server.processes() == set()
    assert is_alive(cli)
    assert "they go on by themselves" in own_server.said

    own_server.start()
    wait_until(
        lambda: "operation.adopted" in own_server.events_of(operation["id"]), "it is adopted"
    )
    own_server.journal.with_name("journal.go").touch()
    ended = own_server.wait_for(operation["id"], "completed", "failed")
    assert (ended["status"], ended["exit_code"]) == ("completed", 0)
    assert starts_of(own_server.journal, operation["id"]) == 1
    log = own_server.client.get(operation["links"]["log"]).text
    assert log.count("working on hold-1") == 1


def test_a_stop_gives_an_operation_that_ends_soon_the_time_to_end(own_server: LiveServer) -> None:
    own_server.environment["PROVISIONING_PROVISIONING__SHUTDOWN_GRACE_SECONDS"] = "20"
    own_server.start()
    operation = own_server.create_server("sleep-1-x")
    wait_until(lambda: starts_of(own_server.journal, operation["id"]), "the CLI runs")
    assert own_server.stop() == 0
    assert "they go on by themselves" not in own_server.said
    assert processes_of(operation["id"]) == set()
    own_server.start()
    assert own_server.operation(operation["id"])["status"] == "completed"


def test_kill_9_of_the_server_leaves_no_web_or_worker_process(own_server: LiveServer) -> None:
    own_server.start()
    operation = own_server.create_server("hold-1")
    wait_until(lambda: starts_of(own_server.journal, operation["id"]), "the CLI runs")
    assert own_server.process is not None
    own_server.process.kill()
    own_server.process.wait(10)
    wait_until(lambda: own_server.processes() == set(), "web and worker have ended", 30)
    assert len(processes_of(operation["id"])) == 2  # the CLI and its launcher go on


@pytest.mark.parametrize("part", ["serve"])
def test_a_killed_web_part_is_started_again_and_leaves_nothing_behind(
    own_server: LiveServer, part: str
) -> None:
    own_server.start()
    killed = own_server.part(part)
    with_it = children_of(killed)
    assert with_it
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: own_server.part(part) not in (0, killed), "it is started again")
    wait_until(own_server.is_ready, "it serves again")
    assert not any(is_alive(pid) for pid in with_it)
    assert f"The {part} ended with code -9; it is started again." in own_server.said


def children_of(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(word) for word in file.read().split()]
