"""Where UTF-8 may be cut. Pure."""

from __future__ import annotations

# First byte of a character -> how many bytes it has (RFC 3629).
_LENGTHS = {
    **dict.fromkeys(range(0xC2, 0xE0), 2),
    **dict.fromkeys(range(0xE0, 0xF0), 3),
    **dict.fromkeys(range(0xF0, 0xF5), 4),
}


def begun(data: bytes) -> int:
    """How many bytes at the end are the beginning of a character that goes on (0 to 3).

    Bytes that can never become a character are none: they are not waited for.
    """
    for count in range(1, min(3, len(data)) + 1):
        byte = data[-count]
        if byte & 0xC0 != 0x80:  # not a byte that continues one
            return count if _LENGTHS.get(byte, 1) > count else 0
    return 0
