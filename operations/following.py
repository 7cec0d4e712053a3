"""Requests that are held until something happens: a bounded number, all woken by one listener.

Each holds a thread of its web process, so there are `server.held_requests` places in each. All who wait
in a process share one listener (on PostgreSQL one connection), which is there only while somebody waits.
A wake tells that something ended or began; who hears it looks. A lost one costs `POLL_SECONDS`.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError

from operations import logs, wake
from operations.models import Operation

log = logging.getLogger("provisioning.following")

MAX_WAIT_SECONDS = 55
POLL_SECONDS = 2.0
LOG_PAUSE_SECONDS = 1.0  # between two looks at a log, of which no wake tells
# Between two looks, however often it rings: a busy server must not be asked for each of its wakes.
LOOK_PAUSE_SECONDS = 0.05
# How soon a stop of the server is seen, and a client that has hung up.
PROBE_SECONDS = 0.5
LISTEN_SECONDS = 0.5


class Place:
    """Room for one held request, given back once."""

    def __init__(self, places: Places) -> None:
        self._places: Places | None = places

    def leave(self) -> None:
        places, self._places = self._places, None
        if places:
            places.give_back()

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()


class Places:
    """The places of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = 0

    def take(self) -> Place | None:
        """None when all are taken."""
        with self._lock:
            if self._taken >= settings.HELD_REQUESTS:
                return None
            self._taken += 1
        return Place(self)

    def give_back(self) -> None:
        with self._lock:
            self._taken -= 1

    @property
    def taken(self) -> int:
        return self._taken


class Bell:
    """Rings for all waiters of this process when somebody sent a wake."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._waiters = 0
        self._thread: threading.Thread | None = None
        self.rings = 0

    def __enter__(self) -> Bell:
        with self._condition:
            self._waiters += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._listen, name="bell", daemon=True)
                self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._condition:
            self._waiters -= 1

    def wait(self, heard: int, seconds: float) -> bool:
        """Until there were more rings than those `heard`, at most so long; whether there were."""
        with self._condition:
            return self._condition.wait_for(lambda: self.rings != heard, max(seconds, 0))

    def ring(self) -> None:
        with self._condition:
            self.rings += 1
            self._condition.notify_all()

    def _listen(self) -> None:
        """The thread: until nobody waits any more."""
        while not self._is_over():
            try:
                with wake.listening() as listener:
                    self.ring()  # what happened before it listened
                    while not self._is_over():
                        if wake.wait(listener, LISTEN_SECONDS):
                            self.ring()
            except (DatabaseError, OSError) as error:
                log.warning("wakes cannot be heard, trying again: %s", error)
                time.sleep(LISTEN_SECONDS)

    def _is_over(self) -> bool:
        with self._condition:
            if threading.current_thread() is self._thread and not self._waiters:
                self._thread = None
            return threading.current_thread() is not self._thread


places = Places()
bell = Bell()


class Watch:
    """When to look at an operation again: at a ring, or after `poll_seconds`."""

    def __init__(self) -> None:
        self._heard = bell.rings
        self._looked_at = time.monotonic()

    def looking(self) -> None:
        """Called before each look: what rings from now on is news."""
        self._heard = bell.rings
        self._looked_at = time.monotonic()

    def pause(self, poll_seconds: float, patience: float) -> bool:
        """Wait until a look is due, at most `patience` and never longer than a probe; whether it is."""
        due = self._looked_at + poll_seconds
        until = min(due, time.monotonic() + min(patience, PROBE_SECONDS))
        has_rung = bell.wait(self._heard, until - time.monotonic())
        if has_rung:
            time.sleep(max(self._looked_at + LOOK_PAUSE_SECONDS - time.monotonic(), 0))
        return has_rung or time.monotonic() >= due


def wait_for_end(operation_id: uuid.UUID, seconds: float) -> bool:
    """Wait until it has ended, at most so long; False at once when no place is free."""
    unfinished = Operation.objects.filter(pk=operation_id).exclude(status__in=Operation.FINAL)
    return wait_until(lambda: not unfinished.exists(), seconds, poll_seconds=POLL_SECONDS)


def wait_for_log(operation: Operation, seconds: float, *, beyond: int) -> bool:
    """Wait until it has ended, or until its log has more than so many bytes. The second is looked for
    after a pause, so that whoever asks again and again gets much at a time."""
    unfinished = Operation.objects.filter(pk=operation.pk).exclude(status__in=Operation.FINAL)
    due = time.monotonic() + LOG_PAUSE_SECONDS

    def has_news() -> bool:
        is_grown = time.monotonic() >= due and logs.size_of(operation, None) > beyond
        return is_grown or not unfinished.exists()

    return wait_until(has_news, seconds, poll_seconds=LOG_PAUSE_SECONDS)


def wait_until(condition: Callable[[], bool], seconds: float, *, poll_seconds: float) -> bool:
    """Look at every wake, and as often as the poll says; False at once when no place is free."""
    place = places.take()
    if place is None:
        return False
    deadline = time.monotonic() + seconds
    with place, bell:
        watch = Watch()
        while not condition():
            while not watch.pause(poll_seconds, deadline - time.monotonic()):
                if time.monotonic() >= deadline or is_stopping():
                    return True
            watch.looking()
    return True


# --- The end of the web server -----------------------------------------------------------------


def stop_file(server: int) -> Path:
    """There while the web server with this pid is being stopped. Its processes are told by a file,
    because whether they inherit descriptors depends on how they are started."""
    return Path(settings.STATE_DIR) / f"web-{server}.stopping"


def is_stopping() -> bool:
    return stop_file(os.getppid()).exists()
