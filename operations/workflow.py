"""Workflows: a directed acyclic graph of steps, and what to do next with it. Pure.

`decide` is called again after every end of a step, with what the database says of the steps; it
remembers nothing itself, so a crash between two calls loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

OnFailure = Literal["fail", "continue", "rollback"]

# The inverse of a kind; what was deleted cannot be brought back.
INVERSE: Mapping[str, str] = {
    "server_create": "server_delete",
    "taskserv_create": "taskserv_delete",
    "cluster_create": "cluster_delete",
}


class WorkflowError(ValueError):
    """Something is wrong with the graph; `field` and a sentence."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}")
        self.field = field
        self.rule = rule


@dataclass(frozen=True)
class Retry:
    """`delay_seconds` before the second attempt, multiplied by `backoff` before each further one."""

    max_attempts: int = 1
    delay_seconds: float = 0.0
    backoff: float = 1.0

    def delay_before(self, attempt: int) -> float:
        return min(self.delay_seconds * self.backoff ** max(attempt - 2, 0), 24 * 3600.0)


@dataclass(frozen=True)
class Step:
    id: str
    kind: str
    params: Mapping[str, Any]
    depends_on: tuple[str, ...] = ()
    timeout_seconds: int | None = None
    retry: Retry = field(default_factory=Retry)
    on_failure: OnFailure = "fail"


@dataclass(frozen=True)
class Definition:
    name: str
    steps: tuple[Step, ...]
    parallel_limit: int | None = None

    def step(self, step_id: str) -> Step:
        return next(step for step in self.steps if step.id == step_id)


def read_definition(body: Mapping[str, Any]) -> Definition:
    """A definition from its JSON (shapes already checked). Raises WorkflowError naming the ids."""
    steps = tuple(
        Step(
            id=step["id"],
            kind=step["kind"],
            params=step.get("params", {}),
            depends_on=tuple(step.get("depends_on", ())),
            timeout_seconds=step.get("timeout_seconds"),
            retry=Retry(**step.get("retry") or {}),
            on_failure=step.get("on_failure", "fail"),
        )
        for step in body["steps"]
    )
    check_graph(steps)
    return Definition(body["name"], steps, body.get("parallel_limit"))


def check_graph(steps: Sequence[Step]) -> None:
    """Raise WorkflowError for duplicate ids, unknown dependencies and cycles."""
    if not steps:
        raise WorkflowError("steps", "a workflow needs at least one step")
    ids = [step.id for step in steps]
    if twice := sorted({step_id for step_id in ids if ids.count(step_id) > 1}):
        raise WorkflowError("steps", f"the id {twice[0]!r} is given twice")
    known = set(ids)
    for step in steps:
        if missing := sorted(set(step.depends_on) - known):
            raise WorkflowError(
                "steps", f"step {step.id!r} depends on {missing[0]!r}, which is no step"
            )
    if cycle := find_cycle({step.id: step.depends_on for step in steps}):
        raise WorkflowError("steps", f"the steps depend on each other: {' -> '.join(cycle)}")


