"""The log of an operation as Server-Sent Events (HTML Living Standard, section 9.2)."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterator, Mapping
from typing import Any

import orjson
from django.conf import settings
from django.db import DatabaseError

from operations import following, logs
from operations.characters import begun
from operations.models import Operation

log = logging.getLogger("provisioning.following")

RETRY_MILLISECONDS = 1000
KEEP_ALIVE_SECONDS = 15.0
# Between two looks at a log that grows; twice as long after each that found nothing.
SHORTEST_POLL_SECONDS = 0.25
LONGEST_POLL_SECONDS = following.POLL_SECONDS
# How long the beginning of a line waits for its end.
OPEN_LINE_SECONDS = 1.0
EVENT_BYTES = 64 * 1024


class LogStream:
    """The body of one answer; holds its place until `close`, whether it was read or not.

    The thread's own connection is used for single SELECTs and never within a transaction. Empty pieces
    between the events reach no client: the server's try to send them shows that a client has hung up.
    """

    def __init__(
        self, operation: Operation, *, offset: int, stream: str | None, place: following.Place
    ) -> None:
        self.operation = operation
        self.offset = offset
        self.stream = stream
        self.place = place
        self._ends_at = time.monotonic() + settings.STREAM_SECONDS
        self._silent_since = time.monotonic()
        self._open_line_since: float | None = None
        self._pieces = self._run()

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        try:
            self._pieces.close()
        finally:
            self.place.leave()

    def _run(self) -> Generator[bytes, None, None]:
        yield b"retry: %d\n\n" % RETRY_MILLISECONDS
        try:
            with following.bell:
                yield from self._follow()
        except DatabaseError as error:  # the client comes again, with the id of its last event
            log.warning("a log stream ends early: %s", error)

    def _follow(self) -> Iterator[bytes]:
        watch = following.Watch()
        poll = SHORTEST_POLL_SECONDS
        while self._may_go_on():
            watch.looking()
            # The status first: what is final then has written its last.
            state = self._state()
            if state is None:  # deleted
                return
            is_final = state["status"] in Operation.FINAL
            if event := self._next_event(is_final=is_final):
                poll, self._silent_since = SHORTEST_POLL_SECONDS, time.monotonic()
                yield event
            elif is_final:
                yield framed(self.offset, [orjson.dumps(state)], event=b"end")
                return
            else:
                poll = self._next_poll(poll, state["status"])
                yield from self._be_silent(watch, poll)

    def _next_poll(self, poll: float, status: str) -> float:
        if self._open_line_since:
            return SHORTEST_POLL_SECONDS
        is_pending = status == Operation.Status.PENDING  # a wake says when it starts
        return LONGEST_POLL_SECONDS if is_pending else min(poll * 2, LONGEST_POLL_SECONDS)

    def _be_silent(self, watch: following.Watch, poll: float) -> Iterator[bytes]:
        """Until the next look is due."""
        while self._may_go_on() and not watch.pause(poll, following.PROBE_SECONDS):
            yield self._sign_of_life()
        yield b""

    def _sign_of_life(self) -> bytes:
        """A comment when there was nothing for long, for the proxies on the way."""
        if time.monotonic() - self._silent_since < KEEP_ALIVE_SECONDS:
            return b""
        self._silent_since = time.monotonic()
        return b": nothing new\n\n"

    def _may_go_on(self) -> bool:
        return time.monotonic() < self._ends_at and not following.is_stopping()

    def _state(self) -> Mapping[str, Any] | None:
        rows = Operation.objects.filter(pk=self.operation.pk)
        return rows.values("status", "reason", "exit_code").first()

    def _next_event(self, *, is_final: bool) -> bytes | None:
        """Whole lines; a part of one only when it is long, or old, or the last."""
        data = logs.read(self.operation, offset=self.offset, limit=EVENT_BYTES, stream=self.stream)
        if end := data.rfind(b"\n") + 1:
            self._open_line_since = None
            self.offset += end
            return framed(self.offset, lines_of(data[:end])[:-1])
        is_long = len(data) == EVENT_BYTES
        if not is_final and not is_long and not (data and self._has_waited_for_the_line()):
            return None
        if not is_final or is_long:
            data = data[: len(data) - (begun(data) or data.endswith(b"\r"))]
        if not data:
            return None
        self._open_line_since = None
        self.offset += len(data)
        return framed(self.offset, lines_of(data), event=b"part")

    def _has_waited_for_the_line(self) -> bool:
        now = time.monotonic()
        self._open_line_since = self._open_line_since or now
        return now - self._open_line_since >= OPEN_LINE_SECONDS


def lines_of(data: bytes) -> list[bytes]:
    """Split where an event stream would end a line anyway; what is no UTF-8 becomes U+FFFD."""
    text = data.decode(errors="replace").encode()
    return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")


def framed(offset: int, lines: list[bytes], *, event: bytes = b"") -> bytes:
    """One event; without a name it is a `message`."""
    head = b"event: %b\n" % event if event else b""
    body = b"".join(b"data: %b\n" % line for line in lines)
    return b"%bid: %d\n%b\n" % (head, offset, body)
