"""What an ended CLI meant: the result and the error sentence in its output. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
MAX_SENTENCE = 1000
MAX_RESULT_BYTES = 1024 * 1024
# Of each stream so much from the end is looked at for result and sentence.
MAX_TAIL_BYTES = 2 * MAX_RESULT_BYTES
MAX_DEPTH = 100


@dataclass(frozen=True)
class Report:
    """`says_failed`: the CLI's own document says so, whatever its exit code."""

    result: dict[str, Any] | None = None
    error: str | None = None
    says_failed: bool = False


def read_document(stdout: bytes) -> Any:
    """The whole output when it is one JSON document, else its last line when that is an object, else
    None. Output is bounded by MAX_RESULT_BYTES; more is no result."""
    text = stdout.strip()
    if not text or len(text) > MAX_RESULT_BYTES:
        text = text[-MAX_RESULT_BYTES:].rpartition(b"\n")[2]
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            document = orjson.loads(text.rpartition(b"\n")[2])
        except orjson.JSONDecodeError:
            return None
        if not isinstance(document, dict):
            return None
    return document if is_flat_enough(document) else None


def is_flat_enough(document: object) -> bool:
    """At most MAX_DEPTH levels; iterative, so that depth costs no stack. Deeper ones end the
    recursion of whoever writes them: Python's, SQLite's (1000) or a client's."""
    level: list[object] = [document]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return True
    return not any(isinstance(item, dict | list) for item in level)


def read_report(stdout: bytes, stderr: bytes) -> Report:
    """Unwraps `{"status", "result", "error"}`; without an error there, the last line of stderr."""
    document = storable(read_document(stdout))
    last_words = sentence(stderr)
    if not isinstance(document, dict):
        return Report(error=last_words)
    if "status" in document and ("result" in document or "error" in document):
        result = document.get("result")
        error = document.get("error")
        return Report(
            result=result if isinstance(result, dict) else None,
            error=clean(str(error)) if error else last_words,
            says_failed=str(document["status"]).lower() in ("failed", "error"),
        )
    error = document.get("error")
    return Report(
        result=document, error=clean(error) if isinstance(error, str) and error else last_words
    )


def sentence(stderr: bytes) -> str | None:
    """The last line with words, without colours and control characters."""
    for line in reversed(stderr[-16384:].decode("utf-8", "replace").splitlines()):
        if text := clean(line):
            return text
    return None


def clean(text: str) -> str:
    return CONTROL.sub("", ANSI.sub("", text)).strip()[:MAX_SENTENCE]


def storable(value: Any) -> Any:
    """PostgreSQL's jsonb holds no U+0000."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd")
    if isinstance(value, Mapping):
        return {storable(key): storable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [storable(item) for item in value]
    return value
