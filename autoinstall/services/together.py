"""One commit for the requests of several threads, and few statements for all of them.

SQLite lets one writer in at a time, and each commit writes every touched page and waits for the disk:
measured at half the cost of an answer. Here one thread leads: it takes all that wait into one
transaction, while the others sleep. What is acknowledged is as durable as before: nobody is answered
before the commit that holds his row.

On PostgreSQL the same helps: requests with one token wait for its row, each through the commit of the one
before; and each statement is a journey to the server. There a batch holds one token only, and takes its
configs in the order of their keys, so that two batches hardly ever wait for each other in a circle. If they
do, the database ends one of them, and its drafts are written one by one.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from django.db import IntegrityError, OperationalError, connection

from autoinstall.models import Attempt
from autoinstall.services import recording
from autoinstall.services.allotting import Allotting, Wish
from autoinstall.services.using import Use, Using
from provisioning.statements import IS_SQLITE, one_transaction

# So long at most those who are committed wait for the next batch to be on its way to the database.
HEAD_START_SECONDS = 0.03


def _nothing() -> bytes:
    return b""


@dataclass(slots=True)
class Draft:
    """What a request is going to leave: its attempt, the use of its token, the values it is to get.

    `finish` is called when it has them, completes the attempt and returns the answer's bytes. It may be
    called again, after a transaction that was undone.
    """

    attempt: dict[str, Any]
    use: Use | None = None
    wish: Wish | None = None
    finish: Callable[[], bytes] = _nothing

    @property
    def config(self) -> int:
        """The key of the config whose counters it takes; 0 for none."""
        return self.wish.config.pk if self.wish else 0


def _closed() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


@dataclass(slots=True)
class _Waiting:
    """A draft, and the thread that sleeps until it is written or that thread has to lead."""

    draft: Draft
    is_done: bool = False
    body: bytes = b""
    error: BaseException | None = None
    # Of all that a thread can sleep by the cheapest: it is opened once, by another thread.
    gate: threading.Lock = field(default_factory=_closed)
    # Of who leads: the last statements of his batch are about to be sent.
    is_sent: threading.Event = field(default_factory=threading.Event)

    def write_alone(self, sent: Callable[[], None]) -> None:
        """In a transaction of its own; whatever it raises is its caller's alone."""
        try:
            _write_surely([self], sent)
        except BaseException as error:
            self.error = error
        self.is_done = True

    def outcome(self) -> bytes:
        assert self.is_done, "nobody is answered before his draft has been committed"
        if self.error is not None:
            raise self.error
        return self.body


class _Group:
    """Whoever comes first leads; when his batch is committed, the first of those who came meanwhile."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[_Waiting] = []
        self._has_leader = False

    def write(self, draft: Draft) -> bytes:
        mine = _Waiting(draft)
        with self._lock:
            self._waiting.append(mine)
            leads = not self._has_leader
            self._has_leader = True
        if not leads:
            mine.gate.acquire()
        if not mine.is_done:
            self._lead(mine)
        return mine.outcome()

    def _lead(self, mine: _Waiting) -> None:
        with self._lock:
            batch, self._waiting = self._waiting, []
        try:
            _commit(sorted(batch, key=lambda one: one.draft.config), mine.is_sent.set)
        finally:
            mine.is_sent.set()
            with self._lock:
                following = self._waiting[0] if self._waiting else None
                self._has_leader = following is not None
            try:
                if following is not None:
                    following.gate.release()
                    if len(batch) > 1:
                        # Awake, these would keep him from the interpreter while the database has
                        # nothing to do; they have the time in which it works on his batch.
                        following.is_sent.wait(HEAD_START_SECONDS)
            finally:
                for waiting in batch:
                    if waiting is not mine:
                        waiting.gate.release()


_groups: dict[int, _Group] = {}
_groups_lock = threading.Lock()


def _group_of(token: int) -> _Group:
    """All of SQLite's writers wait for each other anyway; on PostgreSQL those with another token do not,
    and a token whose row somebody holds keeps nobody else waiting."""
    key = 0 if IS_SQLITE else token
    if (group := _groups.get(key)) is not None:
        return group
    with _groups_lock:
        return _groups.setdefault(key, _Group())


def commit_together(draft: Draft) -> bytes:
    """Write it in a transaction, maybe with others; the answer's bytes. What it raises undoes all of it."""
    return _group_of(draft.use.token.pk if draft.use else 0).write(draft)


def _commit(batch: Sequence[_Waiting], sent: Callable[[], None]) -> None:
    """All in one transaction; if one fails, it is undone, and each is written in its own."""
    if len(batch) > 1:
        with contextlib.suppress(BaseException):  # whose it was shows when each is alone
            _write_surely(batch, sent)
            for waiting in batch:
                waiting.is_done = True
            return
    for waiting in batch:
        waiting.write_alone(sent)


def _write_surely(batch: Sequence[_Waiting], sent: Callable[[], None]) -> None:
    """Again where the connection broke or a circle of waiting transactions was cut: an installer asks
    only once. Where it broke as the commit was on its way, the database tells what became of it."""
    used, drafts = connection.connection, [one.draft for one in batch]
    bodies: list[bytes] = []
    try:
        _write(drafts, bodies, sent)
    except OperationalError as error:
        is_broken = used is None or (not IS_SQLITE and used.closed)
        if not is_broken and not isinstance(error.__cause__, psycopg.errors.DeadlockDetected):
            raise
        if is_broken:
            connection.close()
        bodies = _written_after_all(drafts, bodies, sent)
    for one, body in zip(batch, bodies, strict=True):
        one.body = body


def _written_after_all(
    drafts: Sequence[Draft], bodies: list[bytes], sent: Callable[[], None]
) -> list[bytes]:
    """The answers that stand: those of the first try if its commit went through, else of one more."""
    attempt = Attempt.objects.filter(pk=drafts[0].attempt["id"])
    if attempt.exists():
        return bodies
    again: list[bytes] = []
    try:
        _write(drafts, again, sent)
    except IntegrityError:  # the server was still at the first one's commit
        if attempt.exists():
            return bodies
        raise
    return again


def _write(drafts: Sequence[Draft], bodies: list[bytes], sent: Callable[[], None]) -> None:
    """First the tokens: all processes' transactions begin with the same lock."""
    with one_transaction() as driver:
        using = Using(driver, [one.use for one in drafts if one.use])
        wishes = [one.wish for one in drafts if one.wish]
        allotting = Allotting(driver, wishes, is_hopeful=len(drafts) > 1)
        using.check()
        allotting.fill_in()
        bodies.extend(one.finish() for one in drafts)
        recording.record(driver, [one.attempt for one in drafts])
        sent()
