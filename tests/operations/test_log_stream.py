"""`GET /v1/operations/{id}/log/stream`: its events, its places, who gets in."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import User, Workspace
from operations import following
from operations.models import Operation, OperationLog
from tests.answers import assert_error
from tests.factories import bind, make_operation, make_workspace

# A stream that is closed unread ends its request, and with that the connection of the thread.
pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)

Api = Callable[[User | None], APIClient]


@pytest.fixture(autouse=True)
def _every_place_is_given_back() -> Iterator[None]:
    yield
    assert following.places.taken == 0


@pytest.fixture
def client(operator: User, workspace: Workspace, api: Api) -> APIClient:
    return api(operator)


def logged(workspace: Workspace, *pieces: tuple[str, bytes], status: str = "failed") -> Operation:
    operation = make_operation(workspace)
    offset = 0
    sizes = {"stdout": 0, "stderr": 0}
    for stream, data in pieces:
        OperationLog.objects.create(
            operation=operation,
            stream=stream,
            offset=offset,
            stream_offset=sizes[stream],
            data=data,
        )
        offset += len(data)
        sizes[stream] += len(data)
    ended = {"reason": "exit", "exit_code": 3, "finished_at": timezone.now()}
    Operation.objects.filter(pk=operation.pk).update(
        status=status, **(ended if status == "failed" else {})
    )
    return operation


def open_stream(client: APIClient, operation: Operation, query: str = "", **headers: str) -> Any:
    return client.get(f"/v1/operations/{operation.pk}/log/stream{query}", headers=headers)


def events_of(answer: Any) -> list[tuple[str, str, str]]:
    """`(event, id, data)` of each, as a browser's EventSource would see them."""
    text = b"".join(answer.streaming_content).decode()
    answer.close()
    found = []
    for block in text.split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        fields = [line.partition(": ") for line in lines]
        data = "\n".join(value for name, _, value in fields if name == "data")
        named = {name: value for name, _, value in fields}
        if "data" in named:
            found.append((named.get("event", "message"), named.get("id", ""), data))
    return found


END = json.dumps({"status": "failed", "reason": "exit", "exit_code": 3}, separators=(",", ":"))


def test_a_stream_holds_the_whole_log_and_then_the_end(
    client: APIClient, workspace: Workspace
) -> None:
    operation = logged(workspace, ("stdout", "één\n\ntwo\n".encode()), ("stderr", b"oops\n"))

    answer = open_stream(client, operation)

    assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    assert events_of(answer) == [("message", "16", "één\n\ntwo\noops"), ("end", "16", END)]


def test_one_stream_has_offsets_of_its_own(client: APIClient, workspace: Workspace) -> None:
    operation = logged(workspace, ("stdout", b"one\n"), ("stderr", b"oops\n"))

    found = events_of(open_stream(client, operation, "?stream=stderr"))

    assert found == [("message", "5", "oops"), ("end", "5", END)]


@pytest.mark.parametrize("how", ["header", "query", "both"])
def test_a_stream_goes_on_after_the_last_event(
    how: str, client: APIClient, workspace: Workspace
) -> None:
    operation = logged(workspace, ("stdout", b"one\ntwo\n"))
    query = {"header": "", "query": "?offset=4", "both": "?offset=0"}[how]
    headers = {} if how == "query" else {"last-event-id": "4"}

    found = events_of(open_stream(client, operation, query, **headers))

    assert found == [("message", "8", "two"), ("end", "8", END)]


def test_the_end_comes_again_for_who_had_all_but_the_end(
    client: APIClient, workspace: Workspace
) -> None:
    operation = logged(workspace, ("stdout", b"one\n"))

    assert events_of(open_stream(client, operation, "?offset=4")) == [("end", "4", END)]


def test_a_last_line_without_its_newline_is_a_part(client: APIClient, workspace: Workspace) -> None:
    operation = logged(workspace, ("stdout", b"one\ntw"))

    found = events_of(open_stream(client, operation))

    assert found == [("message", "4", "one"), ("part", "6", "tw"), ("end", "6", END)]


