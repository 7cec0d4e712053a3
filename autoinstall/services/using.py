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
from provisioning.statements import Statement, Steps, instant


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
    "WHERE id = %s AND generation = %s AND (max_uses IS NULL OR uses + %s <= max_uses)"
)
# A statement of its own: on PostgreSQL one that waited for the row would still see the catalogue of before.
_GENERATION = Statement(f"SELECT generation FROM {CATALOGUE}")  # noqa: S608


def use(uses: Sequence[Use]) -> Steps[None]:
    """All of one token. Raises Stale when token or catalogue changed since a decision, Exhausted when
    there are not so many uses left."""
    last = uses[-1]
    token, count = last.token, sum(one.count for one in uses)
    used = yield _USE(
        count, instant(last.at), last.source, token.pk, token.generation, max(count, 1)
    )
    if used.rowcount == 0:
        is_same = AnswerToken.objects.filter(pk=token.pk, generation=token.generation).exists()
        raise Exhausted if is_same else Stale
    generation = (yield _GENERATION()).fetchone()[0]
    if any(
        generation != one.generation or one.token.generation != token.generation for one in uses
    ):
        raise Stale
