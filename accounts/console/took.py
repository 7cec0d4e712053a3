"""A filter by how long something took: the rows that a column of the home page's chart counts."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.admin import SimpleListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.console.days import RECENT, SPANS, seconds_of, span_words


class TookFilter(SimpleListFilter):
    """`took=5-15`: of the newest thousand that ended well, those that took more than 5 s, at most 15."""

    title, parameter_name = "duration", "took"
    ended: ClassVar[dict[str, Any]] = {}
    begin = "started_at"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, span_words(low, high)) for name, (low, high) in SPANS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not (chosen := self.value()):
            return queryset
        if chosen not in SPANS:
            raise IncorrectLookupParameters
        low, high = SPANS[chosen]
        recent = newest_times(queryset.filter(**self.ended), self.begin)
        return queryset.filter(
            pk__in=[pk for pk, begin, end in recent if low < seconds_of(begin, end) <= high]
        )


def newest_times(rows: QuerySet[Any], begin: str) -> list[Any]:
    """`(key, begin, end)` of the newest that have both."""
    have = {f"{begin}__isnull": False, "finished_at__isnull": False}
    found = rows.filter(**have).order_by("-pk").values_list("pk", begin, "finished_at")
    return list(found[:RECENT])
