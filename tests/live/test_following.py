"""Following operations of a real server: streams, waits, the places they take, the stop of the server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live.harness import LiveServer, database, running
from tests.processes import starts_of, wait_until

PLACES = 2


@pytest.fixture(scope="module")
def follow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """One web process with two places."""
    root = tmp_path_factory.mktemp("f")
    with (
        database() as url,
        running(
            LiveServer.with_fake_cli(
                root,
                url,
                PROVISIONING_SERVER__WEB_PROCESSES="1",
                PROVISIONING_SERVER__HELD_REQUESTS=str(PLACES),
            )
        ) as server,
    ):
        yield server


class Stream:
    """An open stream, read event by event as `(event, id, data)`."""

    def __init__(self, server: LiveServer, operation_id: str, **request: Any) -> None:
        path = f"/v1/operations/{operation_id}/log/stream"
        client = server.client
        self.answer = client.send(
            client.build_request("GET", path, timeout=30, **request), stream=True
        )
        self._lines = self.answer.iter_lines()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.answer.close()

    def __iter__(self) -> Iterator[tuple[str, int, str]]:
        fields: dict[str, list[str]] = {}
        for line in self._lines:
            name, _, value = line.partition(": ")
            if line and name:
                fields.setdefault(name, []).append(value)
            elif not line:
                if "data" in fields:
                    event = fields.get("event", ["message"])[0]
                    yield event, int(fields["id"][0]), "\n".join(fields["data"])
                fields = {}


def hold(server: LiveServer, name: str) -> str:
    """An operation whose CLI waits in the middle of its lines."""
    Path(f"{server.journal}.go").unlink(missing_ok=True)
    operation_id = str(server.create_server(name)["id"])
    wait_until(lambda: starts_of(server.journal, operation_id), "the CLI runs")
    return operation_id


def let_go(server: LiveServer) -> None:
    Path(f"{server.journal}.go").touch()


def text_of(events: list[tuple[str, int, str]]) -> str:
    return "".join(
        data + ("\n" if event == "message" else "") for event, _, data in events if event != "end"
    )


def test_a_stream_follows_while_it_runs_goes_on_in_the_middle_and_ends(follow: LiveServer) -> None:
    operation_id = hold(follow, "paced-100-live")
    with Stream(follow, operation_id, params={"stream": "stdout"}) as stream:
        assert stream.answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        first = next(iter(stream))  # before the CLI has ended: it is held
    assert follow.operation(operation_id)["status"] == "running"
    assert first[2].startswith("out 0 é\nout 1 é")
    let_go(follow)

    with Stream(
        follow,
        operation_id,
        params={"stream": "stdout"},
        headers={"Last-Event-ID": str(first[1])},
    ) as stream:
        rest = list(stream)

    log = follow.client.get(f"/v1/operations/{operation_id}/log", params={"stream": "stdout"}).text
    assert text_of([first, *rest]) == log
    assert log.count("\n") == 102
    event, offset, data = rest[-1]
    assert (event, offset) == ("end", len(log.encode()))
    assert json.loads(data) == {"status": "completed", "reason": None, "exit_code": 0}


def test_beyond_its_places_a_stream_is_503_polling_works_and_who_hangs_up_makes_room(
    follow: LiveServer,
) -> None:
    operation_id = hold(follow, "hold-places")
    with Stream(follow, operation_id), Stream(follow, operation_id):
        with Stream(follow, operation_id) as refused:
            assert refused.answer.status_code == 503
            error = json.loads(refused.answer.read())
            assert error["error"] == "SERVICE_UNAVAILABLE"
            assert refused.answer.headers["retry-after"] == "5"
        log = follow.client.get(f"/v1/operations/{operation_id}/log")
        assert (log.status_code, log.headers["x-log-complete"]) == (200, "false")
        waited = follow.client.get(f"/v1/operations/{operation_id}/wait", params={"timeout": 55})
        assert waited.status_code == 202

    def is_let_in() -> bool:
        with Stream(follow, operation_id) as stream:
            return stream.answer.status_code == 200

    # The CLI is still held and says nothing: nothing but the hang-up can free the places.
    wait_until(is_let_in, "a place is free", pause=0.2)
    let_go(follow)
    follow.wait_for(operation_id, "completed")


def test_a_submission_that_prefers_to_wait_comes_back_with_the_result(follow: LiveServer) -> None:
    body = {"workspace": "production", "provider": "p", "plan": "q", "hostname": "ok-waited"}

    answer = follow.client.post("/v1/servers/create", json=body, headers={"Prefer": "wait=30"})

    assert (answer.status_code, answer.json()["status"]) == (200, "completed")
    assert answer.headers["preference-applied"] == "wait=30"


def test_a_wait_answers_by_the_wake(
    tmp_path_factory: pytest.TempPathFactory, follow: LiveServer
) -> None:
    operation_id = hold(follow, "hold-wait")
    began = time.monotonic()
    short = follow.client.get(f"/v1/operations/{operation_id}/wait", params={"timeout": 1})
    assert (short.status_code, short.json()["status"]) == (202, "running")
    assert time.monotonic() - began >= 1
    let_go(follow)

    answer = follow.client.get(f"/v1/operations/{operation_id}/wait", params={"timeout": 30})

    assert (answer.status_code, answer.json()["status"]) == (200, "completed")


def test_an_open_stream_does_not_hold_up_the_stop_of_the_server_and_is_closed_cleanly(
    own_server: LiveServer,
) -> None:
    own_server.environment["PROVISIONING_SERVER__WEB_PROCESSES"] = "1"
    own_server.start()
    operation_id = hold(own_server, "hold-stop")
    with Stream(own_server, operation_id) as stream:
        assert next(stream._lines) == "retry: 1000"
        assert own_server.stop() == 0
        # Granian would have waited, and then killed the process: an answer that is cut is no empty one.
        assert list(stream) == []
    assert not list(own_server.state.glob("web-*.stopping"))
    let_go(own_server)
    own_server.start()
    own_server.wait_for(operation_id, "completed")
