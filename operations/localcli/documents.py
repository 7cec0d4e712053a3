"""Reading the one JSON (or TOML) object of a settings or batch file."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from operations.localcli.errors import BadInputError
from operations.localcli.names import shown
from operations.localcli.stopping import interruptible

STDIN = 0


def read(field: str, source: str) -> dict[str, object]:
    """The object in file `source`; '-' is standard input, a name ending in .toml is TOML.

    Messages never repeat the content: it may hold secrets.
    """
    try:
        document = _parse(_text(source), is_toml=source.endswith(".toml"))
    except OSError as error:
        raise BadInputError(f"{field} {shown(source)} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError):
        form = "TOML" if source.endswith(".toml") else "JSON"
        raise BadInputError(f"{field} {shown(source)} is not valid {form} in UTF-8.") from None
    if not isinstance(document, dict):
        raise BadInputError(f"{field} {shown(source)} must hold one JSON object, such as {{}}.")
    return document


def _text(source: str) -> str:
    # Stdin by its number: sys.stdin is None when we are started without one.
    target = STDIN if source == "-" else source
    with interruptible(), open(target, "rb", closefd=target != STDIN) as file:
        return file.read().decode("utf-8")


def _parse(text: str, *, is_toml: bool) -> Any:
    if is_toml:
        import tomllib  # 10 ms that only a TOML file is worth

        # Through JSON, because scripts are given JSON: dates become texts.
        text = json.dumps(tomllib.loads(text), default=str)
    return json.loads(text, parse_constant=_refuse_constant)


def _refuse_constant(constant: str) -> NoReturn:
    """Python reads and writes NaN and Infinity, which are no JSON."""
    raise ValueError(constant)
