"""Counter values for machines: each its own, the same machine the same again.

All of it runs inside the transaction that records the answer. The row of a counter is locked by its
UPDATE to the end of it, so values are handed out one machine after the other and without a gap: what
fails gives its value back. Counters are taken in the order of their names, or two configs' worth of
requests could wait for each other.
"""

from __future__ import annotations

from django.db import connection

from autoinstall.documents import MAX_COUNTER
from autoinstall.models import HeldValue, TemplateCounter
from autoinstall.snapshot import ConfigEntry
from provisioning.statements import Statement, Steps


class Stale(Exception):
    """Somebody changed meanwhile what was decided by: decide again."""


class CounterAtEnd(ValueError):
    """One sentence: the counter has no further value."""


COUNTERS = TemplateCounter._meta.db_table
HELD = HeldValue._meta.db_table
_TAKE = Statement(
    f"UPDATE {COUNTERS} SET value = value + 1 "  # noqa: S608 - names of our tables
    f"WHERE config_id = %s AND name = %s AND value <= {MAX_COUNTER} RETURNING value - 1"
)
_HELD = Statement(
    f"SELECT name, value FROM {HELD} WHERE config_id = %s AND identity = %s"  # noqa: S608
)
_HOLD = Statement(
    f"INSERT INTO {HELD} (config_id, name, identity, value) VALUES (%s, %s, %s, %s) "  # noqa: S608
    "ON CONFLICT DO NOTHING"
)
_IS_HELD = Statement(
    f"SELECT 1 FROM {HELD} WHERE config_id = %s AND name = %s AND value = %s"  # noqa: S608
)
_GAP = (
    f"SELECT MIN(held.value + 1) FROM {HELD} held "  # noqa: S608
    "WHERE held.config_id = %s AND held.name = %s AND held.value >= %s AND NOT EXISTS ("
    f"SELECT 1 FROM {HELD} following WHERE following.config_id = held.config_id "
    "AND following.name = held.name AND following.value = held.value + 1)"
)


def allot(config: ConfigEntry, identity: str) -> Steps[dict[str, int]]:
    """The values of this machine. Raises CounterAtEnd, and Stale when the counters were changed.

    Without stickiness every request takes the next values, as Datacenter Manager's do.
    """
    if not config.counters:
        return {}
    held: dict[str, int] = {}
    if config.is_sticky:
        held = dict((yield _HELD(config.pk, identity)).fetchall())
    for name in sorted(config.counters):
        if name not in held:
            owner = identity if config.is_sticky else None
            held[name] = yield from _take(config.pk, name, owner)
    return {name: held[name] for name in config.counters}


def _take(config: int, name: str, identity: str | None) -> Steps[int]:
    """The next value that no machine holds; `identity` holds it from now on."""
    while True:
        row = (yield _TAKE(config, name)).fetchone()
        if row is None:
            raise _no_value(config, name)
        value = int(row[0])
        if identity is None:
            # somebody may hold it from the time when the same machine still got the same value
            if (yield _IS_HELD(config, name, value)).fetchone() is None:
                return value
            _go_on_after(config, name, value)
            continue
        if (yield _HOLD(config, name, identity, value)).rowcount == 1:
            return value
        _pass_over_held(config, name, identity, value)


def _no_value(config: int, name: str) -> Exception:
    if TemplateCounter.objects.filter(config_id=config, name=name).exists():
        return at_end(name)
    return Stale()


def at_end(name: str) -> CounterAtEnd:
    return CounterAtEnd(f"The template counter {name!r} is at its end ({MAX_COUNTER}).")


def _pass_over_held(config: int, name: str, identity: str, value: int) -> None:
    """Set the counter to the next value that nobody holds: somebody set it back. (Or the same machine
    asked twice at once, and the other request was first: then this one starts again.)"""
    rows = HeldValue.objects.filter(config_id=config, name=name)
    if rows.filter(identity=identity).exists():
        raise Stale
    _go_on_after(config, name, value)


def _go_on_after(config: int, name: str, value: int) -> None:
    free = first_gap(config, name, value)
    TemplateCounter.objects.filter(config_id=config, name=name).update(value=free)


def first_gap(config: int, name: str, held_value: int) -> int:
    """The smallest value above this one, which somebody holds, that nobody holds."""
    with connection.cursor() as cursor:
        cursor.execute(_GAP, [config, name, held_value])
        return int(cursor.fetchone()[0])
