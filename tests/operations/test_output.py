"""What an ended CLI meant."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations.output import MAX_RESULT_BYTES, Report, clean, read_document, read_report, sentence

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("stdout", "document"),
    [
        (b"", None),
        (b" \n\n", None),
        (b"all is well", None),
        (b'{"a": 1}', {"a": 1}),
        (b'\n {\n  "a": 1\n}\n\n', {"a": 1}),
        (b"[1, 2]", [1, 2]),
        (b'working\nstill working\n{"a": 1}\n', {"a": 1}),
        (b"working\n[1, 2]\n", None),  # an array at the end is log as much as result
        (b"working\n3\n", None),
        (b'{"a": 1}\n{"b": 2}', {"b": 2}),
        (b'{"a": 1}\nbye', None),
        (b'{"a": 1', None),
        (b'{"a": NaN}', None),
        (b'{"a": 1e999}', None),
        (b"\xff\xfe", None),
        (b'\xff\xfe\n{"a": 1}', {"a": 1}),
    ],
)
def test_the_document_in_the_output(stdout: bytes, document: Any) -> None:
    assert read_document(stdout) == document


@given(JSON)
def test_output_that_is_one_document_is_that_document(document: Any) -> None:
    assert read_document(orjson.dumps(document)) == document


@given(st.binary(max_size=200))
def test_no_output_is_an_error(stdout: bytes) -> None:
    assert isinstance(read_report(stdout, stdout), Report)


def test_a_document_that_is_too_large_is_no_result() -> None:
    assert read_document(b'{"a": "' + b"x" * MAX_RESULT_BYTES + b'"}') is None


def test_the_last_line_of_very_long_output_is_still_found() -> None:
    assert read_document(b"x" * MAX_RESULT_BYTES + b'\n{"a": 1}\n') == {"a": 1}


@pytest.mark.parametrize("depth", [99, 100])
def test_a_hundred_levels_are_a_result(depth: int) -> None:
    assert read_document(b"[" * depth + b"]" * depth) is not None


@pytest.mark.parametrize("depth", [101, 500, 1000])
def test_deeper_ones_are_none(depth: int) -> None:
    assert read_document(b"[" * depth + b"]" * depth) is None


@pytest.mark.parametrize(
    ("stdout", "stderr", "report"),
    [
        ({"a": 1}, b"", Report({"a": 1}, None)),
        ({"status": "ok", "result": {"a": 1}, "error": None}, b"", Report({"a": 1}, None)),
        ({"status": "ok", "result": [1]}, b"", Report(None, None)),
        (
            {"status": "failed", "result": None, "error": "no disk"},
            b"noise",
            Report(None, "no disk", says_failed=True),
        ),
        ({"status": "ERROR", "error": "no disk"}, b"", Report(None, "no disk", says_failed=True)),
        (
            {"status": "failed", "result": None, "error": ""},
            b"last words\n",
            Report(None, "last words", says_failed=True),
        ),
        # A server's own status is no envelope.
        (
            {"hostname": "web-01", "status": "failed"},
            b"",
            Report({"hostname": "web-01", "status": "failed"}, None),
        ),
        ([1, 2], b"said\n", Report(None, "said")),
        ({"error": "no disk"}, b"noise", Report({"error": "no disk"}, "no disk")),
    ],
)
def test_the_report(stdout: Any, stderr: bytes, report: Report) -> None:
    assert read_report(orjson.dumps(stdout), stderr) == report


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        (b"", None),
        (b"\n \n", None),
        (b"first\nlast\n\n", "last"),
        (b"\x1b[31mred\x1b[0m\n", "red"),
        (b"\x1b]0;title\x07words\n", "words"),
        (b"bell\x07 and \x08back\n", "bell and back"),
        (b"words\n\x1b[0m\n", "words"),
        ("größe\n".encode(), "größe"),
        (b"\xff broken\n", "\ufffd broken"),
    ],
)
def test_the_last_sentence(stderr: bytes, words: str | None) -> None:
    assert sentence(stderr) == words


def test_a_sentence_is_bounded() -> None:
    assert len(clean("x" * 5000)) == 1000


@given(st.text())
def test_a_clean_text_holds_nothing_that_moves_a_cursor(text: str) -> None:
    assert not any(ord(char) < 32 and char not in "\t\n" for char in clean(text))
    assert "\x1b" not in clean(text)


def test_null_characters_are_replaced_everywhere() -> None:
    report = read_report(orjson.dumps({"a\x00": ["b\x00", {"c": "d\x00"}]}), b"")
    assert report.result == {"a\ufffd": ["b\ufffd", {"c": "d\ufffd"}]}
