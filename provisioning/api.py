"""The base of every API view."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import GenericViewSet

from accounts.actor import Actor, actor_of
from accounts.filters import read_filters
from accounts.models import User
from provisioning.serializers import StrictSerializer


class ApiViewSet(GenericViewSet[Any]):
    """`required_permissions` names, for each action, what it needs; what is not named is denied.

    `newest_first` orders lists by descending key. `filters` names the query parameters of a list and
    what each compares; a list refuses any other.
    """

    http_method_names: ClassVar[list[str]] = ["get", "head", "post", "put", "patch", "delete"]  # type: ignore[misc]
    required_permissions: ClassVar[dict[str, str]] = {}
    filters: ClassVar[dict[str, str]] = {}
    newest_first = False

    @property
    def actor(self) -> Actor:
        return actor_of(self.request)

    @property
    def person(self) -> User:
        """The logged-in user; only for actions that need a token."""
        assert isinstance(self.request.user, User)
        return self.request.user

    def filter_queryset(self, queryset: Any) -> Any:
        """DRF asks for single rows, too; only lists have filters."""
        if self.action != "list":
            return queryset
        return queryset.filter(**read_filters(self.request, self.filters))

    def fetch(self, rows: Any) -> Any:
        """The rows of a page; the last one's `pk` is where the next begins."""
        return list(rows)

    def answer_page(self, translate: Callable[[list[Any]], list[Any]]) -> Response:
        """A page of the filtered list. `translate` gets all its rows at once, so that what it reads
        beside them takes the same number of queries for one row and for many."""
        rows = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        assert rows is not None
        return self.get_paginated_response(translate(list(rows)))

    def read_body(self, kind: type[StrictSerializer], *, partial: bool = False) -> dict[str, Any]:
        """The validated body. Raises ValidationError (400) naming each field."""
        serializer: BaseSerializer[Any] = kind(
            data=self.request.data, partial=partial, context=self.get_serializer_context()
        )
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)
