"""Numbers as PostgreSQL's jsonb gives them back: it writes 1e22 as an integer of 23 digits."""

from __future__ import annotations

import json
from typing import Any


class Decoder(json.JSONDecoder):
    """An integer that orjson could not write is the float that it was."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, parse_int=_number)


def _number(text: str) -> int | float:
    value = int(text) if len(text) < 25 else None
    return value if value is not None and -(2**63) <= value < 2**64 else float(text)
