"""What an audit event says was changed: from what, to what; and never a secret."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import orjson

from accounts.models import AuditEvent

# Events hold no secrets; whatever is named like one is not shown all the same.
SECRET: Final = re.compile(r"password|secret|digest|private.?key|api.?key|subscription.?key", re.I)
HIDDEN: Final = "(hidden)"


@dataclass(frozen=True)
class Change:
    """One field: its values in words, or what left and joined a list."""

    field: str
    old: str = ""
    new: str = ""
    removed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()


def data_of(event: AuditEvent) -> dict[str, Any]:
    return event.data if isinstance(event.data, dict) else {}


def changes_of(event: AuditEvent) -> list[Change]:
    """Of `{"changed": {field: [old, new]}}`; where both are objects, field by field within them."""
    changed = data_of(event).get("changed")
    if not isinstance(changed, dict):
        return []
    return [
        one
        for name, pair in changed.items()
        if isinstance(pair, list) and len(pair) == 2
        for one in _compare(str(name), pair[0], pair[1])
    ]


def _compare(name: str, old: Any, new: Any) -> list[Change]:
    label = name.replace("_", " ")
    if is_hidden(name, old) or is_hidden(name, new):
        return [Change(label, HIDDEN, HIDDEN)]
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [*old, *(key for key in new if key not in old)]
        pairs = [(key, old.get(key), new.get(key)) for key in keys]
        return [
            one
            for key, before, after in pairs
            if before != after
            for one in _compare(f"{name} / {key}", before, after)
        ]
    if isinstance(old, list) and isinstance(new, list):
        removed = tuple(in_words(one) for one in old if one not in new)
        added = tuple(in_words(one) for one in new if one not in old)
        if removed or added:
            return [Change(label, removed=removed, added=added)]
    return [Change(label, in_words(old), in_words(new))]


def is_hidden(name: str, value: Any) -> bool:
    """Whether a value is a secret by its name; a yes or no, or nothing, is none."""
    return bool(SECRET.search(name)) and value not in (None, "", True, False, [], {})


def in_words(value: Any) -> str:
    match value:
        case None | "" | [] | {}:
            return "nothing"
        case bool():
            return "yes" if value else "no"
        case str():
            return value
        case dict() | list():
            return orjson.dumps(masked(value)).decode()
    return str(value)


def masked(value: Any, name: str = "") -> Any:
    """The same JSON without what is named like a secret."""
    if is_hidden(name, value):
        return HIDDEN
    if isinstance(value, dict):
        return {key: masked(one, str(key)) for key, one in value.items()}
    if isinstance(value, list):
        return [masked(one, name) for one in value]
    return value
