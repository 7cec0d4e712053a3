"""What a workflow does next: tables, and properties over random graphs with random outcomes."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operations.workflow import (
    INVERSE,
    Definition,
    End,
    Retry,
    Run,
    Skip,
    Start,
    Step,
    StopRunning,
    TryAgain,
    Undo,
    WorkflowError,
    check_graph,
    decide,
    find_cycle,
    read_definition,
)


def step(step_id: str, *depends_on: str, **fields: Any) -> Step:
    return Step(step_id, fields.pop("kind", "server_create"), {}, depends_on, **fields)


def flow(*steps: Step, parallel_limit: int | None = None) -> Definition:
    return Definition("test", steps, parallel_limit)


def run(step_id: str, status: str = "pending", **fields: Any) -> Run:
    return Run(fields.pop("operation", step_id), step_id, status, **fields)


# --- Graphs ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([], "at least one step"),
        ([step("a"), step("a")], "the id 'a' is given twice"),
        ([step("a", "b")], "step 'a' depends on 'b', which is no step"),
        ([step("a", "a")], "a -> a"),
        ([step("a", "b"), step("b", "a")], "a -> b -> a"),
        ([step("x"), step("a", "c"), step("b", "a"), step("c", "b")], "a -> c -> b -> a"),
    ],
)
def test_a_graph_that_cannot_run_is_refused_with_the_ids(steps: list[Step], words: str) -> None:
    with pytest.raises(WorkflowError, match=words) as caught:
        check_graph(steps)
    assert caught.value.field == "steps"


def test_a_long_chain_is_no_cycle_and_no_recursion() -> None:
    graph = {str(index): [str(index + 1)] for index in range(5000)} | {"5000": []}
    assert find_cycle(graph) == []
    assert len(find_cycle(graph | {"5000": ["0"]})) == 5002


def test_a_diamond_is_no_cycle() -> None:
    check_graph([step("a"), step("b", "a"), step("c", "a"), step("d", "b", "c")])


def test_a_definition_is_read_with_its_defaults() -> None:
    body = {"name": "n", "steps": [{"id": "a", "kind": "server_create"}]}
    assert read_definition(body) == Definition("n", (step("a"),), None)


@pytest.mark.parametrize(
    ("retry", "attempt", "seconds"),
    [
        (Retry(3, 10), 2, 10),
        (Retry(3, 10, 2), 3, 20),
        (Retry(3, 10, 2), 4, 40),
        (Retry(20, 86400, 10), 20, 86400),
    ],
)
def test_the_delay_before_an_attempt(retry: Retry, attempt: int, seconds: float) -> None:
    assert retry.delay_before(attempt) == seconds


# --- One decision ------------------------------------------------------------------------------

CHAIN = flow(step("a"), step("b", "a"))


@pytest.mark.parametrize(
    ("runs", "decisions"),
    [
        ([run("a"), run("b")], [Start(run("a"))]),
        ([run("a", is_ready=True), run("b")], []),
        ([run("a", "running", is_ready=True), run("b")], []),
        ([run("a", "completed", is_ready=True), run("b")], [Start(run("b"))]),
        ([run("a", "failed", reason="exit"), run("b")], [Skip(run("b"))]),
        ([run("a", "cancelled"), run("b")], [Skip(run("b"))]),
        (
            [run("a", "failed", reason="exit"), run("b", "failed", reason="dependency_failed")],
            [End("failed", "a")],
        ),
        ([run("a", "completed"), run("b", "failed", reason="exit")], [End("failed", "b")]),
        ([run("a", "completed"), run("b", "completed")], [End("completed")]),
    ],
)
def test_what_follows_in_a_chain(runs: list[Run], decisions: list[Any]) -> None:
    assert decide(CHAIN, runs) == decisions


def test_a_failure_that_may_be_continued_lets_its_dependants_start() -> None:
    definition = flow(step("a", on_failure="continue"), step("b", "a"))
    failed = run("a", "failed", reason="exit")
    assert decide(definition, [failed, run("b")]) == [Start(run("b"))]
    assert decide(definition, [failed, run("b", "completed")]) == [End("completed")]


def test_a_failed_attempt_is_tried_again_after_its_delay() -> None:
    retried = step("a", retry=Retry(3, 5, 2))
    failed = run("a", "failed", reason="exit")
    assert decide(flow(retried), [failed]) == [TryAgain(retried, 2, 5)]
    second = run("a", "failed", reason="exit", attempt=2)
    assert decide(flow(retried), [failed, second]) == [TryAgain(retried, 3, 10)]
    third = run("a", "failed", reason="exit", attempt=3)
    assert decide(flow(retried), [failed, second, third]) == [End("failed", "a")]


def test_a_cancelled_step_is_not_tried_again() -> None:
    assert decide(flow(step("a", retry=Retry(3))), [run("a", "cancelled")]) == [End("failed", "a")]


def test_nothing_is_tried_again_once_the_workflow_is_rolled_back() -> None:
    definition = flow(step("a", on_failure="rollback"), step("b", retry=Retry(3)))
    runs = [run("a", "failed", reason="exit"), run("b", "failed", reason="exit")]
    assert decide(definition, runs) == [End("failed", "a")]


def test_a_step_that_rolls_back_uses_up_its_attempts_first() -> None:
    retried = step("a", on_failure="rollback", retry=Retry(2))
    runs = [run("a", "failed", reason="exit"), run("b")]
    assert decide(flow(retried, step("b")), runs) == [TryAgain(retried, 2, 0)]


def test_a_rollback_undoes_the_last_completed_step_first_and_one_at_a_time() -> None:
    definition = flow(step("a"), step("b"), step("c", "a", "b", on_failure="rollback"))
    runs = [
        run("a", "completed", order=2),
        run("b", "completed", order=1),
        run("c", "failed", reason="exit", order=3),
    ]
    assert decide(definition, runs) == [Undo(definition.steps[0], runs[0])]
    undoing = run("a", "pending", is_ready=True, is_rollback=True)
    assert decide(definition, [*runs, undoing]) == []
    undone = run("a", "completed", is_rollback=True)
    assert decide(definition, [*runs, undone]) == [Undo(definition.steps[1], runs[1])]


def test_what_was_deleted_is_not_undone() -> None:
    definition = flow(step("a", kind="server_delete"), step("b", "a", on_failure="rollback"))
    runs = [run("a", "completed", order=1), run("b", "failed", reason="exit", order=2)]
    assert decide(definition, runs) == [End("failed", "b")]


def test_a_cancelled_workflow_skips_what_waits_then_stops_what_runs_then_ends() -> None:
    runs = [run("a", "running"), run("b")]
    assert decide(CHAIN, runs, is_cancelled=True) == [Skip(run("b"), is_cancelled=True)]
    runs = [run("a", "running"), run("b", "cancelled")]
    assert decide(CHAIN, runs, is_cancelled=True) == [StopRunning(run("a", "running"))]
    runs = [run("a", "cancelled"), run("b", "cancelled")]
    assert decide(CHAIN, runs, is_cancelled=True) == [End("cancelled")]


def test_the_parallel_limit_holds_ready_steps_back() -> None:
    definition = flow(step("a"), step("b"), step("c"), parallel_limit=2)
    runs = [run("a"), run("b"), run("c")]
    assert decide(definition, runs) == [Start(run("a")), Start(run("b"))]
    runs = [run("a", "running", is_ready=True), run("b"), run("c")]
    assert decide(definition, runs) == [Start(run("b"))]


# --- Random graphs with random outcomes --------------------------------------------------------


@st.composite
def definitions(draw: st.DrawFn) -> Definition:
    count = draw(st.integers(1, 8))
    steps = []
    for index in range(count):
        earlier = [f"s{before}" for before in range(index)]
        needs = draw(st.lists(st.sampled_from(earlier), unique=True)) if earlier else []
        steps.append(
            Step(
                id=f"s{index}",
                kind=draw(st.sampled_from(["server_create", "server_delete", "taskserv_create"])),
                params={},
                depends_on=tuple(needs),
                retry=Retry(draw(st.integers(1, 3))),
                on_failure=draw(st.sampled_from(["fail", "continue", "rollback"])),
            )
        )
    order = draw(st.permutations(steps))
    return Definition("random", tuple(order), draw(st.none() | st.integers(1, 4)))


class Simulation:
    """Plays database and runner: applies decisions, and ends steps by chance."""

    def __init__(self, definition: Definition, chance: random.Random, cancel_at: int) -> None:
        self.definition = definition
        self.chance = chance
        self.cancel_at = cancel_at
        self.clock = 0
        self.end: End | None = None
        self.rows: dict[int, Run] = {}
        self.stopping: set[int] = set()
        self.begun: list[int] = []
        for step in definition.steps:
            self.add(step.id)

    def add(self, step_id: str, **fields: Any) -> None:
        key = len(self.rows)
        self.rows[key] = Run(key, step_id, "pending", **fields)

    def change(self, key: int, **fields: Any) -> None:
        row = self.rows[key]
        assert not row.is_final, "nothing leaves a final status"
        self.clock += 1
        self.rows[key] = Run(**{**vars(row), **fields, "order": float(self.clock)})

    @property
    def is_cancelled(self) -> bool:
        return 0 <= self.cancel_at <= self.clock

    def play(self) -> None:
        for _ in range(1000):
            self.decide_until_quiet()
            if self.end:
                return
            self.let_something_happen()
        raise AssertionError("the workflow does not end")

    def decide_until_quiet(self) -> None:
        for _ in range(1000):
            decisions = decide(
                self.definition, list(self.rows.values()), is_cancelled=self.is_cancelled
            )
            changed = [self.apply(decision) for decision in decisions]
            if not any(changed):
                return
        raise AssertionError("the decisions do not end")

    def apply(self, decision: Any) -> bool:
        assert self.end is None, "nothing is decided after the end"
        match decision:
            case Start(row):
                assert not self.rows[row.operation].is_ready
                self.change(row.operation, is_ready=True)
            case Skip(row):
                assert row.status == "pending"
                self.change(row.operation, status="failed", reason="dependency_failed")
            case StopRunning(row):
                self.stopping.add(row.operation)
                return False
            case TryAgain(step, attempt, _):
                self.add(step.id, attempt=attempt)
            case Undo(step, _):
                self.add(step.id, is_rollback=True, is_ready=True)
            case End():
                self.end = decision
                return False
        return True

    def let_something_happen(self) -> None:
        """Claim one, or end one."""
        waiting = [
            key for key, row in self.rows.items() if row.status == "pending" and row.is_ready
        ]
        working = [key for key, row in self.rows.items() if row.status == "running"]
        assert waiting or working, "it waits for nothing"
        key = self.chance.choice([*waiting, *working])
        if key in waiting:
            self.begin(key)
        else:
            status = "cancelled" if key in self.stopping else self.outcome()
            self.change(key, status=status, reason="exit" if status == "failed" else None)

    def outcome(self) -> str:
        return self.chance.choices(["completed", "failed", "cancelled"], [8, 4, 1])[0]

    def begin(self, key: int) -> None:
        row = self.rows[key]
        if not row.is_rollback:
            for needed in self.definition.step(row.step_id).depends_on:
                ends = [other for other in self.runs_of(needed) if other.is_final]
                assert len(ends) == len(self.runs_of(needed)), "a dependency has not ended"
        self.begun.append(key)
        self.change(key, status="running")
        limit = self.definition.parallel_limit
        steps = [row for row in self.rows.values() if not row.is_rollback]
        assert limit is None or sum(row.status == "running" for row in steps) <= limit

    def runs_of(self, step_id: str) -> list[Run]:
        return [row for row in self.rows.values() if row.step_id == step_id and not row.is_rollback]


PLAYS = {
    "definition": definitions(),
    "seed": st.integers(0, 2**32),
    "cancel_at": st.sampled_from([-1, -1, 0, 1, 3, 7]),
}


def played(definition: Definition, seed: int, cancel_at: int) -> Simulation:
    simulation = Simulation(definition, random.Random(seed), cancel_at)  # noqa: S311
    simulation.play()
    return simulation


@settings(max_examples=200, deadline=None)
@given(**PLAYS)
def test_every_workflow_ends_with_every_step_ended(
    definition: Definition, seed: int, cancel_at: int
) -> None:
    """Order of dependencies and parallel limit are asserted by the simulation as it plays."""
    simulation = played(definition, seed, cancel_at)
    assert all(row.is_final for row in simulation.rows.values())


@settings(max_examples=200, deadline=None)
@given(**PLAYS)
def test_every_attempt_begins_at_most_once_and_only_failed_ones_are_repeated(
    definition: Definition, seed: int, cancel_at: int
) -> None:
    simulation = played(definition, seed, cancel_at)
    assert len(simulation.begun) == len(set(simulation.begun))
    for step in definition.steps:
        runs = simulation.runs_of(step.id)
        assert [row.attempt for row in runs] == list(range(1, len(runs) + 1))
        assert len(runs) <= step.retry.max_attempts
        assert all(row.status == "failed" for row in runs[:-1])


@settings(max_examples=200, deadline=None)
@given(**PLAYS)
def test_a_rollback_undoes_every_completed_step_once_in_reverse_order(
    definition: Definition, seed: int, cancel_at: int
) -> None:
    simulation = played(definition, seed, cancel_at)
    undone = [row.step_id for row in simulation.rows.values() if row.is_rollback]
    if not undone:
        return
    completed = {
        row.step_id: row.order
        for row in simulation.rows.values()
        if row.status == "completed" and not row.is_rollback
    }
    can_be_undone = {key for key in completed if definition.step(key).kind in INVERSE}
    assert undone == sorted(undone, key=lambda key: completed[key], reverse=True)
    assert len(undone) == len(set(undone))
    assert set(undone) == can_be_undone or simulation.is_cancelled


@settings(max_examples=200, deadline=None)
@given(**PLAYS)
def test_the_end_tells_the_truth(definition: Definition, seed: int, cancel_at: int) -> None:
    simulation = played(definition, seed, cancel_at)
    assert simulation.end is not None
    lasts = {step.id: simulation.runs_of(step.id)[-1] for step in definition.steps}
    if simulation.end.status == "completed":
        for key, row in lasts.items():
            excused = definition.step(key).on_failure == "continue"
            assert row.status == "completed" or (excused and row.reason != "dependency_failed")
    elif simulation.end.status == "failed":
        assert simulation.end.failed_step is not None
        assert lasts[simulation.end.failed_step].status in ("failed", "cancelled")
    else:
        assert simulation.is_cancelled
