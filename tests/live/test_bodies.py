"""Bodies as they come over a real connection."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx

from tests.live.harness import PASSWORD, LiveServer

JSON = {"Content-Type": "application/json"}


def in_chunks(data: bytes, size: int = 64 * 1024) -> Iterator[bytes]:
    for begin in range(0, len(data), size):
        yield data[begin : begin + size]


def test_a_body_that_comes_in_chunks_is_read(server: LiveServer) -> None:
    body = json.dumps({"username": "admin", "password": PASSWORD}).encode()

    answer = httpx.post(server.url("/v1/auth/login"), content=in_chunks(body, 7), headers=JSON)

    assert answer.request.headers["Transfer-Encoding"] == "chunked"
    assert answer.status_code == 200


def test_ten_megabytes_in_chunks_are_refused_by_size(server: LiveServer) -> None:
    data = in_chunks(b" " * 10_000_000)

    answer = httpx.post(server.url("/v1/auth/login"), content=data, headers=JSON)

    assert answer.status_code == 413
    assert answer.json()["error"] == "PAYLOAD_TOO_LARGE"
