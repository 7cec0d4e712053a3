"""One commit for the requests of several threads.

SQLite lets one writer in at a time, and each commit writes every touched page and waits for the disk:
measured at half the cost of an answer. Here one thread leads: it takes all that wait into one
transaction, while the others sleep. What is acknowledged is as durable as before: nobody is answered
before the commit that holds his row.

On PostgreSQL the same helps: requests with one token wait for its row, each through the commit of the one
before; and a batch sends its statements together. There it holds one token only, and takes its configs in the
order of their keys, so that two batches hardly ever wait for each other in a circle. If they do, the database
ends one of them, and its acts run one by one.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from typing import Any, Generic

from django.db import connection

from autoinstall.services.using import Use, use
from provisioning.statements import Act, Result, run


class _Waiting(Generic[Result]):
    """An act, and the thread that sleeps until it is done or that thread has to lead."""

    def __init__(self, act: Act[Result], use: Use | None, config: int) -> None:
        self.act = act
        self.use = use
        self.config = config
        self.is_done = False
        self.result: Result | None = None
        self.error: BaseException | None = None
        self.woken = threading.Event()

    @property
    def token(self) -> int:
        """Its key; 0 for none."""
        return self.use.token.pk if self.use else 0

    def run_alone(self) -> None:
        """In a transaction of its own; whatever it raises is its caller's alone."""
        try:
            (self.result,) = _run([self])
        except BaseException as error:
            self.error = error
        self.is_done = True

    def outcome(self) -> Result:
        assert self.is_done, "nobody is answered before his act has been committed"
        if self.error is not None:
            raise self.error
        return self.result  # type: ignore[return-value]


class _Group:
    """Whoever comes first leads; when his batch is committed, the first of those who came meanwhile."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[_Waiting[Any]] = []
        self._has_leader = False

    def run(self, mine: _Waiting[Result]) -> Result:
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
            batch, self._waiting = self._waiting, []
        try:
            _commit(sorted(batch, key=lambda one: one.config))
        finally:
            with self._lock:
                following = self._waiting[0] if self._waiting else None
                self._has_leader = following is not None
            for waiting in (*batch, following):
                if waiting is not None:
                    waiting.woken.set()


_groups: dict[int, _Group] = {}
_groups_lock = threading.Lock()


def _group_of(token: int) -> _Group:
    """All of SQLite's writers wait for each other anyway; on PostgreSQL those with another token do not,
    and a token whose row somebody holds keeps nobody else waiting."""
    key = 0 if connection.vendor == "sqlite" else token
    with _groups_lock:
        return _groups.setdefault(key, _Group())


def commit_together(act: Act[Result], use: Use | None = None, config: int = 0) -> Result:
    """Use the token and run the act in a transaction, maybe with others. What it raises undoes what it
    did, and it may run again then. `config` is the key of the one whose counters it takes."""
    mine = _Waiting(act, use, config)
    return _group_of(mine.token).run(mine)


def _commit(batch: list[_Waiting[Any]]) -> None:
    """All in one transaction; if one fails, it is undone, and each runs in its own."""
    if len(batch) > 1:
        with contextlib.suppress(BaseException):  # whose it was shows when each runs alone
            for waiting, result in zip(batch, _run(batch), strict=True):
                waiting.result, waiting.is_done = result, True
            return
    for waiting in batch:
        waiting.run_alone()


def _run(batch: list[_Waiting[Any]]) -> list[Any]:
    """First the tokens, so that the transactions of all processes begin with the same lock."""
    uses: dict[int, list[Use]] = {}
    for waiting in batch:
        if waiting.use is not None:
            uses.setdefault(waiting.token, []).append(waiting.use)
    used: list[Act[Any]] = [functools.partial(use, uses[token]) for token in sorted(uses)]
    return run([*used, *(waiting.act for waiting in batch)])[len(used) :]
