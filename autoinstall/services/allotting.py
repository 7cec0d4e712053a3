"""Counter values for machines: each its own, the same machine the same again.

All of it runs inside the transaction that records the answers. The row of a counter is locked by its
UPDATE to the end of it, so values are handed out one transaction after the other and without a gap: what
fails gives its values back. The requests that are committed together take theirs together: some statements
for all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from django.db import connection
from django.db.models import F
from django.db.models.functions import Greatest

from autoinstall.documents import MAX_COUNTER
from autoinstall.models import HeldValue, TemplateCounter
from autoinstall.snapshot import ConfigEntry
from provisioning.statements import IS_SQLITE, Driver, Fetch, Statement


class Stale(Exception):
    """Somebody changed meanwhile what was decided by: decide again."""


class CounterAtEnd(ValueError):
    """One sentence: the counter has no further value."""


@dataclass(slots=True)
class Wish:
    """The values that this machine is to get from the counters of this config.

    Without stickiness every request takes the next values, as Datacenter Manager's do.
    """

    config: ConfigEntry
    identity: str
    values: dict[str, int] = field(default_factory=dict)


_Missing = tuple[Wish, str]  # and the name of the counter

COUNTERS = TemplateCounter._meta.db_table
HELD = HeldValue._meta.db_table
_HELD = Statement(
    "SELECT config_id, identity, name, value FROM {rows} "  # noqa: S608 - our tables
    f"JOIN {HELD} ON config_id = wanted.column1 AND identity = wanted.column2",
    *("bigint", "text"),
)
# SQLite's: a row is a config, a name, and how many values are taken.
_TAKE = Statement(
    f"UPDATE {COUNTERS} SET value = value + wanted.column3 "  # noqa: S608
    "FROM {rows} WHERE config_id = wanted.column1 AND name = wanted.column2 "
    f"AND value <= {MAX_COUNTER + 1} - wanted.column3 "
    "RETURNING config_id, name, value",
    *("bigint", "text", "bigint"),
)
# PostgreSQL's: a row is a config, a name, and the machine (or nobody) that is to have a value if it holds
# none. So it can travel together with the question who holds one.
_TAKE_MISSING = Statement(
    f"UPDATE {COUNTERS} counters SET value = counters.value + missing.count "  # noqa: S608
    "FROM (SELECT wanted.column1 AS config, wanted.column2 AS name, count(*) AS count FROM {rows} "
    f"LEFT JOIN {HELD} held ON held.config_id = wanted.column1 AND held.identity = wanted.column3 "
    "AND held.name = wanted.column2 WHERE held.value IS NULL GROUP BY 1, 2) AS missing "
    "WHERE counters.config_id = missing.config AND counters.name = missing.name "
    f"AND counters.value <= {MAX_COUNTER + 1} - missing.count "
    "RETURNING counters.config_id, counters.name, counters.value",
    *("bigint", "text", "text"),
)
# UPDATE locks in the order of its plan, and two of them then wait for each other.
_LOCK = Statement(
    f"SELECT 1 FROM {COUNTERS} counters JOIN {{rows}} "  # noqa: S608
    "ON config_id = wanted.column1 AND name = wanted.column2 "
    "ORDER BY config_id, name FOR NO KEY UPDATE OF counters",
    *("bigint", "text"),
)
_HOLD = Statement(
    f"INSERT INTO {HELD} (config_id, name, identity, value) "  # noqa: S608
    "SELECT * FROM {rows} WHERE true ON CONFLICT DO NOTHING RETURNING config_id, name, value",
    *("bigint", "text", "text", "bigint"),
)
_HOLD_ALL = Statement(
    f"INSERT INTO {HELD} (config_id, name, identity, value) SELECT * FROM {{rows}}",  # noqa: S608
    *("bigint", "text", "text", "bigint"),
)
_OF_OTHERS = Statement(
    f"SELECT config_id, name, value FROM {{rows}} JOIN {HELD} "  # noqa: S608
    "ON config_id = wanted.column1 AND name = wanted.column2 AND value = wanted.column3",
    *("bigint", "text", "bigint"),
)
_GAP = (
    f"SELECT MIN(held.value + 1) FROM {HELD} held "  # noqa: S608
    "WHERE held.config_id = %s AND held.name = %s AND held.value >= %s AND NOT EXISTS ("
    f"SELECT 1 FROM {HELD} following WHERE following.config_id = held.config_id "
    "AND following.name = held.name AND following.value = held.value + 1)"
)


class Allotting:
    """The values of a transaction. The question for those that are held already is on the way when it is
    made, and on PostgreSQL the UPDATE of the counters as well; `fill_in` does the rest.

    Who is `hopeful` does not wait to hear that no other machine holds what the counters gave: where one
    does, the transaction fails by IntegrityError, if need be as late as its commit.
    """

    def __init__(self, driver: Driver, wishes: Sequence[Wish], *, is_hopeful: bool = False) -> None:
        self._driver = driver
        self._wishes = wishes
        self._is_hopeful = is_hopeful
        self._wanted = [(wish, name) for wish in wishes for name in sorted(wish.config.counters)]
        if is_pipelined := bool(self._wanted and not IS_SQLITE):
            # From here on nobody else gives or takes away what is held of these counters.
            _lock(driver, self._wanted)
        keys = {(one.config.pk, one.identity) for one in wishes if one.config.is_sticky}
        self._held = _HELD.execute_for(driver, list(keys)) if keys else None
        self._taken = _take(driver, self._wanted) if is_pipelined else None

    def fill_in(self) -> None:
        """Raises CounterAtEnd, and Stale when the counters were changed.

        Counters are taken in the order of the wishes, then of their names: who sorts the wishes by their
        configs has no other transaction wait for him while he waits for it.
        """
        self._fill_in_held()
        missing = [(wish, name) for wish, name in self._wanted if name not in wish.values]
        taken = self._taken
        while missing:
            _hand_out(missing, (taken or _take(self._driver, missing))())
            taken = None
            missing = _held_by_others(self._driver, missing, is_hopeful=self._is_hopeful)
            for wish, name in missing:
                _pass_over_held(wish, name)

    def _fill_in_held(self) -> None:
        held: dict[tuple[int, str], dict[str, int]] = {}
        for config, identity, name, value in self._held() if self._held else ():
            held.setdefault((config, identity), {})[name] = value
        for one in self._wishes:
            one.values.clear()  # of a transaction that was undone
            if one.config.is_sticky:
                found = held.get((one.config.pk, one.identity), {})
                one.values.update(
                    (name, found[name]) for name in one.config.counters if name in found
                )


def _lock(driver: Driver, wanted: Sequence[_Missing]) -> None:
    _LOCK.execute_for(driver, list({(wish.config.pk, name) for wish, name in wanted}))


def _take(driver: Driver, missing: Sequence[_Missing]) -> Fetch:
    """Move the counters on; rows of a config, a name, and the value behind the last one taken."""
    if IS_SQLITE:
        counts = Counter((wish.config.pk, name) for wish, name in missing)
        return _TAKE.execute_for(driver, [(*key, count) for key, count in counts.items()])
    rows = [
        (wish.config.pk, name, wish.identity if wish.config.is_sticky else None)
        for wish, name in missing
    ]
    return _TAKE_MISSING.execute_for(driver, rows)


def _hand_out(missing: Sequence[_Missing], taken: Iterable[tuple[int, str, int]]) -> None:
    """The counters' values, one each."""
    counts = Counter((wish.config.pk, name) for wish, name in missing)
    following = {(config, name): value - counts[config, name] for config, name, value in taken}
    for wish, name in missing:
        key = (wish.config.pk, name)
        if key not in following:
            raise _no_value(*key)
        wish.values[name] = following[key]
        following[key] += 1