def test_a_long_line_comes_in_parts_that_cut_no_character(
    client: APIClient, workspace: Workspace
) -> None:
    line = "長" * 50_000
    data = line.encode() + b"\n"
    pieces = [("stdout", data[at : at + 60_000]) for at in range(0, len(data), 60_000)]

    found = events_of(open_stream(client, logged(workspace, *pieces)))

    assert [event for event, _, _ in found] == ["part", "part", "message", "end"]
    assert "".join(text for _, _, text in found[:-1]) == line


def test_carriage_returns_and_bytes_that_are_no_text_break_no_event(
    client: APIClient, workspace: Workspace
) -> None:
    operation = logged(workspace, ("stdout", b"10%\r20%\ra\r\nb \xff\nid: 7\n\n"))

    found = events_of(open_stream(client, operation))

    assert found[0] == ("message", "22", "10%\n20%\na\nb \ufffd\nid: 7\n")
    assert [event for event, _, _ in found] == ["message", "end"]


def test_a_stream_closes_without_an_end_after_its_time(
    client: APIClient, workspace: Workspace, settings: Any
) -> None:
    settings.STREAM_SECONDS = 0.2
    operation = logged(workspace, ("stdout", b"one\n"), status="running")

    assert events_of(open_stream(client, operation)) == [("message", "4", "one")]


def test_the_beginning_of_a_line_is_shown_when_its_end_does_not_come(
    client: APIClient, workspace: Workspace
) -> None:
    operation = logged(workspace, ("stdout", b"Continue? "), status="running")
    answer = open_stream(client, operation)

    first = next(piece for piece in answer.streaming_content if b"data" in piece)
    answer.close()

    assert first == b"event: part\nid: 10\ndata: Continue? \n\n"


def test_beyond_the_places_a_stream_is_503_and_a_closed_one_makes_room(
    client: APIClient, workspace: Workspace, settings: Any
) -> None:
    settings.HELD_REQUESTS = 1
    operation = logged(workspace, ("stdout", b"one\n"))
    never_read = open_stream(client, operation)

    refused = open_stream(client, operation)
    never_read.close()

    assert_error(refused, 503)
    assert refused.headers["Retry-After"] == "5"
    assert events_of(open_stream(client, operation))[-1][0] == "end"


def test_a_quarter_of_the_threads_are_places() -> None:
    assert django_settings.HELD_REQUESTS == 8


def test_a_stream_of_another_workspace_is_404_and_takes_no_place(
    workspace: Workspace, stranger: User, api: Api
) -> None:
    bind(stranger, "Viewer", workspace)
    operation = logged(make_workspace("secret"), ("stdout", b"one\n"))

    assert_error(open_stream(api(stranger), operation), 404)
    assert following.places.taken == 0


@pytest.mark.parametrize(
    ("query", "headers"),
    [("?offset=x", {}), ("", {"last-event-id": "-1"}), ("?stream=both", {})],
)
def test_what_cannot_be_is_400_and_takes_no_place(
    query: str, headers: dict[str, str], client: APIClient, workspace: Workspace
) -> None:
    operation = logged(workspace, ("stdout", b"one\n"))

    assert_error(open_stream(client, operation, query, **headers), 400)
    assert following.places.taken == 0


def test_an_idle_stream_asks_the_database_seldom(
    client: APIClient, workspace: Workspace, settings: Any, django_assert_max_num_queries: Any
) -> None:
    settings.STREAM_SECONDS = 3
    operation = logged(workspace, status="pending")
    answer = open_stream(client, operation)
    pieces = iter(answer.streaming_content)
    began = time.monotonic()

    # Two queries a look: at once, at the ring of the bell that begins to listen, after two seconds.
    with django_assert_max_num_queries(10):
        assert b"".join(pieces) == b"retry: 1000\n\n"
    answer.close()

    assert time.monotonic() - began >= 2.9  # it has waited, not spun
