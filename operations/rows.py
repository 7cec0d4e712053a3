"""Operations as they are shown, written by the database: every client polls them.

The database makes JSON of a row's columns itself, instead of handing them to Python and having them written
there: with it a list of 50 took a quarter of the CPU of DRF's ModelSerializer, without it a third.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson
from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import QuerySet

from operations.models import Operation
from operations.serializers.operation import COLUMNS, links_of, shown_params


class Row(NamedTuple):
    """What is needed of a row to show it. `head` is a JSON object of its `COLUMNS`, `params` another."""

    id: str
    kind: str
    workspace_id: int | None
    params: str
    head: str

    @property
    def pk(self) -> str:
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


def written(row: Row) -> orjson.Fragment:
    """As `serializers.shown` shows the instance."""
    links = links_of(row.id, row.kind)
    return orjson.Fragment(
        f'{row.head[:-1]},"parameters":{_masked(row.params)},"links":{orjson.dumps(links).decode()}}}'
    )


def _masked(params: str) -> str:
    """Taken apart only where there may be something to mask. (Both databases write the names of keys
    without escapes.)"""
    if '"settings"' in params or '"steps"' in params:
        return orjson.dumps(shown_params(orjson.loads(params))).decode()
    return params


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
    """The columns of a Row."""
    forms = SQLITE_FORMS if connection.vendor == "sqlite" else POSTGRESQL_FORMS

    def form(column: str) -> str:
        kind = "instant" if column.endswith("_at") else KINDS.get(column, "plain")
        return forms.get(kind, "{}").format(connection.ops.quote_name(column))

    shown = [(name, form(column)) for name, column in COLUMNS.items()]
    if connection.vendor == "sqlite":
        head = f"json_object({', '.join(f'{name!r}, {value}' for name, value in shown)})"
    else:  # the function that takes pairs puts blanks between them
        named = ", ".join(f"{value} AS {connection.ops.quote_name(name)}" for name, value in shown)
        head = f"(SELECT row_to_json(head)::text FROM (SELECT {named}) AS head)"  # noqa: S608
    return f"{form('id')}, kind, workspace_id, {forms['text']}, {head}"


KINDS = {
    **dict.fromkeys(("id", "workflow_id", "rerun_of_id"), "key"),
    "check_mode": "flag",
    "result": "json",
}
# SQLite has neither UUIDs, nor instants, nor booleans, nor JSON, only text and numbers that stand for them.
SQLITE_FORMS = {
    "key": " || '-' || ".join(
        f"substr({{0}}, {begin}, {length})"
        for begin, length in ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
    ),
    "instant": "replace({}, ' ', 'T') || 'Z'",
    "flag": "json(iif({}, 'true', 'false'))",
    "json": "json({})",
    "text": "params",
}
POSTGRESQL_FORMS = {
    "key": "{}::text",
    "instant": "replace(to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), "
    "'.000000Z', 'Z')",
    "text": "params::text",
}


def _run(sql: str, parameters: Sequence[Any]) -> list[Row]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(map(Row._make, cursor.fetchall()))
