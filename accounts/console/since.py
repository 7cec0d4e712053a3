"""A filter by time beside the lists of what happens."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final

from django.contrib.admin import ListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from provisioning.identifiers import first_id_at


class SinceFilter(ListFilter):
    """When a row was made: `since` and `until` (exclusive) are dates or instants of ISO 8601, or
    `since=24h`. For rows whose key is a UUIDv7, so that the primary key finds them."""

    title = "date"
    NAMES = ("since", "until")
    template = "admin/since_filter.html"
    PRESETS: Final[dict[str, tuple[str, timedelta]]] = {
        "1h": ("Past hour", timedelta(hours=1)),
        "24h": ("Past 24 hours", timedelta(hours=24)),
        "7d": ("Past 7 days", timedelta(days=7)),
        "30d": ("Past 30 days", timedelta(days=30)),
    }

    def __init__(self, request: HttpRequest, params: Any, model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        for name in self.NAMES:
            if name in params:
                self.used_parameters[name] = params.pop(name)[-1]

    def expected_parameters(self) -> list[str | None]:
        return list(self.NAMES)

    def has_output(self) -> bool:
        return True

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        """The presets as links; `form` holds what the template's two date inputs need."""
        since = self.used_parameters.get("since", "")
        dates = {name: self._date(name) for name in self.NAMES}
        kept = [
            (name, value)
            for name, values in changelist.filter_params.items()
            if name not in dates
            for value in values
        ]
        yield {
            "selected": not self.used_parameters,
            "query_string": changelist.get_query_string(remove=self.NAMES),
            "display": "Any date",
            "form": {**dates, "kept": kept},
        }
        for name, (words, _) in self.PRESETS.items():
            query = changelist.get_query_string({"since": name}, remove=["until"])
            yield {"selected": since == name, "query_string": query, "display": words}

    def _date(self, name: str) -> str:
        given = str(self.used_parameters.get(name, ""))
        return "" if given in self.PRESETS else given[:10]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        for name, lookup in (("since", "pk__gte"), ("until", "pk__lt")):
            if given := self.used_parameters.get(name):
                queryset = queryset.filter(**{lookup: first_id_at(self._instant(str(given)))})
        return queryset

    def _instant(self, given: str) -> datetime:
        if given in self.PRESETS:
            return timezone.now() - self.PRESETS[given][1]
        try:
            found = datetime.fromisoformat(given)
        except ValueError as error:
            raise IncorrectLookupParameters(error) from None
        if len(given) == len("2026-01-01"):
            found = datetime.combine(found, time.min)
        return found if found.tzinfo else found.replace(tzinfo=UTC)
