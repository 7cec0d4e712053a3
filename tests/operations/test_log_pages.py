"""`GET /v1/operations/{id}/log` by ranges, and where its pages end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import User, Workspace
from operations.models import Operation, OperationLog
from tests.answers import assert_error
from tests.factories import make_operation

Api = Callable[[User | None], APIClient]


@pytest.fixture
def client(operator: User, workspace: Workspace, api: Api) -> APIClient:
    return api(operator)


def logged(workspace: Workspace, data: bytes, *, ended: bool = True) -> Operation:
    operation = make_operation(workspace)
    OperationLog.objects.create(
        operation=operation, stream="stdout", offset=0, stream_offset=0, data=data
    )
    if ended:
        Operation.objects.filter(pk=operation.pk).update(
            status="completed", finished_at=timezone.now()
        )
    return operation


def get(client: APIClient, operation: Operation, query: str = "", **headers: str) -> Any:
    return client.get(f"/v1/operations/{operation.pk}/log{query}", headers=headers)


@pytest.mark.parametrize(
    ("header", "content", "shown"),
    [
        ("bytes=0-3", b"0123", "bytes 0-3/10"),
        ("bytes=8-", b"89", "bytes 8-9/10"),
        ("bytes=-4", b"6789", "bytes 6-9/10"),
        ("bytes=8-99", b"89", "bytes 8-9/10"),
    ],
)
def test_a_range_is_206_with_exactly_those_bytes(
    header: str, content: bytes, shown: str, client: APIClient, workspace: Workspace
) -> None:
    answer = get(client, logged(workspace, b"0123456789"), range=header)

    assert (answer.status_code, answer.content) == (206, content)
    assert answer.headers["Content-Range"] == shown
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["X-Log-Complete"] == str(content.endswith(b"9")).lower()


def test_the_size_of_a_log_that_grows_is_not_told(client: APIClient, workspace: Workspace) -> None:
    answer = get(client, logged(workspace, b"0123456789", ended=False), range="bytes=5-")

    assert answer.headers["Content-Range"] == "bytes 5-9/*"
    assert (answer.headers["X-Next-Offset"], answer.headers["X-Log-Complete"]) == ("10", "false")


def test_a_range_beyond_the_end_is_416(client: APIClient, workspace: Workspace) -> None:
    answer = get(client, logged(workspace, b"0123456789"), range="bytes=10-")

    error = assert_error(answer, 416)
    assert error["error"] == "RANGE_NOT_SATISFIABLE"
    assert "10 bytes" in error["message"]
    assert answer.headers["Content-Range"] == "bytes */10"


@pytest.mark.parametrize("query", ["?offset=0", "?limit=10", "?tail=1"])
def test_the_parameters_go_before_a_range(
    query: str, client: APIClient, workspace: Workspace
) -> None:
    answer = get(client, logged(workspace, b"0123456789"), query, range="bytes=5-")

    assert (answer.status_code, answer.content) == (200, b"0123456789")


def test_a_range_counts_in_the_chosen_stream(client: APIClient, workspace: Workspace) -> None:
    operation = logged(workspace, b"0123456789")
    OperationLog.objects.create(
        operation=operation, stream="stderr", offset=10, stream_offset=0, data=b"abc"
    )

    answer = get(client, operation, "?stream=stderr", range="bytes=-2")

    assert (answer.content, answer.headers["Content-Range"]) == (b"bc", "bytes 1-2/3")


def test_pages_hold_whole_characters_and_together_every_byte(
    client: APIClient, workspace: Workspace
) -> None:
    text = "aé長🚀" * 20
    operation = logged(workspace, text.encode())
    found = ""
    offset = "0"
    complete = "false"
    while complete == "false":
        answer = get(client, operation, f"?limit=7&offset={offset}")
        found += answer.content.decode()
        offset, complete = answer.headers["X-Next-Offset"], answer.headers["X-Log-Complete"]

    assert found == text


def test_a_page_that_is_too_small_for_a_character_goes_on_all_the_same(
    client: APIClient, workspace: Workspace
) -> None:
    answer = get(client, logged(workspace, "🚀x".encode()), "?limit=2")

    assert answer.content == "🚀".encode()[:2]


def test_half_a_character_at_the_end_waits_while_the_operation_may_go_on(
    client: APIClient, workspace: Workspace
) -> None:
    half = b"go \xf0\x9f"

    running = get(client, logged(workspace, half, ended=False))
    ended = get(client, logged(workspace, half))

    assert (running.content, running.headers["X-Next-Offset"]) == (b"go ", "3")
    assert (ended.content, ended.headers["X-Log-Complete"]) == (half, "true")
