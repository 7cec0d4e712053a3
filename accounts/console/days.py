"""Rows by day, as the charts of the home page show them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from statistics import median, quantiles
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from accounts.console.charts import Bar, Part
from accounts.console.looks import duration
from provisioning.identifiers import first_id_at

DAYS = 14
# Upper ends of the columns of a chart of durations, in seconds.
STEPS = (1, 5, 15, 60, 300, 900, 3600)
# As the filter of the lists names them: more than the first, at most the second.
SPANS: dict[str, tuple[float, float]] = {
    f"{low}-{high}" if high < float("inf") else f"{low}-": (low, high)
    for low, high in zip((0, *STEPS), (*STEPS, float("inf")), strict=True)
}
RECENT = 1000


def list_url(page: str, **filters: Any) -> str:
    """The list of a page (`operations_operation`), filtered."""
    found = reverse(f"admin:{page}_changelist")
    return f"{found}?{urlencode(filters)}" if filters else found


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def last_days() -> list[datetime]:
    """The beginnings (UTC) of the last days, oldest first, today last."""
    today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    return [today - timedelta(days=days) for days in range(DAYS - 1, -1, -1)]


def count_by_day(rows: QuerySet[Any], column: str) -> dict[str, list[int]]:
    """For each value of the column, how many rows were made on each of `last_days()`.

    One query, by ranges of the primary key, which has to be a UUIDv7: dates are not computed row by row.
    """
    days = last_days()
    ends = [*days[1:], days[-1] + timedelta(days=1)]
    counts = {
        f"day{index}": Count("pk", filter=Q(pk__gte=first_id_at(begin), pk__lt=first_id_at(end)))
        for index, (begin, end) in enumerate(zip(days, ends, strict=True))
    }
    found = rows.filter(pk__gte=first_id_at(days[0])).order_by().values(column).annotate(**counts)
    return {str(row[column]): [row[name] for name in counts] for row in found}


def bars_by_day(
    counts: Mapping[str, list[int]],
    parts: Iterable[tuple[str, str]],
    url: Callable[[datetime, datetime], str],
) -> list[Bar]:
    """`parts` are `(value, tone)` from the bottom up; `url` leads to the rows of a day."""
    shown = [(value, tone) for value, tone in parts if value in counts]
    return [
        Bar(
            f"{day:%d %b}".lstrip("0"),
            [Part(tone, value, counts[value][index]) for value, tone in shown],
            url(day, day + timedelta(days=1)),
        )
        for index, day in enumerate(last_days())
    ]


def seconds_of(begin: datetime, end: datetime) -> float:
    """More than nothing: clocks of two hosts may differ."""
    return max((end - begin).total_seconds(), 0.001)


def span_words(low: float, high: float) -> str:
    if high == float("inf"):
        return f"> {duration(low)}"
    return f"≤ {duration(high).replace('.0', '')}"


def bars_by_duration(
    seconds: list[float], url: Callable[[str], str], tone: str = "busy"
) -> list[Bar]:
    """How many took how long; `url` leads to those of a span, by its name in `SPANS`."""
    return [
        Bar(
            span_words(low, high),
            [Part(tone, "", sum(low < one <= high for one in seconds))],
            url(name),
        )
        for name, (low, high) in SPANS.items()
    ]


def middle_and_slowest(seconds: list[float]) -> str:
    """`half within 12 s, 95 % within 3 min`; empty where there is nothing to say."""
    if not seconds:
        return ""
    most = quantiles(seconds, n=20, method="inclusive")[-1] if len(seconds) > 1 else seconds[0]
    return f"half within {duration(median(seconds))}, 95 % within {duration(most)}"
