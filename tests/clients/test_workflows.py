"""`clients/provisioning.sh workflows submit`: the logs of the steps, and one exit code."""

from __future__ import annotations

import json
import signal
from typing import Any

from tests.clients.shell import Client, last_operation, log_of
from tests.processes import read_journal, wait_until


def workflow_of(*steps: dict[str, Any]) -> str:
    return json.dumps({"workspace": "production", "name": "web", "steps": list(steps)})


def step(id: str, hostname: str, *depends_on: str) -> dict[str, Any]:
    params = {"provider": "local", "plan": "2xCPU-4GB", "hostname": hostname}
    return {"id": id, "kind": "server_create", "params": params, "depends_on": list(depends_on)}


def test_a_workflow_shows_the_log_of_each_step_in_the_order_of_their_ends(
    client: Client, shell: str
) -> None:
    body = workflow_of(step("second", "ok-second", "first"), step("first", "ok-first"))
    ended = client.run("workflows", "submit", "-", stdin=body.encode(), shell=shell)
    assert ended.code == 0, ended.err
    words = [line for line in ended.out.splitlines() if line.startswith(b"working on ")]
    assert words == [b"working on ok-first", b"working on ok-second"]
    assert ended.err.index("Step first: completed") < ended.err.index("Step second: completed")
    assert "completed" in ended.err.splitlines()[-1]


def test_the_log_of_a_step_is_shown_whole_however_long_it_is(client: Client) -> None:
    ended = client.run("workflows", "submit", workflow_of(step("big", "big-3-step")))
    assert ended.code == 0, ended.err
    assert ended.out == log_of(client.server, last_operation(client.server)["id"], "stdout")
    assert len(ended.out) == 3 * 1024 * 1024


def test_a_workflow_that_failed_exits_1_and_names_the_step(client: Client, shell: str) -> None:
    body = workflow_of(step("bad", "fail-7-x"), step("after", "ok-after", "bad"))
    ended = client.run("workflows", "submit", body, shell=shell)
    assert ended.code == 1
    assert b"half way\n" in ended.out
    assert "the cloud refused fail-7-x" in ended.err
    assert "Step after: failed" in ended.err
    assert "bad" in ended.err.splitlines()[-1]


def test_a_signal_cancels_the_whole_workflow(client: Client) -> None:
    body = workflow_of(step("one", "polite-flow"), step("two", "ok-never", "one"))
    started = client.start("workflows", "submit", body)

    def names() -> list[str]:
        return [line.name for line in read_journal(client.server.journal)]

    wait_until(lambda: "polite-flow" in names(), "the first step runs")
    started.process.send_signal(signal.SIGTERM)
    ended = started.end()
    assert ended.code == 130, ended.err
    assert ended.out == b"hello\ngoodbye\n"
    assert last_operation(client.server, "workflow")["status"] == "cancelled"
    assert "ok-never" not in names()
