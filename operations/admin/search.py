"""Search in operations. Each way to match has an index of its own, so a search among a million costs
milliseconds; one OR over all of them would be left to the planner, which reads the whole table at times.
"""

from __future__ import annotations

import re
import uuid
from typing import Final

from django.db import connection
from django.db.models import Q, QuerySet

from accounts.models import Workspace
from operations.models import Operation

MOST_FOUND = 1_000
BROAD = 200_000  # more than so many rows are not looked up one by one
HELP = (
    "The beginning of a host or name; or a whole workspace, person, request id or operation id. "
    f"The newest {MOST_FOUND:,} are found."
)
UUID_TEXT = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")
LAST_CHARACTER: Final = "\U0010ffff"


def find_operations(rows: QuerySet[Operation], words: str) -> QuerySet[Operation]:
    """Those of `rows` that every word matches."""
    for word in words.split()[:5]:
        rows = rows.filter(pk__in=_found(rows, word))
    return rows


def _found(rows: QuerySet[Operation], word: str) -> list[uuid.UUID]:
    found: set[uuid.UUID] = set()
    newest = rows.order_by("-pk").values_list("pk", flat=True)
    for way in _ways(word):
        found.update(newest.filter(way)[:MOST_FOUND])
    return sorted(found, reverse=True)[:MOST_FOUND]


def _ways(word: str) -> list[Q]:
    # Host names are lower case, other names as somebody wrote them.
    ways = [begins_with("subject", beginning) for beginning in {word, word.lower()}]
    ways.append(begins_with("lock", f"server {word.lower()}"))  # taskservs on that server, too
    ways += [Q(request_id=word), Q(requested_by_name=word)]
    ways += [Q(workspace=key) for key in Workspace.objects.filter(name=word).values_list("pk")]
    if UUID_TEXT.fullmatch(word):
        ways += [Q(pk=uuid.UUID(word)), Q(workflow=uuid.UUID(word))]
    return ways


def begins_with(column: str, text: str) -> Q:
    """PostgreSQL uses the index for LIKE alone, and when that is wise. SQLite uses it for a range alone,
    but then always, also where the other filters leave far less to look at."""
    if connection.vendor != "sqlite":
        return Q(**{f"{column}__startswith": text})
    in_range = Q(**{f"{column}__gte": text, f"{column}__lt": text + LAST_CHARACTER})
    rows = Operation.objects.filter(in_range).order_by()
    is_broad = rows.values("pk")[: BROAD + 1].count() > BROAD
    return Q(**{f"{column}__startswith": text}) if is_broad else in_range
