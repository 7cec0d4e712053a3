"""SQL without the ORM, for what every request runs: one statement for the rows of many.

`Model.objects.create` was measured to cost 257 us where a row of an `Insert` costs 20. Django's cursor adds
some 15 us to each statement, most of it for rewriting the placeholders anew each time; and on PostgreSQL each
statement is a journey to the server. Neither a model's defaults nor its validation apply here.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any, Generic, TypeVar

import orjson
import psycopg
from django.db import connection, models, transaction

IS_SQLITE = connection.vendor == "sqlite"
# The driver's own connection: what is executed on it went through no code of Django's.
Driver = Any
# Waits for the rows of a statement that is on its way.
Fetch = Callable[[], list[Any]]
Adapter = Callable[[Any], Any]
Row = TypeVar("Row", bound=models.Model)

# A connection that was good so recently is not asked whether it still is, which is a journey of its own.
GOOD_SECONDS = 1.0
# SQLite's driver keeps what it compiled: of few sizes, none of them large.
ROWS_AT_ONCE = 20
_good = threading.local()


@contextlib.contextmanager
def one_transaction() -> Iterator[Driver]:
    """For `Statement`s that all happen, or none. Errors of the database are Django's as always.

    On PostgreSQL statements travel together (the driver's pipeline mode) up to the next whose rows are
    fetched; the last ones with the commit. So errors may come later than their statement.
    """
    if time.monotonic() - getattr(_good, "since", -GOOD_SECONDS) < GOOD_SECONDS:
        connection.health_check_done = True  # type: ignore[attr-defined]
    connection.close_if_health_check_failed()  # not in a pipeline, where it could not ask
    connection.ensure_connection()
    # Inside of another transaction the pipeline has to end before its savepoint is set back.
    is_outermost = not connection.in_atomic_block
    with (
        connection.wrap_database_errors,
        _pipeline() if is_outermost else contextlib.nullcontext() as outer,
        transaction.atomic(),
        contextlib.nullcontext() if is_outermost else _pipeline() as inner,
    ):
        try:
            yield connection.connection
        except BaseException:
            _read_what_is_on_its_way(outer or inner)
            raise
    _good.since = time.monotonic()


def _pipeline() -> contextlib.AbstractContextManager[Any]:
    if IS_SQLITE:
        return contextlib.nullcontext()
    pipeline: contextlib.AbstractContextManager[Any] = connection.connection.pipeline()
    return pipeline


def _read_what_is_on_its_way(pipeline: psycopg.Pipeline | None) -> None:
    """Behind a statement that failed, the others of a pipeline were not carried out. A rollback that met
    what the server says of them would take it for its own failure, and the connection for a broken one."""
    if pipeline is not None:
        with contextlib.suppress(psycopg.Error):
            pipeline.sync()


class Statement:
    """SQL with `%s` for its parameters; `{rows}` stands for the table `wanted` of the rows that are given,
    with the columns `column1` and so on, of these types of PostgreSQL's."""

    def __init__(self, sql: str, *types: str) -> None:
        self.sql = sql
        self._of_driver = sql.replace("%s", "?") if IS_SQLITE else sql
        columns = ", ".join(f"column{number}" for number, _ in enumerate(types, 1))
        arrays = ", ".join(f"%s::{name}[]" for name in types)
        self._for_arrays = sql.replace("{rows}", f"unnest({arrays}) AS wanted({columns})")
        self._for_places = functools.lru_cache(64)(self._with_places)

    def execute(self, driver: Driver, *parameters: Any) -> Fetch:
        return _run(driver, self._of_driver, parameters)

    def execute_for(self, driver: Driver, rows: Sequence[Sequence[Any]]) -> Fetch:
        """For all of these rows at once; there is at least one."""
        if not IS_SQLITE:
            return _run(
                driver, self._for_arrays, [list(column) for column in zip(*rows, strict=True)]
            )
        found: list[Any] = []
        for begin in range(0, len(rows), ROWS_AT_ONCE):
            some = rows[begin : begin + ROWS_AT_ONCE]
            parameters = [value for row in some for value in row]
            found += _run(driver, self._for_places(len(some), len(rows[0])), parameters)()
        return lambda: found

    def _with_places(self, rows: int, columns: int) -> str:
        row = f"({', '.join(['?'] * columns)})"
        return self._of_driver.replace("{rows}", f"(VALUES {', '.join([row] * rows)}) AS wanted")


def _run(driver: Driver, sql: str, parameters: Sequence[Any]) -> Fetch:
    """On PostgreSQL with the parameters apart from the SQL, which Django's cursors write into it. Never
    prepared: a pooler in between may hand the next transaction to another of its connections."""
    if IS_SQLITE:
        # At once: a statement with rows left to read would keep its view of the database, and the next
        # transaction of this connection from writing, for as long as anything (a traceback) holds it.
        rows = driver.execute(sql, parameters).fetchall()
        return lambda: rows
    fetch: Fetch = psycopg.Cursor(driver).execute(sql, parameters).fetchall
    return fetch


class Insert(Statement):
    """`Insert(Model, "a", "b").write(cursor, [{"a": 1, "b": 2}])`: rows in the present transaction.

    `large` names one more column, of long texts.
    """

    def __init__(self, model: type[models.Model], *names: str, large: str = "") -> None:
        names = (*names, large) if large else names
        fields: list[Any] = [model._meta.get_field(name) for name in names]
        self._columns = [field.column for field in fields]
        columns = ", ".join(map(connection.ops.quote_name, self._columns))
        table = connection.ops.quote_name(model._meta.db_table)
        super().__init__(f"INSERT INTO {table} ({columns}) SELECT * FROM {{rows}}")  # noqa: S608 - names of ours
        # One parameter: the driver was measured to need 100 us for the placeholders of each answer. But long
        # texts apart: taking them out of JSON again cost PostgreSQL a sixth of its time.
        self._large = large
        of_records = list(map(connection.ops.quote_name, self._columns))
        source = f"json_populate_recordset(NULL::{table}, %s)"
        if large:
            of_records[-1] = "unnest"
            source = f"ROWS FROM ({source}, unnest(%b::text[]))"
        self._of_records = Statement(
            f"INSERT INTO {table} ({columns}) SELECT {', '.join(of_records)} FROM {source} AS wanted"  # noqa: S608
        )
        self._values = itemgetter(*names)
        self._adapters = [
            (index, adapt) for index, field in enumerate(fields) if (adapt := _adapter(field))
        ]

    def write(self, driver: Driver, rows: Sequence[Mapping[str, Any]]) -> None:
        if IS_SQLITE:
            self.execute_for(driver, [self._adapted(row) for row in rows])
            return
        columns = self._columns[:-1] if self._large else self._columns
        records = [dict(zip(columns, self._values(row), strict=False)) for row in rows]
        texts = [[row[self._large] for row in rows]] if self._large else []
        self._of_records.execute(driver, orjson.dumps(records).decode(), *texts)

    def write_one(self, row: Mapping[str, Any]) -> None:
        """By Django's cursor: in the present transaction, or in one of its own."""
        values = self._adapted(row)
        places = ", ".join(["%s"] * len(values))
        with connection.cursor() as cursor:
            cursor.execute(self.sql.replace("SELECT * FROM {rows}", f"VALUES ({places})"), values)

    def _adapted(self, row: Mapping[str, Any]) -> list[Any]:
        values = list(self._values(row))
        for index, adapt in self._adapters:
            values[index] = adapt(values[index])
        return values


class Prepared(Generic[Row]):
    """A queryset whose SQL is made once: that takes Django longer than the database needs to run it.

    `stand_ins` are values in the queryset in whose places each call puts its own.
    """

    def __init__(self, rows: models.QuerySet[Row], *stand_ins: Any) -> None:
        self._model = rows.model
        self._sql, self._parameters = rows.query.sql_with_params()
        known = [_plain(value) for value in stand_ins]
        self._places = [known.index(v) if v in known else None for v in self._parameters]

    def __call__(self, *values: Any) -> list[Row]:
        given = [_plain(value) for value in values]
        parameters = [
            kept if place is None else given[place]
            for kept, place in zip(self._parameters, self._places, strict=True)
        ]
        return list(self._model._default_manager.raw(self._sql, parameters))


def _plain(value: Any) -> Any:
    return instant(value) if isinstance(value, datetime) else value


def instant(value: datetime | None) -> Any:
    """An aware instant as Django stores it in this database."""
    if value is None or not IS_SQLITE:
        return value
    return _text_of(value)


def key(value: uuid.UUID) -> Any:
    """A UUID as Django stores it in this database."""
    return value.hex if IS_SQLITE else value


def _text_of(value: datetime) -> str:
    """Without the offset; `+00:00` is six characters."""
    return str(value if value.tzinfo is UTC else value.astimezone(UTC))[:-6]


def _adapter(field: Any) -> Adapter | None:
    """What the database's driver would not understand as it is."""
    match field:
        case models.JSONField():
            return lambda value: None if value is None else orjson.dumps(value).decode()
        case models.DateTimeField() if IS_SQLITE:
            return lambda value: None if value is None else _text_of(value)
        case models.UUIDField() if IS_SQLITE:
            return key
    return None