def find_cycle(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """One cycle as `[a, b, a]`, or nothing. Iterative: a long chain must not end the recursion."""
    done: set[str] = set()
    for start in graph:
        path: list[str] = []
        on_path: set[str] = set()
        stack = [(start, iter(graph[start]))]
        while stack:
            node, children = stack[-1]
            if node not in on_path:
                path.append(node)
                on_path.add(node)
            for child in children:
                if child in on_path:
                    return [*path[path.index(child) :], child]
                if child not in done:
                    stack.append((child, iter(graph[child])))
                    break
            else:
                stack.pop()
                done.add(node)
                on_path.discard(path.pop())
    return []


# --- What to do next ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """One operation of a workflow as the database has it. `order` sorts by the time it ended."""

    operation: Any
    step_id: str
    status: str
    attempt: int = 1
    is_ready: bool = False
    is_rollback: bool = False
    reason: str | None = None
    order: float = 0.0

    @property
    def is_final(self) -> bool:
        return self.status in ("completed", "failed", "cancelled")


@dataclass(frozen=True)
class Start:
    """Let this waiting operation be claimed."""

    run: Run


@dataclass(frozen=True)
class Skip:
    """End this waiting operation: what it depends on failed, or (is_cancelled) the workflow is."""

    run: Run
    is_cancelled: bool = False


@dataclass(frozen=True)
class StopRunning:
    """Ask for the cancellation of this operation."""

    run: Run


@dataclass(frozen=True)
class TryAgain:
    step: Step
    attempt: int
    delay_seconds: float


@dataclass(frozen=True)
class Undo:
    """Submit the inverse of this completed step."""

    step: Step
    run: Run


@dataclass(frozen=True)
class End:
    status: Literal["completed", "failed", "cancelled"]
    failed_step: str | None = None


Decision = Start | Skip | StopRunning | TryAgain | Undo | End


def decide(
    definition: Definition, runs: Sequence[Run], *, is_cancelled: bool = False
) -> list[Decision]:
    """What to do now; empty while there is nothing but waiting. Call again after applying it."""
    latest = latest_runs(runs)
    if is_cancelled:
        return _cancel(runs)
    again = _retries(definition, latest)
    tried_again = {retry.step.id for retry in again}
    rolls_back = any(
        _is_failed(run)
        and run.step_id not in tried_again
        and definition.step(run.step_id).on_failure == "rollback"
        for run in latest.values()
    )
    if again and not rolls_back:
        return list(again)
    if skipped := _skips(definition, latest, everything=rolls_back):
        return list(skipped)
    if started := _starts(definition, latest):
        return list(started)
    if any(not run.is_final for run in runs):
        return []
    if rolls_back and (undo := _next_undo(definition, runs, latest)):
        return [undo]
    return [_end(definition, latest)]


def latest_runs(runs: Sequence[Run]) -> dict[str, Run]:
    """The last attempt of each step, rollbacks left out."""
    latest: dict[str, Run] = {}
    for run in runs:
        if not run.is_rollback and (
            run.step_id not in latest or run.attempt > latest[run.step_id].attempt
        ):
            latest[run.step_id] = run
    return latest


def _is_failed(run: Run) -> bool:
    return run.status in ("failed", "cancelled")


def _blocks(definition: Definition, run: Run) -> bool:
    """Whether the dependants of this run cannot go on. A step that never ran blocks always."""
    if not _is_failed(run):
        return False
    return (
        run.reason == "dependency_failed" or definition.step(run.step_id).on_failure != "continue"
    )


def _cancel(runs: Sequence[Run]) -> list[Decision]:
    waiting = [run for run in runs if run.status == "pending"]
    if waiting:
        return [Skip(run, is_cancelled=True) for run in waiting]
    running = [run for run in runs if run.status == "running"]
    return [StopRunning(run) for run in running] if running else [End("cancelled")]


def _retries(definition: Definition, latest: Mapping[str, Run]) -> list[TryAgain]:
    found = []
    for run in latest.values():
        step = definition.step(run.step_id)
        if (
            run.status == "failed"
            and run.reason != "dependency_failed"
            and run.attempt < step.retry.max_attempts
        ):
            attempt = run.attempt + 1
            found.append(TryAgain(step, attempt, step.retry.delay_before(attempt)))
    return found


def _skips(definition: Definition, latest: Mapping[str, Run], *, everything: bool) -> list[Skip]:
    return [
        Skip(run)
        for run in latest.values()
        if run.status == "pending"
        and (
            everything
            or any(
                _blocks(definition, latest[needed])
                for needed in definition.step(run.step_id).depends_on
            )
        )
    ]


def _starts(definition: Definition, latest: Mapping[str, Run]) -> list[Start]:
    busy = sum(run.is_ready and not run.is_final for run in latest.values())
    room = (definition.parallel_limit or len(definition.steps)) - busy
    ready = [
        Start(latest[step.id])
        for step in definition.steps
        if latest[step.id].status == "pending"
        and not latest[step.id].is_ready
        and all(latest[needed].is_final for needed in step.depends_on)
    ]
    return ready[: max(room, 0)]


def _next_undo(
    definition: Definition, runs: Sequence[Run], latest: Mapping[str, Run]
) -> Undo | None:
    """The last completed step that can be undone and has not been: one at a time, in reverse."""
    undone = {run.step_id for run in runs if run.is_rollback}
    for run in sorted(latest.values(), key=lambda run: run.order, reverse=True):
        step = definition.step(run.step_id)
        if run.status == "completed" and step.kind in INVERSE and step.id not in undone:
            return Undo(step, run)
    return None


def _end(definition: Definition, latest: Mapping[str, Run]) -> End:
    for step in definition.steps:
        run = latest[step.id]
        if _is_failed(run) and step.on_failure != "continue" and run.reason != "dependency_failed":
            return End("failed", step.id)
    for step in definition.steps:
        if latest[step.id].reason == "dependency_failed":
            return End("failed", step.id)
    return End("completed")
