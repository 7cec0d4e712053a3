"""One target filter: a pointer into the system information and the glob that a value there has to match.
Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Literal

from autoinstall.globs import (
    GlobError,
    compile_glob,
    fold,
    literal_of,
    literal_prefix,
    literal_suffix,
)
from autoinstall.pointers import Pointer, PointerError, parse_pointer

Part = Literal["whole", "prefix", "suffix"]  # of a value
_MOST_SHOWN = 5  # values in one sentence
_LONGEST_SHOWN = 80  # characters of one value


@dataclass(frozen=True)
class FilterVerdict:
    """Why a filter does or does not match one document."""

    pointer: str
    pattern: str
    found: list[object]
    matched: bool
    reason: str


@dataclass(frozen=True)
class Filter:
    """A pointer and the glob that a value found there has to match. Made by `compile_filter`.

    With a `problem` it matches nothing: so did it in Proxmox Datacenter Manager, from where it may come.
    """

    pointer: str
    pattern: str
    place: Pointer | None = field(compare=False, repr=False)
    problem: str | None = field(compare=False, repr=False)
    literal: str | None = field(compare=False, repr=False)  # the pattern has nothing special
    prefix: str = field(compare=False, repr=False)  # every matching value begins with it
    suffix: str = field(compare=False, repr=False)  # and ends with it
    ignores_case: bool = field(compare=False, repr=False)  # a MAC address is found there

    def matches(self, document: object) -> bool:
        return self.place is not None and any(map(self.accepts, self.place.values(document)))

    @cached_property
    def accepts(self) -> Callable[[str], object]:
        """Does this text match? Something true if so.

        Made at the first use: tens of thousands are loaded and few are ever tried. A MAC address may
        also match in other case than it is written.
        """
        if self.problem:
            return lambda value: False
        if self.literal is None:
            return compile_glob(self.pattern, either_case=self.ignores_case).match
        if not self.ignores_case:
            return self.literal.__eq__
        wanted = fold(self.literal)
        return lambda value: fold(value) == wanted

    def explain(self, document: object) -> FilterVerdict:
        found = self.place.found(document) if self.place else []
        matched = self.matches(document)
        reason = "matches" if matched else self._why_not(document, found)
        return FilterVerdict(self.pointer, self.pattern, found, matched, reason)

    def texts(self) -> list[tuple[Part, str]]:
        """What a matching value has to have; the longer, the more it sorts out."""
        if self.problem:
            return []
        if self.literal is not None:
            return [("whole", self.literal)]
        parts: tuple[tuple[Part, str], ...] = (("prefix", self.prefix), ("suffix", self.suffix))
        return [(part, text) for part, text in parts if text]

    def _why_not(self, document: object, found: list[object]) -> str:
        if self.place is None or self.problem:
            return self.problem or ""
        values = self.place.values(document)
        if not values:
            return self.place.why_no_text(found)
        if len(values) == 1:
            return f"value {_short(values[0])} does not match {_short(self.pattern)}"
        shown = ", ".join(map(_short, values[:_MOST_SHOWN]))
        more = f" and {len(values) - _MOST_SHOWN} more" if len(values) > _MOST_SHOWN else ""
        return f"none of the values {shown}{more} matches {_short(self.pattern)}"


@lru_cache(4096)  # in ten thousand configs most filters are the same
def compile_filter(pointer: str, pattern: str) -> Filter:
    """A filter, also of an invalid pointer or glob: then it never matches."""
    place, problem = _read_pointer(pointer)
    literal = literal_of(pattern)
    prefix = suffix = literal or ""
    if literal is None:
        prefix = literal_prefix(pattern)
        try:
            suffix = literal_suffix(pattern)
        except GlobError as error:
            problem = problem or str(error)
    ignores_case = place is not None and place.ignores_case
    return Filter(pointer, pattern, place, problem, literal, prefix, suffix, ignores_case)


def check_filter(pointer: str, pattern: str) -> str | None:
    """One sentence that says what is wrong with a filter, or None."""
    return compile_filter(pointer, pattern).problem


def may_overlap(a: Sequence[Filter], b: Sequence[Filter]) -> bool:
    """Can a machine match all of `a` and all of `b`? False only if certainly none can.

    No filters at all, and an invalid one, match no machine.
    """
    if not a or not b or any(one.problem for one in (*a, *b)):
        return False
    return not any(_contradict(one, other) for one in a for other in b)


def _contradict(one: Filter, other: Filter) -> bool:
    """Is it certain that no value matches both? Only known of filters on the same single value.

    It does not matter which of them begins with `json:`: where both match, both compare one text.
    """
    a, b = one.place, other.place
    if a is None or b is None or a.tokens != b.tokens or a.wildcard:
        return False
    if one.literal is not None and _refuses(other, one.literal):
        return True
    if other.literal is not None and _refuses(one, other.literal):
        return True
    return _differ(one, other)


def _refuses(one: Filter, text: str) -> bool:
    """Is it certain that `text`, for a MAC address in whatever case, does not match?

    `[!a]` matches an `A` and not an `a`: then the case in which the text is written decides nothing.
    """
    return not one.accepts(text) and not (one.ignores_case and "[!" in one.pattern)


def _differ(one: Filter, other: Filter) -> bool:
    """Do the beginnings or the ends contradict each other, as far as both are known?"""
    cast = fold if one.ignores_case else str
    first, second = cast(one.prefix), cast(other.prefix)
    if not (first.startswith(second) or second.startswith(first)):
        return True
    first, second = cast(one.suffix), cast(other.suffix)
    return not (first.endswith(second) or second.endswith(first))


def _read_pointer(text: str) -> tuple[Pointer | None, str | None]:
    try:
        return parse_pointer(text), None
    except PointerError as error:
        return None, str(error)


def _short(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…")
