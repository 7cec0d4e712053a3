"""Running operations: one loop watches all their processes, and any loop can be replaced.

A turn claims as many operations as there is room for and watches them without a thread or a process
of its own for each. It may die at any point: the processes go on, their output and exit codes go to
files, and the next turn on this host adopts them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator

from django.conf import settings

from operations import wake
from operations.models import Operation, Runner
from operations.runner.turn import Turn, register


@contextlib.contextmanager
def host_lock(patience_seconds: float = 0.0) -> Iterator[bool]:
    """One turn at a time on a host: yields whether this process got the lock. The kernel frees it
    with the process, however that ends. `patience_seconds` outlasts those who only look."""
    descriptor = os.open(settings.STATE_DIR / "runner.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield _try_lock(descriptor, time.monotonic() + patience_seconds)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, deadline: float) -> bool:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.005)
        else:
            return True


def is_running_here() -> bool:
    """Whether a turn is at work on this host."""
    with host_lock() as is_free:
        return not is_free


def run_turn(*, linger: float = 0.0) -> None:
    """Run what there is, unless another turn on this host does already; then wait `linger` seconds
    for more."""
    with host_lock(patience_seconds=0.05) as is_held:
        if not is_held:
            return
        runner = register(Runner.Role.TURN)
        try:
            Turn(runner, linger=linger).run()
        finally:
            runner.delete()
    # Work that came while we were closing: whoever listens looks again, now that the lock is free.
    wake.send()


def run_in_foreground(operation: Operation, on_tick: Callable[[], None]) -> None:
    """Run this one operation here and now, watched by this process."""
    runner = register(Runner.Role.FOREGROUND)
    try:
        Turn(runner, only=operation, on_tick=on_tick).run()
    finally:
        Runner.objects.filter(pk=runner.pk).delete()
