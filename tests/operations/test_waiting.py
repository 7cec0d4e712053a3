"""`GET /v1/operations/{id}/wait` and `Prefer: wait=N`."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.actor import Actor
from accounts.models import User, Workspace
from operations import following, output, runner, wake
from operations.models import Operation, OperationLog
from operations.services import lifecycle
from tests.answers import assert_error
from tests.factories import make_operation, make_server
from tests.operations.harness import Background

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)

Api = Callable[[User | None], APIClient]


@pytest.fixture
def client(operator: User, workspace: Workspace, api: Api) -> APIClient:
    return api(operator)


@pytest.fixture
def only_wakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is seen is seen by a wake: the poll comes too late for any test."""
    monkeypatch.setattr(following, "POLL_SECONDS", 3600.0)


def create(client: APIClient, hostname: str, **headers: str) -> Any:
    body = {"workspace": "production", "provider": "p", "plan": "q", "hostname": hostname}
    return client.post("/v1/servers/create", body, format="json", headers=headers)


def cancel_soon(operation: Operation, operator: User) -> Background:
    def act() -> None:
        # Once it is waited for: the answer is to come by the wake, not by the first look.
        while not following.places.taken:
            time.sleep(0.005)
        lifecycle.cancel_operation(operation=operation, actor=Actor(name=operator.username))

    return Background(act)


def test_a_wait_answers_when_the_operation_ends(
    only_wakes: None, client: APIClient, operator: User, workspace: Workspace
) -> None:
    operation = make_operation(workspace)
    other = cancel_soon(operation, operator)

    answer = client.get(f"/v1/operations/{operation.pk}/wait?timeout=30")

    other.join()
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert following.places.taken == 0


def test_a_wait_for_what_has_ended_answers_at_once(
    only_wakes: None, client: APIClient, workspace: Workspace
) -> None:
    operation = make_operation(workspace)
    client.post(f"/v1/operations/{operation.pk}/cancel")

    answer = client.get(f"/v1/operations/{operation.pk}/wait?timeout=55")

    assert answer.status_code == 200


def test_a_wait_that_was_in_vain_is_202_with_the_operation_as_it_stands(
    client: APIClient, workspace: Workspace
) -> None:
    operation = make_operation(workspace)

    answer = client.get(f"/v1/operations/{operation.pk}/wait?timeout=1")

    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    assert answer.headers["Retry-After"] == "1"


def test_a_wait_without_a_free_place_is_202_at_once(
    client: APIClient, workspace: Workspace, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.HELD_REQUESTS = 0
    monkeypatch.setattr(following.Watch, "pause", lambda *_: pytest.fail("it has waited"))
    operation = make_operation(workspace)

    answer = client.get(f"/v1/operations/{operation.pk}/wait?timeout=55")

    assert (answer.status_code, answer.headers["Retry-After"]) == (202, "1")


@pytest.fixture
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "LOG_PAUSE_SECONDS", 0.01)


def test_a_wait_for_the_log_answers_when_it_has_grown(
    quick_looks: None, client: APIClient, workspace: Workspace
) -> None:
    operation = make_operation(workspace)
    write_log(operation, "stdout", 0, b"three\n")
    path = f"/v1/operations/{operation.pk}/wait?timeout=55"

    grown = client.get(f"{path}&log=5")
    later = Background(lambda: write_when_held(operation, 6, b"more\n"))
    awaited = client.get(f"{path}&log=6")

    later.join()
    assert [grown.status_code, awaited.status_code] == [202, 202]
    assert client.get(f"/v1/operations/{operation.pk}/log").content == b"three\nmore\n"


def test_a_wait_for_the_log_answers_when_the_operation_ends(
    only_wakes: None, client: APIClient, operator: User, workspace: Workspace
) -> None:
    operation = make_operation(workspace)
    other = cancel_soon(operation, operator)

    answer = client.get(f"/v1/operations/{operation.pk}/wait?timeout=30&log=0")

    other.join()
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")


def test_a_wait_for_the_log_is_in_vain_while_nothing_is_written(
    quick_looks: None, client: APIClient, workspace: Workspace
) -> None:
    operation = make_operation(workspace)
    write_log(operation, "stderr", 0, b"three\n")

    answer = client.get(f"/v1/operations/{operation.pk}/wait?timeout=1&log=6")

    assert answer.status_code == 202
    assert (
        "log" in assert_error(client.get(f"{answer.request['PATH_INFO']}?log=-1"), 400)["message"]
    )


def write_log(operation: Operation, stream: str, offset: int, data: bytes) -> None:
    OperationLog.objects.create(
        operation=operation, stream=stream, offset=offset, stream_offset=offset, data=data
    )


def write_when_held(operation: Operation, offset: int, data: bytes) -> None:
    while not following.places.taken:
        time.sleep(0.005)
    write_log(operation, "stdout", offset, data)


