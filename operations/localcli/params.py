"""Taking typed values out of the params of a request.

Params are a JSON object: `{"hostname": "web-01", "plan": "2xCPU-4GB"}`. They come from the command
line or from a step of a batch file; both are read by the same functions, so both obey the same
rules. A value of null counts as absent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TypeVar

from operations.localcli.errors import BadInputError
from operations.localcli.names import shown

Params = Mapping[str, object]
Value = TypeVar("Value")
Check = Callable[[str, object], Value]

# Linux passes at most 128 KiB in one environment variable (MAX_ARG_STRLEN in execve(2)).
SETTINGS_MAX_BYTES = 100_000


def only(params: Params, *allowed: str) -> Params:
    """`params`, refused when it holds any other key."""
    for key in params:
        if key not in allowed:
            raise BadInputError(f"{shown(key)} is not known here; known are {', '.join(allowed)}.")
    return params


def needed(params: Params, key: str, check: Check[Value]) -> Value:
    if params.get(key) is None:
        raise BadInputError(f"{key} is missing.")
    return check(key, params[key])


def optional(params: Params, key: str, check: Check[Value]) -> Value | None:
    return None if params.get(key) is None else check(key, params[key])


def mapping(field: str, value: object) -> Params:
    """A JSON object. Its content is never repeated in a message: it may hold secrets."""
    if not isinstance(value, dict):
        raise BadInputError(f"{field} must be one JSON object, such as {{}}.")
    return value


def settings(field: str, value: object) -> Params:
    """A JSON object small enough for an environment variable."""
    size = len(json.dumps(mapping(field, value)))
    if size > SETTINGS_MAX_BYTES:
        raise BadInputError(
            f"{field} has {size} bytes, but at most {SETTINGS_MAX_BYTES} can be passed."
        )
    return mapping(field, value)
