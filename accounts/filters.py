"""Query parameters of lists: known names only, each checked, one sentence when wrong."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.utils.dateparse import parse_datetime
from rest_framework.request import Request

from provisioning.errors import Invalid

PAGING = frozenset({"limit", "cursor", "count"})


def read_filters(request: Request, lookups: Mapping[str, str]) -> dict[str, Any]:
    """`{"status": "status"}` -> `{"status": "running"}` for `?status=running`.

    A lookup that ends in `_at__gte` or `_at__lt` takes an RFC 3339 instant. An unknown parameter is
    refused: a mistyped filter would else answer everything.
    """
    for name in request.query_params:
        if name not in lookups and name not in PAGING:
            known = ", ".join(sorted([*lookups, *PAGING]))
            raise Invalid(f"is no filter of this list (known: {known})", field=name)
        if "\x00" in request.query_params[name]:  # PostgreSQL would not even compare it
            raise Invalid("must not hold a null character", field=name)
    return {
        lookup: read_instant(name, value) if "_at__" in lookup else value
        for name, lookup in lookups.items()
        if (value := request.query_params.get(name)) is not None
    }


def read_instant(name: str, value: str) -> datetime:
    """An aware instant. Raises Invalid for anything but RFC 3339."""
    try:
        instant = parse_datetime(value.replace(" ", "+"))
        if instant is not None and instant.tzinfo is not None:
            return instant.astimezone(UTC)
    except (ValueError, OverflowError):  # in UTC it can lie before the year 1 or after 9999
        pass
    raise Invalid(f"{value!r} is no instant such as 2026-01-31T12:00:00Z", field=name)
