"""The result on standard output: one JSON document, or text for a person."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Literal

from operations.localcli.request import Answer

Form = Literal["json", "text"]


def chosen_form(words: Sequence[str]) -> Form:
    """By --out, else json unless stdout is a terminal.

    Read from the bare words, because a command line that cannot be parsed is answered as well.
    """
    for word, following in zip_longest(words, words[1:], fillvalue=""):
        value = following if word == "--out" else word.removeprefix("--out=")
        if word.startswith("--out") and value in ("json", "text"):
            return "json" if value == "json" else "text"
    return "text" if sys.stdout is not None and sys.stdout.isatty() else "json"


def show(answer: Answer, form: Form) -> None:
    print(json.dumps(answer) if form == "json" else _text(answer), flush=True)


def failure(sentence: str) -> Answer:
    return {"status": "failed", "result": None, "error": sentence}


def _text(answer: Answer) -> str:
    if isinstance(answer, Mapping):
        return "\n".join(_lines(answer))
    return _table([_row(record) for record in answer]) if answer else "(none)"


def _lines(record: Mapping[str, object]) -> list[str]:
    if record.keys() == {"name", "version"}:
        return [f"{record['name']} {record['version']}"]
    nested = {key for key, value in record.items() if _is_records(value)}
    lines = [f"{key}: {_cell(value)}" for key, value in record.items() if key not in nested]
    return lines + [line for key in sorted(nested) for line in ("", _text(record[key]))]  # type: ignore[arg-type]


def _is_records(value: object) -> bool:
    return isinstance(value, list) and any(isinstance(item, dict) for item in value)


def _row(record: Mapping[str, object]) -> dict[str, str]:
    return {key: _cell(value) for key, value in record.items()}


def _cell(value: object) -> str:
    if _is_records(value) and isinstance(value, list):
        return ", ".join(str(item.get("id", item)) for item in value)
    if isinstance(value, list):
        return ",".join(str(item) for item in value)
    return "-" if value is None or value == "" else str(value)


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    columns = list(rows[0])
    widths = {key: max(len(key), *(len(row[key]) for row in rows)) for key in columns}
    table = [{key: key.upper() for key in columns}, *rows]
    return "\n".join(
        "  ".join(row[key].ljust(widths[key]) for key in columns).rstrip() for row in table
    )
