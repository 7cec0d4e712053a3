"""Glob patterns as Proxmox Datacenter Manager understands them. Pure.

They are those of Rust's crate `glob` with its default options (`Pattern::new`, `Pattern::matches`):
case matters, `*` and `?` also match `/` and a leading dot, and the whole text has to match. Python's
`fnmatch` differs: it takes `[^a]` for text, `a**` for `a*`, and `[` for a literal bracket.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable
from typing import Literal

Kind = Literal["text", "one", "set", "star", "deep"]
Token = tuple[Kind, str]  # the text itself, or the regular expression of a set

# A `]` directly after `[` or `[!` belongs to the set; `[!` never begins a set that holds a `!`.
_TOKEN = re.compile(
    r"(?P<text>[^*?\[]+)|(?P<one>\?)|(?P<stars>\*+)"
    r"|\[!(?P<other>.[^\]]*)\]|\[(?P<among>[^!][^\]]*)\]",
    re.DOTALL,
)
_SPECIAL = re.compile(r"[*?\[]")
_RANGE = re.compile(r"(.)-(.)|(.)", re.DOTALL)
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)

# `**` takes nothing, or anything up to and with a `/`. What stands before it is the start or a `/`,
# so "the next character follows the start or a `/`" says the same, and needs no inner repetition.
_WILD = {"star": "", "deep": "(?<![^/])"}


class GlobError(ValueError):
    """The pattern is none; the text is one sentence that names the rule."""


def compile_glob(pattern: str, *, either_case: bool = False) -> re.Pattern[str]:
    """The regular expression of a glob; it is anchored at both ends. Raises GlobError.

    With `either_case` it matches as it is written, and also where it matches regardless of the case of
    ASCII letters. Both, because regardless of case `[!a]` matches less.
    """
    anchored = rf"\A{_regex(parse_glob(pattern))}\Z"
    return re.compile(f"{anchored}|(?ai:{anchored})" if either_case else anchored, re.DOTALL)


def parse_glob(pattern: str) -> list[Token]:
    """The tokens of a pattern. Raises GlobError."""
    tokens: list[Token] = []
    at = 0
    while at < len(pattern):
        found = _TOKEN.match(pattern, at)
        if found is None:
            raise GlobError("'[' is never closed (a set holds at least one character)")
        at = found.end()
        name, text = found.lastgroup, found[found.lastgroup or 0]
        if name == "text":
            tokens.append(("text", text))
        elif name == "one":
            tokens.append(("one", "."))
        elif name == "stars":
            kind, at = _stars(pattern, found.start(), at)
            tokens.append((kind, ""))
        else:
            tokens.append(("set", _set(text, negated=name == "other")))
    return tokens


def literal_of(pattern: str) -> str | None:
    """The only text that the pattern matches, or None if it has a special character."""
    return None if _SPECIAL.search(pattern) else pattern


def literal_prefix(pattern: str) -> str:
    """The text that everything begins with that the pattern matches: all before its first special."""
    special = _SPECIAL.search(pattern)
    return pattern[: special.start()] if special else pattern


def literal_suffix(pattern: str) -> str:
    """The text that everything ends with that the pattern matches. Raises GlobError.

    The slash of a `**/` belongs to it, because it can match nothing: `a/**/b` has the suffix `b`, and
    `a/**/` has none.
    """
    tokens = parse_glob(pattern)
    return tokens[-1][1] if tokens and tokens[-1][0] == "text" else ""


def fold(text: str) -> str:
    """Small ASCII letters for capitals; everything else, and with it the length, stays."""
    return text.lower() if text.isascii() else text.translate(_LOWER)


def _stars(pattern: str, start: int, end: int) -> tuple[Literal["star", "deep"], int]:
    """What a run of stars is, and where the pattern goes on: `**/` includes its slash."""
    if end - start == 1:
        return "star", end
    if end - start > 2:
        raise GlobError("three or more '*' in a row mean nothing: write '*' or '**'")
    if pattern[start - 1 : start] not in ("", "/") or pattern[end : end + 1] not in ("", "/"):
        raise GlobError("'**' must be a whole path component, as in 'a/**/b'")
    return "deep", min(end + 1, len(pattern))


def _set(text: str, *, negated: bool) -> str:
    """The regular expression of the inside of a bracket. An empty range (`z-a`) holds nothing."""
    parts = []
    for first, last, single in _RANGE.findall(text):
        if single:
            parts.append(re.escape(single))
        elif first <= last:
            parts.append(f"{re.escape(first)}-{re.escape(last)}")
    if not parts:
        return "." if negated else r"(?!)"
    return f"[{'^' if negated else ''}{''.join(parts)}]"


def _regex(tokens: Iterable[Token]) -> str:
    """Between wildcards stands text of fixed length, and its first fit is as good as any later one.

    So an atomic group, which never gives back what it took, loses no match (the argument is that of
    Python's own fnmatch), and the work is bounded by the length of the value times that of the longest
    fixed part, whatever the number of stars.
    """
    parts: list[tuple[Kind, str]] = [("text", "")]  # a wildcard and the fixed part after it
    for kind, text in tokens:
        if kind in _WILD:
            parts.append((kind, ""))
        else:
            wild, fixed = parts[-1]
            parts[-1] = (wild, fixed + (re.escape(text) if kind == "text" else text))
    (_, first), *middle = parts
    if not middle:
        return first
    wild, last = middle.pop()
    groups = "".join(f"(?>.*?{_WILD[kind]}{fixed})" for kind, fixed in middle)
    # A `**` at the end takes anything, not only what ends in a slash.
    return f"{first}{groups}.*{_WILD[wild] if last else ''}{last}"
