"""UUIDv7 (RFC 9562) as a clock: rows that have one are ordered by when they were made."""

from __future__ import annotations

import uuid
from datetime import datetime


def first_id_at(at: datetime) -> uuid.UUID:
    """The smallest id that a row made at this millisecond or later can have.

    `id >= first_id_at(day)` finds the rows of a day by the primary key, where a filter on the time would
    need an index of its own.
    """
    milliseconds = min(
        max(int(at.timestamp() * 1000), 0), 2**48 - 1
    )  # before 1970: the first of all
    return uuid.UUID(int=milliseconds << 80 | 0x7 << 76 | 0b10 << 62)
