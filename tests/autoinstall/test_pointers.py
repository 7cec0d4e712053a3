"""Pointers: tables of RFC 6901 and of serde_json, and properties against a naive walker."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoinstall.pointers import PointerError, parse_pointer

DOCUMENT: dict[str, Any] = {
    "": "empty name",
    "a/b": "slash",
    "m~n": "tilde",
    "~1": "tilde one",
    "a~b": "not escaped",
    "nested": {"list": ["zero", "one", {"deep": "two"}], "0": "a name", "*": "a star"},
    "one": [1, True, None, 1.5, "text", [], {}],
    "cards": [{"mac": "AA"}, {"link": "eno2"}, {"mac": 7}, "no card", {"mac": "BB"}],
    "grid": [["a", "b"], [], ["c"]],
    "yes": True,
    "half": 0.5,
    "nothing": None,
    "é": "accent",
}


@pytest.mark.parametrize(
    ("pointer", "found"),
    [
        ("", [DOCUMENT]),
        ("/", ["empty name"]),
        ("/a~1b", ["slash"]),
        ("/m~0n", ["tilde"]),
        ("/~01", ["tilde one"]),
        ("/a~b", ["not escaped"]),
        ("/é", ["accent"]),
        ("/yes", [True]),
        ("/nothing", [None]),
        ("/absent", []),
        ("/nested/list/0", ["zero"]),
        ("/nested/list/2/deep", ["two"]),
        ("/nested/list/3", []),
        ("/nested/list/00", []),
        ("/nested/list/01", []),
        ("/nested/list/+1", []),
        ("/nested/list/-1", []),
        ("/nested/list/-", []),
        ("/nested/list/1.0", []),
        ("/nested/list/ 1", []),
        ("/nested/list/\u0661", []),
        ("/nested/list/\u00b2", []),
        ("/nested/list/", []),
        ("/nested/list/" + "9" * 5000, []),
        ("/nested/0", ["a name"]),
        ("/nested/*", ["a star"]),
        ("/nested/list/*", ["zero", "one", {"deep": "two"}]),
        ("/nested/list/*/deep", ["two"]),
        ("/cards/*/mac", ["AA", 7, "BB"]),
        ("/cards/*", DOCUMENT["cards"]),
        ("/grid/*/*", ["a", "b", "c"]),
        ("/grid/*/0", ["a", "c"]),
        ("/yes/*", []),
        ("/a~1b/0", []),
        ("/nested/", []),
        ("json:/yes", [True]),
        ("json:", [DOCUMENT]),
    ],
)
def test_a_pointer_finds(pointer: str, found: list[object]) -> None:
    assert parse_pointer(pointer).found(DOCUMENT) == found


@pytest.mark.parametrize(
    ("pointer", "values"),
    [
        ("/a~1b", ["slash"]),
        ("/yes", []),
        ("/half", []),
        ("/nothing", []),
        ("/nested", []),
        ("/one/*", ["text"]),
        ("/cards/*/mac", ["AA", "BB"]),
        ("json:/a~1b", ["slash"]),
        ("json:/yes", ["true"]),
        ("json:/half", ["0.5"]),
        ("json:/nothing", []),
        ("json:/nested", []),
        ("json:/one/*", ["1", "true", "1.5", "text"]),
        ("json:/cards/*/mac", ["AA", "7", "BB"]),
    ],
)
def test_only_text_is_compared_and_after_json_numbers_and_booleans(
    pointer: str, values: list[str]
) -> None:
    assert parse_pointer(pointer).values(DOCUMENT) == values


@pytest.mark.parametrize("pointer", ["a", "a/b", " /a", "json:a", "JSON:/a", "#/a", "json:json:/a"])
def test_a_pointer_that_does_not_begin_with_a_slash_is_refused(pointer: str) -> None:
    with pytest.raises(PointerError, match="a pointer is empty or begins with '/'"):
        parse_pointer(pointer)


@pytest.mark.parametrize(
    ("pointer", "expected"),
    [
        ("/network_interfaces/0/mac", True),
        ("/network_interfaces/12/mac", True),
        ("/network_interfaces/*/mac", True),
        ("json:/network_interfaces/*/mac", True),
        ("/network_interfaces/01/mac", False),
        ("/network_interfaces/0/link", False),
        ("/network_interfaces/0/mac/0", False),
        ("/x/network_interfaces/0/mac", False),
        ("/mac", False),
    ],
)
def test_a_mac_address_is_known_by_its_pointer(pointer: str, expected: bool) -> None:
    assert parse_pointer(pointer).ignores_case is expected


@pytest.mark.parametrize("document", [None, "text", 1, True, [], {}, [[]]])
def test_a_pointer_may_lead_nowhere_in_any_document(document: object) -> None:
    assert parse_pointer("/dmi/system/serial").found(document) == []


def test_many_stars_into_a_deep_document_do_not_end_the_recursion() -> None:
    document: object = "bottom"
    for _ in range(3000):
        document = [document]
    assert parse_pointer("/*" * 3000).values(document) == ["bottom"]


# --- Properties --------------------------------------------------------------------------------

NAMES = ["a", "b", "", "*", "0", "1", "01", "+1", "-", "~", "a/b", "~1", "é"]
documents = st.recursive(
    st.sampled_from(["x", "0", "true", "", True, False, None, 0, 1.5]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
    ),
    max_leaves=12,
)


def naive_find(document: Any, tokens: list[str]) -> list[object]:
    if not tokens:
        return [document]
    name = tokens[0]
    children: dict[str, Any] = {}
    if isinstance(document, dict):
        children = document
    elif isinstance(document, list):
        if name == "*":
            return [found for child in document for found in naive_find(child, tokens[1:])]
        children = {str(number): child for number, child in enumerate(document)}
    return naive_find(children[name], tokens[1:]) if name in children else []


def naive_escape(token: str) -> str:
    return "".join({"~": "~0", "/": "~1"}.get(character, character) for character in token)


def naive_text(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if value is True or value is False:
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else None


@given(documents, st.lists(st.sampled_from(NAMES), max_size=4))
def test_a_pointer_agrees_with_the_naive_walker(document: Any, tokens: list[str]) -> None:
    pointer = "".join(f"/{naive_escape(token)}" for token in tokens)
    found = naive_find(document, tokens)
    assert parse_pointer(pointer).found(document) == found
    assert parse_pointer(pointer).values(document) == [x for x in found if isinstance(x, str)]
    texts = [text for value in found if (text := naive_text(value)) is not None]
    assert parse_pointer(f"json:{pointer}").values(document) == texts


@given(st.text("/~01a*", max_size=8))
def test_a_tilde_is_replaced_as_serde_json_does_it(text: str) -> None:
    tokens = tuple(part.replace("~1", "/").replace("~0", "~") for part in text.split("/"))
    assert parse_pointer(f"/{text}").tokens == tokens
