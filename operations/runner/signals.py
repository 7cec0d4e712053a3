"""How a worker tells its runner to come to an end.

The flags are made before the worker forks, so that every process under it shares them.
"""

from __future__ import annotations

import multiprocessing
from enum import Enum


class Stop(Enum):
    """DRAIN: start nothing more, end with the last child. NOW: leave the children to a successor."""

    DRAIN = "drain"
    NOW = "now"


_context = multiprocessing.get_context("fork")
_drain = _context.Event()
_now = _context.Event()


def want(stop: Stop) -> None:
    _drain.set()
    if stop is Stop.NOW:
        _now.set()


def stop_wanted() -> Stop | None:
    if _now.is_set():
        return Stop.NOW
    return Stop.DRAIN if _drain.is_set() else None
