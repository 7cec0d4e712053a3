"""Which prepared configs a machine's system information matches. Pure.

A config matches when all its filters do. Trying every config would take milliseconds at ten thousand of
them, so `Index` files each entry under one text that a matching machine has to have.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from autoinstall.filters import Filter, Part
from autoinstall.globs import fold
from autoinstall.pointers import Pointer

_by_order = attrgetter("order")


@dataclass(frozen=True, slots=True)
class Entry:
    """A prepared config as the index knows it; `payload` is the caller's."""

    key: int
    order: tuple[int, int]  # priority and number of creation: the smaller comes first
    filters: tuple[Filter, ...]
    tokens: frozenset[int]  # the tokens that may get it
    is_default: bool
    payload: Any


class _Group:
    """Entries by one part of the value at one place, such as its first four characters.

    Readers only ever ask `buckets` for one text, and the bucket that they get is a tuple: a writer can
    go on meanwhile.
    """

    __slots__ = ("buckets", "length", "part")

    def __init__(self, part: Part, length: int) -> None:
        self.part = part
        self.length = length
        self.buckets: dict[str, tuple[Entry, ...]] = {}

    def add(self, text: str, entry: Entry) -> None:
        self.buckets[text] = (*self.buckets.get(text, ()), entry)

    def remove(self, text: str, key: int) -> None:
        if rest := tuple(entry for entry in self.buckets[text] if entry.key != key):
            self.buckets[text] = rest
        else:
            del self.buckets[text]

    def look_up(self, values: Iterable[str]) -> list[Entry]:
        """The entries filed under a part of these values, each once."""
        if self.part == "prefix":
            texts = {value[: self.length] for value in values}
        elif self.part == "suffix":
            texts = {value[-self.length :] for value in values}
        else:
            texts = set(values)
        found: list[Entry] = []
        for text in texts:
            found += self.buckets.get(text, ())
        return found


_Slot = tuple[str, Part, int]  # pointer, part of the value, its length
_Plan = tuple[tuple[Pointer, tuple[_Group, ...]], ...]


class Index:
    """Entries that can be found by a document. One writer at a time; readers need no lock.

    A reader meanwhile may see half a change, but never an error: what it iterates over is replaced,
    not changed.
    """

    def __init__(self) -> None:
        self._entries: dict[int, Entry] = {}
        self._filed: dict[int, tuple[_Slot, str]] = {}  # where the entries are that have a text
        self._groups: dict[_Slot, _Group] = {}
        self._places: dict[str, tuple[Pointer, tuple[_Group, ...]]] = {}
        self._plan: _Plan = ()  # the values of _places, for readers
        self._loose: tuple[Entry, ...] = ()  # no filter gives a text: always tried
        self._defaults: tuple[Entry, ...] = ()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(sorted(self._entries.copy().values(), key=_by_order))

    def get(self, key: int) -> Entry | None:
        return self._entries.get(key)

    def add(self, entry: Entry) -> None:
        """Add an entry; it replaces the one with the same key."""
        self.remove(entry.key)
        self._entries[entry.key] = entry
        if entry.is_default:
            self._defaults = tuple(sorted((*self._defaults, entry), key=_by_order))
        elif any(one.problem for one in entry.filters) or not entry.filters:
            return  # it never matches
        elif slot := self._best_slot(entry):
            self._file(entry, *slot)
        else:
            self._loose = (*self._loose, entry)

    def remove(self, key: int) -> None:
        """Take an entry out; one that is not there does not matter."""
        entry = self._entries.pop(key, None)
        if key in self._filed:
            self._unfile(key)
        elif entry is not None and entry.is_default:
            self._defaults = tuple(one for one in self._defaults if one.key != key)
        elif entry is not None:
            self._loose = tuple(one for one in self._loose if one.key != key)

    def find(self, document: object, token: int) -> list[Entry]:
        """The entries that this token may get and all of whose filters match; the first one wins.

        Defaults and entries without filters are never among them.
        """
        texts: dict[str, list[str]] = {}
        candidates = list(self._loose)
        for place, groups in self._plan:
            values = texts[place.text] = place.values(document)
            if values:
                folded = [fold(value) for value in values] if place.ignores_case else values
                for group in groups:
                    candidates += group.look_up(folded)
        found = [
            entry
            for entry in candidates
            if token in entry.tokens and _all_match(entry.filters, document, texts)
        ]
        found.sort(key=_by_order)
        return found

    def default(self, token: int) -> Entry | None:
        """The entry for a machine that matches nothing, if this token may get it."""
        return next((entry for entry in self._defaults if token in entry.tokens), None)

    def _best_slot(self, entry: Entry) -> tuple[Pointer, _Slot, str] | None:
        """The smallest bucket, then the longest text: few entries share what is found there."""
        best: tuple[Pointer, _Slot, str] | None = None
        best_rank = (0, 0)
        for one in entry.filters:
            if (place := one.place) is None:
                continue
            for part, exact in one.texts():
                text = fold(exact) if one.ignores_case else exact
                slot: _Slot = (place.text, part, 0 if part == "whole" else len(text))
                group = self._groups.get(slot)
                rank = (len(group.buckets.get(text, ())) if group else 0, -len(text))
                if best is None or rank < best_rank:
                    best, best_rank = (place, slot, text), rank
        return best

    def _file(self, entry: Entry, place: Pointer, slot: _Slot, text: str) -> None:
        group = self._groups.get(slot)
        if group is None:
            group = self._groups[slot] = _Group(slot[1], slot[2])
            _, groups = self._places.get(place.text, (place, ()))
            self._set_groups(place, (*groups, group))
        group.add(text, entry)
        self._filed[entry.key] = (slot, text)

    def _unfile(self, key: int) -> None:
        slot, text = self._filed.pop(key)
        group = self._groups[slot]
        group.remove(text, key)
        if not group.buckets:
            del self._groups[slot]
            place, groups = self._places[slot[0]]
            self._set_groups(place, tuple(one for one in groups if one is not group))

    def _set_groups(self, place: Pointer, groups: tuple[_Group, ...]) -> None:
        self._places[place.text] = (place, groups)
        if not groups:
            del self._places[place.text]
        self._plan = tuple(self._places.values())


def _all_match(filters: Iterable[Filter], document: object, texts: dict[str, list[str]]) -> bool:
    """Do all match? `texts` remembers what was found at a pointer, for the next candidate."""
    for one in filters:
        values = texts.get(one.pointer)
        if values is None:
            if one.place is None:
                return False
            values = texts[one.pointer] = one.place.values(document)
        if not any(map(one.accepts, values)):
            return False
    return True
