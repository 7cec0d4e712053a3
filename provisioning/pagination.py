"""Lists are bare arrays with keyset paging on the ordered primary key."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response

from provisioning.errors import Invalid

DEFAULT_LIMIT = 50
MAX_LIMIT = 1000


class KeysetPagination(BasePagination):
    """`?limit=50&cursor=...`; `Link: <...>; rel="next"`; `X-Total-Count` only with `?count=true`.

    A page costs the same wherever it is: the cursor is the last key seen, compared on one indexed
    column. Without a cursor the ordering of the queryset's model applies (`id` or `-id`).
    """

    def paginate_queryset(
        self,
        queryset: QuerySet[Any],  # type: ignore[override]  # only querysets have a key to page on
        request: Request,
        view: Any = None,
    ) -> list[Any]:
        limit = read_limit(request)
        descending = getattr(view, "newest_first", False)
        self.total = queryset.count() if read_flag(request, "count") else None
        self.next_link: str | None = None
        page_of = queryset.order_by("-pk" if descending else "pk")
        if cursor := request.query_params.get("cursor"):
            key = decode_cursor(cursor, queryset.model)
            page_of = page_of.filter(**{"pk__lt" if descending else "pk__gt": key})
        rows: list[Any] = getattr(view, "fetch", list)(page_of[: limit + 1])
        if len(rows) > limit:
            rows = rows[:limit]
            self.next_link = self._link(request, encode_cursor(rows[-1].pk))
        return rows

    def _link(self, request: Request, cursor: str) -> str:
        params = [
            (key, value)
            for key, values in request.query_params.lists()
            for value in values
            if key not in ("cursor", "count")
        ]
        return f'<{request.path}?{urlencode([*params, ("cursor", cursor)])}>; rel="next"'

    def get_paginated_response(self, data: Sequence[Any]) -> Response:
        response = Response(data)
        if self.next_link:
            response["Link"] = self.next_link
        if self.total is not None:
            response["X-Total-Count"] = str(self.total)
        return response

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        return schema

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        def parameter(name: str, schema: dict[str, Any], text: str) -> dict[str, Any]:
            return {"name": name, "in": "query", "schema": schema, "description": text}

        return [
            parameter(
                "limit",
                {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
                "How many rows at most.",
            ),
            parameter("cursor", {"type": "string"}, "Where to go on, from the Link header."),
            parameter(
                "count",
                {"type": "boolean", "default": False},
                "Answer the number of all rows in X-Total-Count.",
            ),
        ]


def read_limit(request: Request) -> int:
    raw = request.query_params.get("limit", str(DEFAULT_LIMIT))
    if not (raw.isascii() and raw.isdigit() and len(raw) <= 6 and 1 <= int(raw) <= MAX_LIMIT):
        raise Invalid(f"{raw!r} is no number from 1 to {MAX_LIMIT}", field="limit")
    return int(raw)


def read_flag(request: Request, name: str) -> bool:
    raw = request.query_params.get(name, "false").lower()
    if raw not in ("true", "false"):
        raise Invalid(f"{raw!r} is neither true nor false", field=name)
    return raw == "true"


def encode_cursor(key: object) -> str:
    return base64.urlsafe_b64encode(str(key).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, model: type[Model]) -> Any:
    """The key in a cursor of this list. Raises Invalid for anything that we did not make."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        key = model._meta.pk.to_python(text)
        if isinstance(key, int) and not 0 <= key < 2**63:
            raise ValueError(key)
        return key
    except (binascii.Error, UnicodeDecodeError, ValueError, ValidationError):
        raise Invalid("was not made by this list", field="cursor") from None
