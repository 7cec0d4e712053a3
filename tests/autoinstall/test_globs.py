"""Globs: tables of what Rust's crate `glob` says, and properties against a naive matcher."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from autoinstall.globs import (
    GlobError,
    compile_glob,
    fold,
    literal_of,
    literal_prefix,
    literal_suffix,
)


def matches(pattern: str, value: str) -> bool:
    return compile_glob(pattern).match(value) is not None


# --- Tables ------------------------------------------------------------------------------------

MATCHING = [
    ("", ""),
    ("abc", "abc"),
    ("?", "x"),
    ("?", "/"),
    ("?", "."),
    ("?", "\n"),
    ("?", "é"),
    ("?", "🦀"),
    ("*", ""),
    ("*", "any/thing\nat all"),
    ("*", ".hidden"),
    ("a*c", "ac"),
    ("a*c", "a/b/c"),
    ("a*", "a\n"),
    ("*.txt", "dir/.txt"),
    ("abc*abc*abc", "abcabcabcabcabcabcabc"),
    ("a*b[xyz]c*d", "abxcdbxcddd"),
    ("**", ""),
    ("**", "any/thing"),
    ("**/x", "x"),
    ("**/x", "a/b/x"),
    ("**/x", "/x"),
    ("/**/x", "/x"),
    ("/**/x", "//a/x"),
    ("a/**", "a/"),
    ("a/**", "a/b/c"),
    ("a/**/b", "a/b"),
    ("a/**/b", "a/x/y/b"),
    ("a/**/b", "a//b"),
    ("a/**/", "a/"),
    ("a/**/", "a/b"),  # the slash belongs to `**/`, and a `**` at the end takes anything
    ("**/**/x", "x"),
    ("a/**/**/b", "a/b"),
    ("a/**/**/b", "a/x/b"),
    ("**/**", "no slash"),
    ("**/*", "x"),
    ("a/**/b/**/c", "a/b/b/x/c"),
    ("*/**/b", "a/b"),
    ("[/]x", "/x"),
    ("[abc]", "b"),
    ("[a-c]", "b"),
    ("[à-é]", "â"),
    ("[]]", "]"),
    ("[]-]", "-"),
    ("[]-]", "]"),
    ("[]-a]", "`"),  # a range from `]` to `a`
    ("[a-]", "-"),
    ("[-a]", "-"),
    ("[a-c-e]", "e"),
    ("[--0]", "/"),
    ("[*?[]x", "[x"),
    ("[.]", "."),
    ("[!a]", "b"),
    ("[!a]", "A"),
    ("[!]]", "a"),
    ("[!z-a]", "a"),
    ("[!a]", "\n"),
    ("[^a]", "^"),
    ("[^a]", "a"),
    ("[a!]", "!"),
    ("[a&&b]", "&"),
    ("[\\d]", "\\"),
    ("]", "]"),
    ("a]b", "a]b"),
    ("{a,b}", "{a,b}"),
    ("\\*", "\\anything"),
    ("a.c", "a.c"),
    ("^a$", "^a$"),
    ("(?i)a+", "(xi)a+"),
]

DIFFERENT = [
    ("", "a"),
    ("abc", "ABC"),
    ("abc", "abcd"),
    ("abc", "xabc"),
    ("abc", "abc\n"),
    ("?", ""),
    ("?", "ab"),
    ("??", "é"),
    ("a*c", "a\nb"),
    ("abc*abc*abc", "abcabcabcabcabcabcabca"),
    ("**/x", "ax"),
    ("**/.*", "abc/ab.c"),
    ("a/**", "a"),
    ("a/**/b", "a/xb"),
    ("a/**/b", "ab"),
    ("a/**/**/b", "a/xb"),
    ("/**/x", "x"),
    ("[abc]", "d"),
    ("[abc]", ""),
    ("[abc]", "ab"),
    ("[a-c]", "-"),
    ("[z-a]", "z"),
    ("[z-a]", "-"),
    ("[]-]", "^"),
    ("[a-c]", "B"),
    ("[!a]", "a"),
    ("[!a]", ""),
    ("[!]]", "]"),
    ("[!-]", "-"),
    ("[^a]", "b"),
    ("[\\d]", "5"),
    ("{a,b}", "a"),
    ("\\*", "*"),
    ("a.c", "abc"),
]

INVALID = [
    ("[", r"'\[' is never closed"),
    ("[a", r"'\[' is never closed"),
    ("[]", r"'\[' is never closed"),
    ("[!]", r"'\[' is never closed"),
    ("[!", r"'\[' is never closed"),
    ("abc[!d", r"'\[' is never closed"),
    ("[]a", r"'\[' is never closed"),
    ("x[a]]y[", r"'\[' is never closed"),
    ("a**", r"'\*\*' must be a whole path component"),
    ("**a", r"'\*\*' must be a whole path component"),
    ("a/**b", r"'\*\*' must be a whole path component"),
    ("[/]**", r"'\*\*' must be a whole path component"),
    ("?**", r"'\*\*' must be a whole path component"),
    ("***", r"three or more '\*'"),
    ("a/****/b", r"three or more '\*'"),
]


@pytest.mark.parametrize(("pattern", "value"), MATCHING)
def test_a_glob_matches(pattern: str, value: str) -> None:
    assert matches(pattern, value)


@pytest.mark.parametrize(("pattern", "value"), DIFFERENT)
def test_a_glob_does_not_match(pattern: str, value: str) -> None:
    assert not matches(pattern, value)


@pytest.mark.parametrize(("pattern", "rule"), INVALID)
def test_an_invalid_glob_is_refused_with_its_rule(pattern: str, rule: str) -> None:
    with pytest.raises(GlobError, match=rule):
        compile_glob(pattern)


@pytest.mark.parametrize("value", ["b", "^", "a"])
def test_a_caret_in_a_set_is_text_unlike_a_regular_expression(value: str) -> None:
    assert matches("[^a]", value) == (value in "^a")


@pytest.mark.parametrize("pattern", ["[", "a**", "[]"])
def test_what_fnmatch_lets_pass_is_an_error_here(pattern: str) -> None:
    assert fnmatch.fnmatchcase(pattern, pattern)
    with pytest.raises(GlobError):
        compile_glob(pattern)


@pytest.mark.parametrize(
    ("pattern", "value", "expected"),
    [
        ("ab*", "AB1", True),
        ("AB*", "ab1", True),
        ("[a-f]?", "F0", True),
        ("[!a]*", "A", True),  # as it is written
        ("[!a]*", "a", False),
        ("[!A]*", "a", True),
        ("a*", "b", False),
        ("a*b", "A\nB", True),
    ],
)
def test_either_case_matches_as_written_or_regardless_of_case(
    pattern: str, value: str, expected: bool
) -> None:
    assert bool(compile_glob(pattern, either_case=True).match(value)) is expected


def test_either_case_concerns_ascii_letters_only() -> None:
    assert not compile_glob("é?", either_case=True).match("É1")
    assert not compile_glob("k?", either_case=True).match("\u212a1")  # the sign for kelvin


@pytest.mark.parametrize(
    "pattern", ["*a" * 30 + "*b", "**/a/" * 30 + "b", "*a/**/" * 30 + "b", "*?" * 30 + "b*"]
)
def test_many_stars_do_not_hang_on_a_long_value(pattern: str) -> None:
    assert not matches(pattern, "a" * 10_000)
    assert not matches(pattern, "a/" * 5_000)


@pytest.mark.parametrize(
    ("pattern", "literal", "prefix", "suffix"),
    [
        ("", "", "", ""),
        ("abc", "abc", "abc", "abc"),
        ("a]b", "a]b", "a]b", "a]b"),
        ("ab*", None, "ab", ""),
        ("*ab", None, "", "ab"),
        ("a?b*c", None, "a", "c"),
        ("a[xy]c", None, "a", "c"),
        ("a[]c]]d", None, "a", "]d"),
        ("a[!]]]", None, "a", "]"),
        ("a[*?]", None, "a", ""),
        ("a[x]b]c", None, "a", "b]c"),
        ("a/**", None, "a/", ""),
        ("a/**/b", None, "a/", "b"),
        ("a/**/", None, "a/", ""),
        ("**/b", None, "", "b"),
        ("*/b", None, "", "/b"),
    ],
)
def test_the_literal_parts_of_a_glob(
    pattern: str, literal: str | None, prefix: str, suffix: str
) -> None:
    assert literal_of(pattern) == literal
    assert literal_prefix(pattern) == prefix
    assert literal_suffix(pattern) == suffix


def test_folding_keeps_the_length() -> None:
    assert fold("BC:É\u0130") == "bc:É\u0130"


# --- Properties --------------------------------------------------------------------------------

Piece = str | Callable[[str], bool]  # "*", "**", "**/", or a test of one character


def naive_pieces(pattern: str) -> list[Piece] | None:
    """Read character by character; None if invalid."""
    pieces: list[Piece] = []
    rest = pattern
    before = "/"  # the start counts as one
    while rest:
        if rest[0] == "*":
            stars = rest[: len(rest) - len(rest.lstrip("*"))]
            rest = rest[len(stars) :]
            if len(stars) == 2 and rest[:1] == "/":
                stars, rest = "**/", rest[1:]
            wrong = "***" in stars or before != "/" or (stars == "**" and rest != "")
            if len(stars) > 1 and wrong:
                return None
            pieces.append(stars)
            before = stars[-1]
            continue
        before = rest[0]
        if before == "[":
            negated = rest.startswith("[!")
            start = 2 if negated else 1
            end = rest.find("]", start + 1)
            if end < 0:
                return None
            pieces.append(naive_members(rest[start:end], negated))
            rest = rest[end + 1 :]
            before = "]"
        else:
            pieces.append((lambda c: True) if before == "?" else before.__eq__)
            rest = rest[1:]
    return pieces


def naive_members(inside: str, negated: bool) -> Callable[[str], bool]:
    ranges: list[tuple[str, str]] = []
    while inside:
        size = 3 if len(inside) >= 3 and inside[1] == "-" else 1
        ranges.append((inside[0], inside[size - 1]))
        inside = inside[size:]
    return lambda c: any(low <= c <= high for low, high in ranges) != negated


def naive_match(pieces: list[Piece], value: str) -> bool:
    """Try everything."""
    if not pieces:
        return not value
    first, rest = pieces[0], pieces[1:]
    if callable(first):
        return value != "" and first(value[0]) and naive_match(rest, value[1:])
    if first != "*" and not rest:
        return True
    return any(
        naive_match(rest, value[taken:])
        for taken in range(len(value) + 1)
        if first == "*" or taken == 0 or value[taken - 1] == "/"
    )


LETTERS = "ab/.*?[]!^-é\n"
patterns = st.text(LETTERS, max_size=9) | st.lists(
    st.sampled_from(
        ["a", "b", "/", ".", "*", "?", "**/", "/**", "/**/", "[ab]", "[!a]", "[]-]", "[^-a]", "é"]
    ),
    max_size=7,
).map("".join)
short_values = st.text(LETTERS, max_size=9) | st.text("ab/", max_size=9)


@given(patterns, short_values)
@example("a/**/", "a/b")
@example("*/**/b", "a/b/b")
def test_a_glob_agrees_with_the_naive_matcher(pattern: str, value: str) -> None:
    pieces = naive_pieces(pattern)
    if pieces is None:
        with pytest.raises(GlobError):
            compile_glob(pattern)
    else:
        assert matches(pattern, value) == naive_match(pieces, value)


@given(patterns, short_values)
def test_whatever_matches_has_the_literal_parts(pattern: str, value: str) -> None:
    pieces = naive_pieces(pattern)
    if pieces is not None and naive_match(pieces, value):
        assert value.startswith(literal_prefix(pattern))
        assert value.endswith(literal_suffix(pattern))
        assert literal_of(pattern) in (None, value)


@given(patterns)
def test_a_glob_without_special_characters_matches_itself(pattern: str) -> None:
    if literal_of(pattern) is not None:
        assert matches(pattern, pattern)
