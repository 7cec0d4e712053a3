"""JSON pointers (RFC 6901) as Proxmox Datacenter Manager follows them, with two additions. Pure.

Its rules are those of serde_json's `Value::pointer`: `~1` is `/`, then `~0` is `~`, and a `~` before
anything else stays as it is. Ours are `*`, which stands for every element where the value is an array,
and the prefix `json:`, which also compares numbers and booleans, by their JSON text. No pointer that
its filters use loses a value by them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache

JSON_PREFIX = "json:"
ANY = "*"
_NAMES = {bool: "a boolean", dict: "an object", list: "an array", type(None): "null"}
_LONGEST_INDEX = 18  # digits; no array is longer, and int() refuses texts of thousands


class PointerError(ValueError):
    """The pointer is none; the text is one sentence that names the rule."""


@dataclass(frozen=True, slots=True)
class Pointer:
    """A place in a document; with `*` several. Made by `parse_pointer`."""

    text: str
    tokens: tuple[str, ...]
    scalars: bool = False  # it began with `json:`
    steps: tuple[tuple[str, int | None], ...] = field(init=False, repr=False)  # with array index
    wildcard: bool = field(init=False)  # it can lead to more than one place
    ignores_case: bool = field(init=False)  # what is found there is a MAC address

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple((one, _index(one)) for one in self.tokens))
        object.__setattr__(self, "wildcard", ANY in self.tokens)
        object.__setattr__(self, "ignores_case", _leads_to_mac(self.tokens))

    @property
    def path(self) -> str:
        """The pointer itself, without our prefix."""
        return self.text.removeprefix(JSON_PREFIX)

    def found(self, document: object) -> list[object]:
        """The JSON values at this place, of any type; usually one or none."""
        places = [document]
        for token, index in self.steps:
            onward: list[object] = []
            for place in places:
                if isinstance(place, dict):
                    if token in place:
                        onward.append(place[token])
                elif isinstance(place, list):
                    if token == ANY:
                        onward += place
                    elif index is not None:
                        onward += place[index : index + 1]
            places = onward
        return places

    def values(self, document: object) -> list[str]:
        """The texts to compare: strings, and with `json:` the JSON text of numbers and booleans."""
        found = self.found(document)
        if not self.scalars:
            return [value for value in found if isinstance(value, str)]
        return [text for value in found if (text := _json_text(value)) is not None]

    def why_no_text(self, found: list[object]) -> str:
        """Why nothing of what was found is compared, as a sentence."""
        if not found:
            return f"there is nothing at {self.path}"
        what = (
            f"the value is {_name(found[0])}" if len(found) == 1 else "none of the values is text"
        )
        if self.scalars:
            return f"{what}; only text, numbers and booleans are compared"
        if any(isinstance(value, bool | int | float) for value in found):
            return f"{what}; only text is compared (begin the pointer with json: to compare it)"
        return f"{what}; only text is compared"


@lru_cache(maxsize=1024)
def parse_pointer(text: str) -> Pointer:
    """Read a pointer. Raises PointerError.

    Cached, because thousands of filters share a handful of pointers.
    """
    path = text.removeprefix(JSON_PREFIX)
    if path and not path.startswith("/"):
        raise PointerError("a pointer is empty or begins with '/', as in '/dmi/system/serial'")
    tokens = tuple(part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:])
    return Pointer(text, tokens, scalars=path != text)


def _index(token: str) -> int | None:
    """An array index: decimal digits without a sign and without a leading zero."""
    if not (token.isascii() and token.isdigit() and len(token) <= _LONGEST_INDEX):
        return None
    return None if token.startswith("0") and len(token) > 1 else int(token)


def _json_text(value: object) -> str | None:
    if isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, bool | int | float) else None


def _leads_to_mac(tokens: tuple[str, ...]) -> bool:
    """Is it `/network_interfaces/<an index or *>/mac`?"""
    if len(tokens) != 3 or tokens[0] != "network_interfaces" or tokens[2] != "mac":
        return False
    return tokens[1] == ANY or _index(tokens[1]) is not None


def _name(value: object) -> str:
    return _NAMES.get(type(value), "a number")
