"""One commit for the requests of several threads.

SQLite lets one writer in at a time, and each commit writes every touched page and waits for the disk:
measured at half the cost of an answer. Here one thread leads: it takes all that wait into one
transaction, while the others sleep. What is acknowledged is as durable as before: nobody is answered
before the commit that holds his row.

On PostgreSQL the same helps: requests with one token wait for its row, each through the commit of the one
before. There a batch holds one token only, and takes its configs in the order of their keys, so that the
batches of two processes never wait for each other in a circle.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from django.db import connection

from provisioning.statements import fast_transaction

Result = TypeVar("Result")
Locks = tuple[int, int]  # the keys of the token and the config whose rows the act locks; 0 for none
Act = Callable[[Any], Result]  # given the cursor of a `fast_transaction`; may run again when undone


class _Waiting(Generic[Result]):
    """An act, and the thread that sleeps until it is done or that thread has to lead."""

    def __init__(self, act: Act[Result], locks: Locks) -> None:
        self.act = act
        self.locks = locks
        self.is_done = False
        self.result: Result | None = None
        self.error: BaseException | None = None
        self.woken = threading.Event()

    def run_alone(self) -> None:
        """In a transaction of its own; whatever it raises is its caller's alone."""
        try:
            self.result = _alone(self.act)
        except BaseException as error:
            self.error = error
        self.is_done = True

    def outcome(self) -> Result:
        if self.error is not None:
            raise self.error
        return self.result  # type: ignore[return-value]


class _Group:
    """Whoever comes first leads; when his batch is committed, the first of those who came meanwhile."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[_Waiting[Any]] = []
        self._has_leader = False

    def run(self, act: Act[Result], locks: Locks) -> Result:
        mine = _Waiting(act, locks)
        with self._lock:
            self._waiting.append(mine)
            leads = not self._has_leader
            self._has_leader = True
        if not leads:
            mine.woken.wait()
        if not mine.is_done:
            self._lead()
        return mine.outcome()

    def _lead(self) -> None:
        with self._lock:
            batch, self._waiting = _batch_of(self._waiting)
        try:
            _run(batch)
        finally:
            with self._lock:
                following = self._waiting[0] if self._waiting else None
                self._has_leader = following is not None
            for waiting in (*batch, following):
                if waiting is not None:
                    waiting.woken.set()


_group = _Group()


def _batch_of(waiting: list[_Waiting[Any]]) -> tuple[list[_Waiting[Any]], list[_Waiting[Any]]]:
    """Those who go together, in the order of their locks, and those who wait for the next."""
    if connection.vendor == "sqlite":
        return waiting, []
    token = waiting[0].locks[0]
    together = [one for one in waiting if one.locks[0] == token]
    others = [one for one in waiting if one.locks[0] != token]
    return sorted(together, key=lambda one: one.locks), others


def commit_together(act: Act[Result], locks: Locks) -> Result:
    """Run the act in a transaction, maybe with others. What it raises undoes what it did."""
    return _group.run(act, locks)


def _run(batch: list[_Waiting[Any]]) -> None:
    """All in one transaction; if one fails, it is undone, and each runs in its own."""
    if len(batch) > 1:
        with contextlib.suppress(Exception):  # whose it was shows when each runs alone
            results = _alone(lambda cursor: [waiting.act(cursor) for waiting in batch])
            for waiting, result in zip(batch, results, strict=True):
                waiting.result, waiting.is_done = result, True
            return
    for waiting in batch:
        waiting.run_alone()


def _alone(act: Act[Result]) -> Result:
    with fast_transaction() as cursor:
        return act(cursor)
