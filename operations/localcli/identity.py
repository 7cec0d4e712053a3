"""Ids of records."""

from __future__ import annotations

import os

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
LENGTH = 8


def new_id(prefix: str) -> str:
    """`srv-4k2m9x0a`: the prefix and 8 random characters of a-z and 0-9.

    os.urandom and not `secrets`: an id is no secret, and that import costs 8 ms.
    """
    return f"{prefix}-" + "".join(ALPHABET[byte % len(ALPHABET)] for byte in os.urandom(LENGTH))
