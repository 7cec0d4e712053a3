"""Answer tokens are used: counted, stamped, and still what was decided by.

The requests that are committed together use their token together: one statement for all of them. Where it
does not go through, each tries alone and learns its own reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from autoinstall.models import AnswerToken, Catalogue
from autoinstall.services.allotting import Stale
from autoinstall.snapshot import TokenEntry
from provisioning.statements import Driver, Fetch, Statement, instant


class Exhausted(Exception):
    """The token has been used as often as it may be."""


@dataclass(frozen=True, slots=True)
class Use:
    """A request with this token, decided by this generation of the catalogue; `count` is 0 for one that
    brought no answer."""

    token: TokenEntry
    generation: int
    count: int
    source: str
    at: datetime


TOKENS, CATALOGUE = AnswerToken._meta.db_table, Catalogue._meta.db_table
_USE = Statement(
    f"UPDATE {TOKENS} SET uses = uses + %s, last_used_at = %s, last_used_from = %s "  # noqa: S608
    "WHERE id = %s AND generation = %s AND (max_uses IS NULL OR uses + %s <= max_uses) RETURNING id"
)
# A statement of its own: on PostgreSQL one that waited for a row would still see the catalogue of before.
_GENERATION = Statement(f"SELECT generation FROM {CATALOGUE}")  # noqa: S608


class Using:
    """The uses of a transaction. Their statements are on the way when it is made; `check` reads what came
    of them, when all that may have to wait for somebody's edit has been sent. First the tokens in order, so
    that the transactions of all processes begin with the same lock."""

    def __init__(self, driver: Driver, uses: Sequence[Use]) -> None:
        self._driver = driver
        of_token: dict[int, list[Use]] = {}
        for one in uses:
            of_token.setdefault(one.token.pk, []).append(one)
        self._uses = uses
        self._updates = [(of_token[pk], _update(driver, of_token[pk])) for pk in sorted(of_token)]

    def check(self) -> None:
        """Raises Stale when a token or the catalogue changed since a decision, Exhausted when a token has not
        so many uses left."""
        generation = _GENERATION.execute(self._driver) if self._uses else None
        for uses, updated in self._updates:
            token = uses[-1].token
            if not updated():
                rows = AnswerToken.objects.filter(pk=token.pk, generation=token.generation)
                raise Exhausted if rows.exists() else Stale
            if any(one.token.generation != token.generation for one in uses):
                raise Stale
        if generation is not None:
            [[now]] = generation()
            if any(one.generation != now for one in self._uses):
                raise Stale


def _update(driver: Driver, uses: Sequence[Use]) -> Fetch:
    last = uses[-1]
    token, count = last.token, sum(one.count for one in uses)
    return _USE.execute(
        driver, count, instant(last.at), last.source, token.pk, token.generation, max(count, 1)
    )
