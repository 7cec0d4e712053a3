"""Ending well on SIGTERM, SIGINT and SIGHUP.

A signal is noted at once, but it interrupts only the long waits (a script, a lock, a probe, a
pause), which say so by `interruptible()`. Short work, such as writing a file and its journal
line, is always carried through.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from operations.localcli.errors import Stopped, TimedOut

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
TIMED_OUT_EXIT_CODE = 124  # as timeout(1)


class _State:
    is_stopping = False
    is_interruptible = False
    undelivered: Stopped | None = None


def watch_signals() -> None:
    for number in SIGNALS:
        # nohup and background jobs start us with a signal ignored, and mean it.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _on_signal)


@contextmanager
def interruptible() -> Iterator[None]:
    """Lets a signal end the body by raising Stopped, also one that came before. Do not nest."""
    _State.is_interruptible = True  # before looking, or a signal between both would be lost
    try:
        _deliver()
        yield
    finally:
        _State.is_interruptible = False


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raises TimedOut from the waits of the body after `seconds`; None is no limit."""
    signal.signal(signal.SIGALRM, lambda _number, _frame: _stop(_timed_out(seconds)))
    signal.setitimer(signal.ITIMER_REAL, seconds or 0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        if isinstance(_State.undelivered, TimedOut):
            _State.undelivered = None


def _on_signal(number: int, _frame: FrameType | None) -> None:
    _stop(Stopped(f"Stopped by {signal.Signals(number).name}.", 128 + number))


def _timed_out(seconds: float | None) -> TimedOut:
    return TimedOut(f"It ran longer than {seconds:g} seconds and was stopped.", TIMED_OUT_EXIT_CODE)


def _stop(reason: Stopped) -> None:
    if _State.is_stopping:
        return  # the first signal is being obeyed already
    _State.is_stopping = not isinstance(reason, TimedOut)
    _State.undelivered = reason
    if _State.is_interruptible:
        _deliver()


def _deliver() -> None:
    """Raises what is undelivered, once: the clean-up it causes may wait without interruption."""
    reason, _State.undelivered = _State.undelivered, None
    if reason is not None:
        _State.is_interruptible = False
        raise reason