def _no_value(config: int, name: str) -> Exception:
    if TemplateCounter.objects.filter(config_id=config, name=name).exists():
        return at_end(name)
    return Stale()


def at_end(name: str) -> CounterAtEnd:
    return CounterAtEnd(f"The template counter {name!r} is at its end ({MAX_COUNTER}).")


def _held_by_others(
    driver: Driver, taken: Sequence[_Missing], *, is_hopeful: bool
) -> list[_Missing]:
    """Those whose value a machine held already. The rest is held from now on, or without stickiness just
    taken."""
    sticky = [one for one in taken if one[0].config.is_sticky]
    loose = [one for one in taken if not one[0].config.is_sticky]
    refused: list[_Missing] = []
    if sticky:
        rows = [(wish.config.pk, name, wish.identity, wish.values[name]) for wish, name in sticky]
        if is_hopeful:
            _HOLD_ALL.execute_for(driver, rows)
        else:
            now_held = set(_HOLD.execute_for(driver, rows)())
            refused += [one for one in sticky if _key(one) not in now_held]
    if loose:
        others = set(_OF_OTHERS.execute_for(driver, [_key(one) for one in loose])())
        refused += [one for one in loose if _key(one) in others]
    return refused


def _key(taken: _Missing) -> tuple[int, str, int]:
    wish, name = taken
    return wish.config.pk, name, wish.values[name]


def _pass_over_held(wish: Wish, name: str) -> None:
    """Set the counter to the next value that nobody holds: somebody set it back. (Or the same machine
    asked twice at once, and the other request was first: then this one starts again.)"""
    config = wish.config
    rows = HeldValue.objects.filter(config_id=config.pk, name=name)
    if config.is_sticky and rows.filter(identity=wish.identity).exists():
        raise Stale
    free = first_gap(config.pk, name, wish.values[name])
    # Not back to a value that another request has just taken.
    TemplateCounter.objects.filter(config_id=config.pk, name=name).update(
        value=Greatest(F("value"), free)
    )


def first_gap(config: int, name: str, held_value: int) -> int:
    """The smallest value above this one, which somebody holds, that nobody holds."""
    with connection.cursor() as cursor:
        cursor.execute(_GAP, [config, name, held_value])
        return int(cursor.fetchone()[0])
