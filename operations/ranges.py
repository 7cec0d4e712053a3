"""`Range: bytes=...` (RFC 9110, section 14). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ONE_RANGE = re.compile(r"bytes\s*=\s*(\d{0,16})-(\d{0,16})", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class ByteRange:
    """`first` and `last` as asked for; without `first`, `last` is how many bytes from the end."""

    first: int | None
    last: int | None

    def within(self, size: int, most: int) -> tuple[int, int] | None:
        """`(offset, length)` in something of so many bytes, at most `most` of them: the first ones,
        of a range from the end the last ones. None when none is there."""
        if self.first is None:
            length = min(self.last or 0, size, most)
            return (size - length, length) if length else None
        end = size if self.last is None else min(self.last + 1, size)
        length = min(end - self.first, most)
        return (self.first, length) if length > 0 else None


def read_range(header: str) -> ByteRange | None:
    """One range of bytes. None for whatever else: the RFC has other units, several ranges and wrong
    ones ignored."""
    match = _ONE_RANGE.fullmatch(header.strip())
    if match is None:
        return None
    first, last = (int(number) if number else None for number in match.groups())
    if first is None and last is None:
        return None
    if first is not None and last is not None and last < first:
        return None
    return ByteRange(first, last)