@pytest.mark.parametrize("timeout", ["56", "-1", "x", ""])
def test_a_wait_of_more_than_55_seconds_is_refused(
    timeout: str, client: APIClient, workspace: Workspace
) -> None:
    operation = make_operation(workspace)

    answer = client.get(f"/v1/operations/{operation.pk}/wait?timeout={timeout}")

    assert "0 to 55" in assert_error(answer, 400)["message"]


@contextlib.contextmanager
def turning_when_submitted() -> Iterator[None]:
    """A turn that begins when there is something to run."""

    def act() -> None:
        while not Operation.objects.exists():
            time.sleep(0.005)
        runner.run_turn()

    turn = Background(act)
    try:
        yield
    finally:
        turn.join()


def test_a_submission_that_prefers_to_wait_is_200_with_the_result(
    client: APIClient, journal: Path
) -> None:
    with turning_when_submitted():
        answer = create(client, "ok-1", prefer="respond-async, wait=30")

    assert (answer.status_code, answer.json()["status"]) == (200, "completed")
    assert answer.json()["result"]["hostname"] == "ok-1"
    assert answer.headers["Preference-Applied"] == "wait=30"
    assert answer.headers["Location"] == f"/v1/operations/{answer.json()['id']}"
    assert "Retry-After" not in answer.headers


def test_a_submission_that_does_not_end_in_time_is_202(client: APIClient) -> None:
    answer = create(client, "ok-1", prefer="wait=1")

    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    assert answer.headers["Preference-Applied"] == "wait=1"
    assert answer.headers["Retry-After"] == "1"


@pytest.mark.parametrize("prefer", ["", "wait", "wait=0", "wait=x", "return=minimal", "await=3"])
def test_without_a_wait_nothing_is_waited_for(
    prefer: str, client: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "wait_for_end", lambda *_: pytest.fail("it has waited"))

    answer = create(client, "ok-1", prefer=prefer)

    assert answer.status_code == 202
    assert "Preference-Applied" not in answer.headers


def test_a_preference_is_not_applied_when_no_place_is_free(
    client: APIClient, settings: Any
) -> None:
    settings.HELD_REQUESTS = 0

    answer = create(client, "ok-1", prefer="wait=55")

    assert answer.status_code == 202
    assert "Preference-Applied" not in answer.headers


def test_every_launching_route_waits(
    client: APIClient, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def note(_: object, seconds: float) -> bool:
        asked.append(seconds)
        return True

    monkeypatch.setattr(following, "wait_for_end", note)
    server = make_server(workspace)
    steps = [{"id": "a", "kind": "server_create", "params": {"provider": "local", "plan": "small"}}]
    bodies: dict[str, dict[str, Any]] = {
        "/v1/servers/create": {"provider": "p", "plan": "q"},
        "/v1/taskservs/create": {"name": "containerd"},
        "/v1/clusters/create": {"name": "kubernetes"},
        "/v1/workflows/submit": {"name": "web", "steps": steps},
    }
    headers = {"prefer": 'wait="600"'}

    answers = [
        client.post(path, body | {"workspace": "production"}, format="json", headers=headers)
        for path, body in bodies.items()
    ]
    answers.append(client.delete(f"/v1/servers/{server.uid}", headers=headers))

    assert [answer.headers.get("Preference-Applied") for answer in answers] == ["wait=55"] * 5
    assert asked == [55] * 5


def test_the_bell_rings_again_after_its_listener_was_lost(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    bell = following.Bell()
    calls = []
    real = wake.listen

    def listen() -> wake.Listener:
        calls.append(1)
        if len(calls) == 1:
            raise OSError("gone")
        return real()

    monkeypatch.setattr(wake, "listen", listen)
    with bell:
        assert bell.wait(0, 20)
        heard = bell.rings
        wake.send()
        assert bell.wait(heard, 20)


def test_a_stop_of_the_web_server_ends_a_wait(client: APIClient, workspace: Workspace) -> None:
    operation = make_operation(workspace)
    stop_file = following.stop_file(os.getppid())
    stop_file.touch()
    try:
        answer = client.get(f"/v1/operations/{operation.pk}/wait?timeout=55")
    finally:
        stop_file.unlink()

    assert answer.status_code == 202


def test_a_result_with_a_long_number_is_shown_to_who_waits(
    operator: User, workspace: Workspace, api: Api
) -> None:
    found = output.read_report(b'{"bytes": 10000000000000000000000}', b"").result
    operation = make_operation(workspace)
    Operation.objects.filter(pk=operation.pk).update(
        status="completed", result=found, finished_at=operation.created_at
    )

    client = api(operator)
    client.raise_request_exception = False
    path = f"/v1/operations/{operation.pk}"
    assert [client.get(one).status_code for one in (path, f"{path}/wait")] == [200, 200]
