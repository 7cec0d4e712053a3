"""Secrets that an operation was given, and keeping them out of what it says. Pure.

A secret is covered by as many stars as it has bytes. So positions in a log stay positions in the file it
came from, and a runner that goes on after another needs to know nothing but how far that one came.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

# Shorter ones would cover ordinary words, longer ones are no words that somebody prints.
MIN_BYTES = 4
MAX_BYTES = 4096

SECRET_NAME = re.compile(
    r"passw(or)?d|passphrase|pwd|secret|token|credential|api_?key"
    r"|(^|[^a-z]|private|access)(key|pass)($|[^a-z])",
    re.IGNORECASE,
)


def secrets_of(settings: Any, environment: Mapping[str, str]) -> set[str]:
    """Texts below a name that looks secret, in the settings of an operation and in the environment."""
    found = set(_texts(settings, is_secret=False))
    found.update(value for name, value in environment.items() if SECRET_NAME.search(name))
    return found


def _texts(value: Any, *, is_secret: bool) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _texts(item, is_secret=is_secret or bool(SECRET_NAME.search(str(name))))
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, is_secret=is_secret)
    elif isinstance(value, str) and is_secret:
        yield value


def _spellings(secret: str) -> Iterator[bytes]:
    """As it is, as JSON writes it, and each line of it."""
    for text in (secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]):
        yield text.encode(errors="replace")
    for line in secret.splitlines():
        yield line.encode(errors="replace")


class Mask:
    """Covers these secrets."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        spelled = {spelling for secret in secrets for spelling in _spellings(secret)}
        fit = (spelling for spelling in spelled if MIN_BYTES <= len(spelling) <= MAX_BYTES)
        self._secrets = sorted(fit, key=len, reverse=True)  # the longest first: it may hold others
        self._pattern = re.compile(b"|".join(map(re.escape, self._secrets)))

    def cover(self, data: bytes) -> bytes:
        # A search for one text costs a hundredth of the pattern's, and nearly always finds nothing.
        if not any(secret in data for secret in self._secrets):
            return data
        return self._pattern.sub(lambda match: b"*" * len(match[0]), data)

    def begun(self, data: bytes) -> int:
        """How many bytes at the end may be the beginning of a secret that goes on."""
        if not self._secrets:
            return 0
        # Where a secret is seen whole, one that begins within it is not waited for.
        seen = [
            match.span()
            for match in self._pattern.finditer(data, max(len(data) - 2 * MAX_BYTES, 0))
        ]
        return max(_overlap(data, secret, seen) for secret in self._secrets)


def _overlap(data: bytes, secret: bytes, seen: Sequence[tuple[int, int]]) -> int:
    """How many bytes at the end of the data are the beginning of the secret, but not all of it."""
    at = max(len(data) - len(secret) + 1, 0)
    while (at := data.find(secret[:1], at)) >= 0:
        if secret.startswith(data[at:]) and not any(first < at < last for first, last in seen):
            return len(data) - at
        at += 1
    return 0
