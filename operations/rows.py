"""Operations as they are shown, read without the ORM's instances, which cost five times as much: every
client polls them."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import QuerySet

from operations.models import Operation


class Row(NamedTuple):
    """The columns that are shown, under the names that an instance has for them. From SQLite ids and
    instants come as text."""

    id: uuid.UUID | str
    status: str
    created_at: datetime | str
    updated_at: datetime | str
    result: Any
    error: str | None
    kind: str
    workspace_name: str
    check_mode: bool
    requested_by_name: str
    reason: str | None
    exit_code: int | None
    started_at: datetime | str | None
    finished_at: datetime | str | None
    timeout_seconds: int
    cancel_requested_at: datetime | str | None
    request_id: str
    workflow_id: uuid.UUID | str | None
    rerun_of_id: uuid.UUID | str | None
    lock: str
    params: dict[str, Any]
    workspace_id: int | None

    @property
    def pk(self) -> uuid.UUID | str:
        return self.id


def read_rows(operations: QuerySet[Operation]) -> list[Row]:
    """What the queryset selects."""
    try:
        return _run(*_statement(operations))
    except EmptyResultSet:
        return []


def read_row(operation_id: uuid.UUID) -> Row | None:
    """One by its id."""
    key = Operation._meta.pk.get_db_prep_value(operation_id, connection)
    return next(iter(_run(_statement_of_one(), [key])), None)


@functools.cache
def _statement_of_one() -> str:
    return _statement(Operation.objects.filter(pk=uuid.UUID(int=0)))[0]


def _statement(operations: QuerySet[Operation]) -> tuple[str, Sequence[Any]]:
    """Its SQL, but with our columns in the place of one that Django has to look up."""
    sql, parameters = operations.values_list("status").query.sql_with_params()
    rest = sql.partition(" FROM ")[2]
    return f"SELECT {_columns()} FROM {rest}", parameters  # noqa: S608 - Django's and ours


@functools.cache
def _columns() -> str:
    """SQLite has neither UUIDs nor instants: it writes out what it stores, at a tenth of the cost of
    converting it to Python and back."""
    instant, key = "{}", "{}"
    if connection.vendor == "sqlite":
        instant = "replace({}, ' ', 'T') || 'Z'"
        parts = [f"substr({{0}}, {begin}, {length})" for begin, length in UUID_PARTS]
        key = " || '-' || ".join(parts)
    forms = dict.fromkeys(("id", "workflow_id", "rerun_of_id"), key)
    return ", ".join(
        (instant if name.endswith("_at") else forms.get(name, "{}")).format(
            connection.ops.quote_name(name)
        )
        for name in Row._fields
    )


UUID_PARTS = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
PARAMS, RESULT = Row._fields.index("params"), Row._fields.index("result")


def _run(sql: str, parameters: Sequence[Any]) -> list[Row]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return [_row_of(list(columns)) for columns in cursor.fetchall()]


def _row_of(columns: list[Any]) -> Row:
    """JSON comes as text from both databases."""
    columns[PARAMS] = orjson.loads(columns[PARAMS])
    if columns[RESULT] is not None:
        columns[RESULT] = orjson.Fragment(columns[RESULT])
    return Row._make(columns)
