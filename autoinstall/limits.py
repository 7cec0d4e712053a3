"""How many refused requests of one address get a row and an answer of their own.

Each process counts for itself and by whole minutes. A right token is always served, however many wrong
ones came from the same address: a rack of machines may stand behind one.
"""

from __future__ import annotations

import ipaddress
import threading
import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass

from django.conf import settings

MOST_SOURCES = 10_000
WINDOW_SECONDS = 60.0


@dataclass
class Window:
    began: float
    count: int = 0
    row: uuid.UUID | None = None  # stands for all beyond the limit


_windows: OrderedDict[str, Window] = OrderedDict()
_lock = threading.Lock()


def count_refusal(source: str) -> Window:
    """One more of this address (of its /64, for IPv6); the window it falls into."""
    key, now = _network_of(source), time.monotonic()
    with _lock:
        window = _windows.pop(key, None)
        if window is None or now - window.began >= WINDOW_SECONDS:
            window = Window(began=now)
        window.count += 1
        _windows[key] = window
        while len(_windows) > MOST_SOURCES:
            _windows.popitem(last=False)
        return window


def is_over(window: Window) -> bool:
    return window.count > settings.REFUSALS_PER_MINUTE


def seconds_left(window: Window) -> int:
    return max(1, int(window.began + WINDOW_SECONDS - time.monotonic()) + 1)


def forget() -> None:
    """Start afresh (tests)."""
    with _lock:
        _windows.clear()


def _network_of(source: str) -> str:
    try:
        address = ipaddress.ip_address(source)
    except ValueError:
        return source
    if address.version == 6 and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return source
