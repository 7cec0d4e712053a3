"""The present, as every record writes it."""

from __future__ import annotations

import time


def now() -> str:
    """RFC 3339 in UTC with milliseconds: `2026-03-01T12:00:00.123Z`."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{stamp}.{nanoseconds // 1_000_000:03d}Z"
