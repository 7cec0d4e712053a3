"""A batch file, read whole and checked before anything runs.

    {"workspace", "name", "check_mode"?, "parallel_limit"?, "steps": [{"id", "kind", "params",
     "depends_on": [ids], "timeout_seconds"?, "on_failure": "fail|continue|rollback"?,
     "retry": {"max_attempts", "delay_seconds", "backoff"}?}]}

It is the workflow of the REST API; `operations` and `dependencies` are accepted for `steps` and
`depends_on`. Steps run one after another: `parallel_limit` is checked and otherwise unused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, cast

from operations.localcli import kinds, names, params
from operations.localcli.errors import BadInputError
from operations.localcli.params import Params, needed, optional
from operations.localcli.request import Request

OnFailure = Literal["fail", "continue", "rollback"]
BACKOFFS: Mapping[object, float] = {"fixed": 1.0, "exponential": 2.0}


class Retry(NamedTuple):
    """`max_attempts` in all; each pause is `backoff` times as long as the one before."""

    max_attempts: int = 1
    delay_seconds: float = 0.0
    backoff: float = 1.0


class Step(NamedTuple):
    id: str
    kind: str
    request: Request
    depends_on: list[str]
    timeout_seconds: float | None
    retry: Retry
    on_failure: OnFailure


class Plan(NamedTuple):
    """`steps` stand in an order in which each comes after those it depends on."""

    name: str
    is_check: bool
    steps: list[Step]


def read_plan(document: Params) -> Plan:
    keys = ("workspace", "name", "check_mode", "parallel_limit", "steps", "operations")
    params.only(document, *keys)
    optional(document, "parallel_limit", _positive_whole)
    steps = optional(document, "steps", _steps) or optional(document, "operations", _steps)
    if steps is None:
        raise BadInputError("steps is missing: a batch file lists its steps.")
    return Plan(
        name=optional(document, "name", _title) or "batch",
        is_check=optional(document, "check_mode", _truth) or False,
        steps=in_order(steps),
    )


def in_order(steps: list[Step]) -> list[Step]:
    """`steps` so that each follows its dependencies, else as they came.

    Raises BadInputError naming a duplicate id, an unknown dependency or the steps of a cycle.
    """
    waiting = _by_id(steps)
    for step in steps:
        for needed_id in step.depends_on:
            if needed_id not in waiting:
                raise BadInputError(f"Step '{step.id}' depends on '{needed_id}', which is no step.")
    ordered: list[Step] = []
    while waiting:
        ready = next((s for s in waiting.values() if not waiting.keys() & s.depends_on), None)
        if ready is None:
            raise BadInputError(f"These steps depend on each other in a cycle: {_cycle(waiting)}.")
        ordered.append(waiting.pop(ready.id))
    return ordered


def _by_id(steps: list[Step]) -> dict[str, Step]:
    found: dict[str, Step] = {}
    for step in steps:
        if step.id in found:
            raise BadInputError(f"The step id '{step.id}' is given twice.")
        found[step.id] = step
    return found


def _cycle(waiting: Mapping[str, Step]) -> str:
    """`a -> b -> a`: every waiting step has a waiting dependency, so walking them must return."""
    path = [next(iter(waiting))]
    while True:
        following = next(id for id in waiting[path[-1]].depends_on if id in waiting)
        if following in path:
            return " -> ".join([*path[path.index(following) :], following])
        path.append(following)


def _steps(field: str, value: object) -> list[Step]:
    if not isinstance(value, list) or not value:
        raise BadInputError(f"{field} must be a list of at least one step.")
    return [_step(f"{field}[{index}]", given) for index, given in enumerate(value)]


def _step(place: str, value: object) -> Step:
    try:
        return _read_step(params.mapping(place, value))
    except BadInputError as error:
        raise BadInputError(f"In {place}: {error}") from None


def _read_step(given: Params) -> Step:
    keys = ("id", "kind", "params", "depends_on", "dependencies")
    params.only(given, *keys, "timeout_seconds", "retry", "on_failure")
    kind = needed(given, "kind", _kind)
    depends_on = optional(given, "depends_on", _ids) or optional(given, "dependencies", _ids)
    return Step(
        id=needed(given, "id", names.name),
        kind=kind,
        request=kinds.read(kind, optional(given, "params", params.mapping) or {}),
        depends_on=depends_on or [],
        timeout_seconds=optional(given, "timeout_seconds", _positive),
        retry=optional(given, "retry", _retry) or Retry(),
        on_failure=optional(given, "on_failure", _on_failure) or "fail",
    )


def _kind(field: str, value: object) -> str:
    if value in kinds.CHANGING:
        return value
    raise names.refusal(field, value, f"one of {', '.join(kinds.CHANGING)}")


def _on_failure(field: str, value: object) -> OnFailure:
    if value in ("fail", "continue", "rollback"):
        return value
    raise names.refusal(field, value, "one of fail, continue, rollback")


def _retry(field: str, value: object) -> Retry:
    given = params.only(params.mapping(field, value), *Retry._fields)
    return Retry(
        max_attempts=optional(given, "max_attempts", _positive_whole) or 1,
        delay_seconds=optional(given, "delay_seconds", _not_negative) or 0.0,
        backoff=optional(given, "backoff", _backoff) or 1.0,
    )


def _backoff(field: str, value: object) -> float:
    known = BACKOFFS.get(value) if isinstance(value, str) else None
    return known or _number(field, value, 1, "fixed, exponential or a factor of 1 or more")


def _ids(field: str, value: object) -> list[str]:
    if not isinstance(value, list):
        raise names.refusal(field, value, "a list of step ids")
    return [names.name(field, id) for id in value]


def _title(field: str, value: object) -> str:
    if isinstance(value, str) and value.isprintable() and 1 <= len(value) <= 100:
        return value
    raise names.refusal(field, value, "a text of 1 to 100 printable characters")


def _truth(field: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise names.refusal(field, value, "true or false")


def _positive_whole(field: str, value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    raise names.refusal(field, value, "a whole number of 1 or more")


def _positive(field: str, value: object) -> float:
    return _number(field, value, 0.001, "a number of seconds above 0")


def _not_negative(field: str, value: object) -> float:
    return _number(field, value, 0, "a number of seconds, 0 or more")


def _number(field: str, value: object, least: float, rule: str) -> float:
    # At most ten days; it also keeps out the infinities and NaN that Python's JSON reads.
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and least <= cast("float", value) <= 864_000:
        return float(cast("float", value))
    raise names.refusal(field, value, rule)
