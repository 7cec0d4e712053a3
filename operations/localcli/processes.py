"""Processes of this host, by /proc (man 5 proc) and pidfds (man 2 pidfd_open). Linux only."""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypedDict

# Shorter than the 5 seconds that the server gives us by default before it kills the whole group: the
# rest of its grace is for writing down how the script ended.
GRACE_SECONDS = 3.0


class Runner(TypedDict):
    """The process at work on a record; the start time tells it from a later one of its pid."""

    pid: int
    started_ticks: int


class Stat(NamedTuple):
    state: str
    parent: int
    started_ticks: int


def this_process() -> Runner:
    stat = _stat(os.getpid())
    return {"pid": os.getpid(), "started_ticks": stat.started_ticks if stat else 0}


def is_alive(runner: Runner | None) -> bool:
    stat = _stat(runner["pid"]) if runner else None
    return (
        stat is not None
        and runner is not None
        and stat.started_ticks == runner["started_ticks"]
        and stat.state not in ("Z", "X")
    )


def terminate(runner: Runner) -> None:
    """Sends SIGTERM to the living `runner`; does nothing when it has ended."""
    with suppress(ProcessLookupError):
        handle = os.pidfd_open(runner["pid"])
        try:
            # Looked at after opening: from here on the handle cannot mean another process.
            if is_alive(runner):
                signal.pidfd_send_signal(handle, signal.SIGTERM)
        finally:
            os.close(handle)


def end_descendants() -> None:
    """TERM to every process below this one, KILL to what is left after GRACE_SECONDS.

    Scripts share our process group, so that whoever kills the group reaches them; but TERM may
    also come to this process alone, and then it is ours to pass on.
    """
    living = _open(_descendants())
    _send(living, signal.SIGTERM)
    stubborn = _wait(living, GRACE_SECONDS)
    if stubborn:
        stubborn += _open(_descendants())
        _send(stubborn, signal.SIGKILL)
        _wait(stubborn, GRACE_SECONDS)


def _stat(pid: int) -> Stat | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The command name stands in parentheses and may hold anything, ')' included.
    fields = text.rpartition(")")[2].split()
    return Stat(fields[0], int(fields[1]), int(fields[19]))


def _descendants() -> list[int]:
    parents = {
        int(entry): stat.parent
        for entry in os.listdir("/proc")
        if entry.isdigit() and (stat := _stat(int(entry)))
    }
    found = [os.getpid()]
    for pid in found:  # grows while it is walked: children of children
        found += [child for child, parent in parents.items() if parent == pid]
    return found[1:]


def _open(pids: list[int]) -> list[int]:
    handles = []
    for pid in pids:
        with suppress(OSError):
            handles.append(os.pidfd_open(pid))
    return handles


def _send(handles: list[int], number: signal.Signals) -> None:
    for handle in handles:
        with suppress(OSError):
            signal.pidfd_send_signal(handle, number)


def _wait(handles: list[int], seconds: float) -> list[int]:
    """Those of `handles` whose process still lives after at most `seconds`."""
    deadline = time.monotonic() + seconds
    living = set(handles)
    poll = select.poll()
    for handle in living:
        poll.register(handle, select.POLLIN)
    while living and (left := deadline - time.monotonic()) > 0:
        for handle, _event in poll.poll(left * 1000):
            poll.unregister(handle)
            living.discard(handle)
    return list(living)
