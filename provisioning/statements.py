"""SQL without the ORM, for what every request runs.

`Model.objects.create` was measured to cost 257 us where an `Insert` costs 60; Django's cursor adds some 15
us to each statement, most of it for rewriting the placeholders anew each time. Neither a model's defaults
nor its validation apply here.

An act is a generator that yields its statements one by one and is given the cursor of each. So `run` may
send the statements of several acts together: on PostgreSQL, where each journey to the server costs more
than the statement itself, the first of all, then the second of all, and so on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

import orjson
from django.db import connection, models, transaction

Adapter = Callable[[Any], Any]
Result = TypeVar("Result")


class Step(NamedTuple):
    """One statement with its parameters, as the driver wants them."""

    sql: str
    parameters: Sequence[Any]


# Yields steps, is given the driver's cursor of each, and reads it before it yields the next.
Steps = Generator[Step, Any, Result]
Act = Callable[[], Steps[Result]]


def run(acts: Sequence[Act[Result]]) -> list[Result]:
    """The results of all, in one transaction; if one raises, none has happened. Errors of the database
    are Django's as always."""
    with transaction.atomic():
        connection.ensure_connection()
        with connection.wrap_database_errors:
            if connection.vendor == "sqlite":
                return _one_after_another(acts)
            return _in_step(acts)


def _one_after_another(acts: Sequence[Act[Result]]) -> list[Result]:
    with contextlib.closing(connection.connection.cursor()) as cursor:
        return [_to_its_end(act(), cursor) for act in acts]


def _to_its_end(steps: Steps[Result], cursor: Any) -> Result:
    try:
        step = next(steps)
        while True:
            cursor.execute(*step)
            step = steps.send(cursor)
    except StopIteration as end:
        result: Result = end.value
        return result


def _in_step(acts: Sequence[Act[Result]]) -> list[Result]:
    results: dict[int, Result] = {}
    running = {number: act() for number, act in enumerate(acts)}
    given: dict[int, Any] = dict.fromkeys(running)  # None begins a generator
    while running:
        steps: dict[int, Step] = {}
        for number, one in list(running.items()):
            try:
                steps[number] = one.send(given[number])
            except StopIteration as end:
                results[number] = end.value
                del running[number]
        given = _sent_together(steps)
    return [results[number] for number in range(len(acts))]


def _sent_together(steps: Mapping[int, Step]) -> dict[int, Any]:
    """The cursor of each; the server is waited for once."""
    cursors = {number: connection.connection.cursor() for number in steps}
    with connection.connection.pipeline():
        for number, step in steps.items():
            cursors[number].execute(*step)
    return cursors


class Statement:
    """SQL with `%s` for its parameters: `Statement("... %s")(1)` is a step."""

    def __init__(self, sql: str) -> None:
        self.sql = sql
        self._of_driver = sql.replace("%s", "?") if connection.vendor == "sqlite" else sql

    def __call__(self, *parameters: Any) -> Step:
        return Step(self._of_driver, parameters)


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

    def step(self, values: Mapping[str, Any]) -> Step:
        return self(*self._row(values))

    def write(self, values: Mapping[str, Any]) -> None:
        """At once, in the present transaction."""
        with connection.cursor() as cursor:
            cursor.execute(self.sql, self._row(values))

    def _row(self, values: Mapping[str, Any]) -> list[Any]:
        return [adapt(values[name]) if adapt else values[name] for name, adapt in self._adapters]


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
