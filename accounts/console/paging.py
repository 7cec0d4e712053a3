"""Pages of tables that may have a million rows: nobody counts them all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.paginator import Paginator
from django.utils.functional import cached_property

if TYPE_CHECKING:
    AnyPaginator = Paginator[Any]
else:  # Django's own class takes no parameter
    AnyPaginator = Paginator

MOST_ROWS = 5_000


class BoundedPaginator(AnyPaginator):
    """Counts, and goes, so far and no further: what is older is found by a filter or a search."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by("-pk").values("pk")[:MOST_ROWS].count())

    @property
    def is_cut_off(self) -> bool:
        return self.count >= MOST_ROWS
