"""SQL without the ORM, for what every request runs.

`Model.objects.create` was measured to cost 257 us where an `Insert` costs 60; Django's cursor adds some 15
us to each statement, most of it for rewriting the placeholders anew each time. Neither a model's defaults
nor its validation apply here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from django.db import connection, models, transaction

Adapter = Callable[[Any], Any]


@contextlib.contextmanager
def fast_transaction() -> Iterator[Any]:
    """A transaction and a cursor of the driver's own in it; its errors are Django's as always."""
    with transaction.atomic():
        connection.ensure_connection()
        with (
            connection.wrap_database_errors,
            contextlib.closing(connection.connection.cursor()) as cursor,
        ):
            yield cursor


class Statement:
    """SQL with `%s` for its parameters, as the driver wants it."""

    def __init__(self, sql: str) -> None:
        self.sql = sql
        self._of_driver = sql.replace("%s", "?") if connection.vendor == "sqlite" else sql

    def __call__(self, cursor: Any, parameters: Sequence[Any]) -> None:
        """`cursor` is one of `fast_transaction`."""
        cursor.execute(self._of_driver, parameters)


class Insert(Statement):
    """`Insert(Model, "a", "b").write({"a": 1, "b": 2})`: one row in the present transaction."""

    def __init__(self, model: type[models.Model], *names: str) -> None:
        fields: list[Any] = [model._meta.get_field(name) for name in names]
        columns = ", ".join(connection.ops.quote_name(field.column) for field in fields)
        places = ", ".join(["%s"] * len(fields))
        table = connection.ops.quote_name(model._meta.db_table)
        super().__init__(f"INSERT INTO {table} ({columns}) VALUES ({places})")  # noqa: S608 - names of ours
        self._adapters = [
            (name, _adapter(field)) for name, field in zip(names, fields, strict=True)
        ]

    def write(self, values: Mapping[str, Any], cursor: Any = None) -> None:
        """With a cursor of `fast_transaction`, or Django's."""
        row = [adapt(values[name]) if adapt else values[name] for name, adapt in self._adapters]
        if cursor is not None:
            self(cursor, row)
            return
        with connection.cursor() as own:
            own.execute(self.sql, row)


def instant(value: datetime | None) -> Any:
    """An aware instant as Django stores it in this database."""
    if value is None or connection.vendor != "sqlite":
        return value
    return str(value.astimezone(UTC).replace(tzinfo=None))


def _adapter(field: Any) -> Adapter | None:
    """What the database's driver would not understand as it is."""
    match field:
        case models.JSONField():
            return lambda value: None if value is None else orjson.dumps(value).decode()
        case models.DateTimeField():
            return instant
        case models.UUIDField() if not connection.features.has_native_uuid_field:
            return lambda value: value.hex
    return None
