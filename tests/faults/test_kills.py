"""kill -9 of everything there is to kill, while operations are in every state.

The states are brought about from outside: by stopping the turn, by files that block who opens them, by
CLIs that wait for a file, by holding the database.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.faults.harness import (
    CLUSTER,
    COMPLETED,
    FINAL,
    RECOVERY_SECONDS,
    RUNNER,
    SUPERVISOR,
    FaultServer,
    Outcome,
    cli_of,
    kill,
    kill_at_once,
)
from tests.processes import processes_of, starts_of, wait_until

LONG = "the long form, by ./run test --faults"
VICTIMS = (RUNNER, CLUSTER, SUPERVISOR)

Check = Callable[[], None]
# Brings an operation into the state; what is yielded is called after the kill.
State = Callable[[FaultServer, str], Iterator[Check]]


def queued(server: FaultServer, tag: str) -> Iterator[Check]:
    """Behind another one on its server."""
    name = f"hold-{tag}-q"
    first, second = server.create_server(name), server.create_server(name)
    server.wait_for_word(first["id"], "start")

    def check() -> None:
        assert server.operation(second["id"])["status"] == "pending"
        server.release(name)
        for operation in (first, second):
            server.assert_outcome(operation["id"], COMPLETED)

    yield check


def running(server: FaultServer, tag: str) -> Iterator[Check]:
    """In the middle of its output."""
    name = f"paced-100-{tag}-r"
    operation = server.create_server(name)
    server.wait_for_word(operation["id"], "middle")

    def check() -> None:
        server.release(name)
        server.assert_outcome(operation["id"], COMPLETED)
        server.assert_log(operation["id"], name)

    yield check


def failing(server: FaultServer, tag: str) -> Iterator[Check]:
    """The CLI ended, with an exit code, while nobody watched it."""
    name = f"late-7-{tag}"
    operation = server.create_server(name)
    server.wait_for_word(operation["id"], "start")
    with server.standing_still():
        server.release(name)
        server.wait_for_file(operation["id"], "exit_code")
        yield lambda: server.assert_outcome(operation["id"], Outcome("failed", "exit", 7))


def cancelling(server: FaultServer, tag: str) -> Iterator[Check]:
    """Being ended, but deaf to TERM; its children as well."""
    operation = server.create_server(f"stubborn-{tag}")
    server.wait_for_word(operation["id"], "child", times=3)
    answer = server.client.post(f"/v1/operations/{operation['id']}/cancel")
    assert answer.status_code == 202

    wanted = Outcome("cancelled", "cancelled_by_user", None)
    yield lambda: server.assert_outcome(operation["id"], wanted)


def claimed(server: FaultServer, tag: str) -> Iterator[Check]:
    """Claimed, but not launched: the turn is stuck at a file that blocks whoever opens it."""
    name = f"slow-20-{tag}-c"
    with server.standing_still():
        operation = server.create_server(name)
        directory = server.directory_of(operation["id"])
        directory.mkdir()
        os.mkfifo(directory / "input.json")
    server.wait_for(operation["id"], "running", seconds=RECOVERY_SECONDS)
    time.sleep(0.2)  # from the claim to the file
    os.unlink(directory / "input.json")  # the next one finds nothing in its way
    assert list(directory.iterdir()) == []

    def check() -> None:
        server.assert_outcome(operation["id"], COMPLETED)
        server.assert_log(operation["id"], name)

    yield check


def finishing(server: FaultServer, tag: str) -> Iterator[Check]:
    """The turn is writing the end, and waits for the database."""
    name = f"paced-10-{tag}-f"
    operation = server.create_server(name)
    server.wait_for_word(operation["id"], "middle")

    def check() -> None:
        server.assert_outcome(operation["id"], COMPLETED)
        server.assert_log(operation["id"], name)

    with server.holding_writes():
        server.release(name)
        server.wait_for_file(operation["id"], "exit_code")
        time.sleep(0.2)  # from the end of the process to the statement
        yield check


# In the order in which they can be had at once: who is stuck claims nothing more.
STATES = (queued, running, cancelling, claimed)
EVERY_STATE = (queued, running, failing, cancelling, claimed, finishing)


def kill_at(server: FaultServer, victim: str, *states: State) -> None:
    server.start_turn()
    tag = f"{victim}-{time.monotonic_ns()}"
    with ExitStack() as stack:
        checks = [stack.enter_context(contextmanager(state)(server, tag)) for state in states]
        victims = server.victims(victim)
        assert victims
        kill(victims)
    for check in checks:
        check()


@pytest.mark.parametrize("victim", VICTIMS)
def test_operations_in_many_states_get_over_a_kill(target: FaultServer, victim: str) -> None:
    kill_at(target, victim, *STATES)


@pytest.mark.parametrize("state", [failing, finishing])
def test_an_end_that_nobody_recorded_is_recorded(target: FaultServer, state: State) -> None:
    kill_at(target, RUNNER, state)


@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("state", EVERY_STATE)
def test_an_operation_gets_over_a_kill(
    target: FaultServer, victim: str, state: State, is_long: bool
) -> None:
    if not is_long:
        pytest.skip(LONG)
    kill_at(target, victim, state)


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_kill_about_the_launch_starts_the_cli_once(
    target: FaultServer, victim: str, seed: int, is_long: bool
) -> None:
    """The moment cannot be held, so it is met by chance: a few milliseconds after the directory."""
    if victim != RUNNER and not is_long:
        pytest.skip(LONG)
    chance = random.Random(seed)  # noqa: S311 - no secret
    for number in range(20 if is_long else 2):
        target.start_turn()
        victims = target.victims(victim)
        name = f"slow-20-launch-{victim}-{number}"
        with target.standing_still():
            operation = target.create_server(name)
        directory = target.directory_of(operation["id"])
        wait_until(directory.exists, "it is claimed", RECOVERY_SECONDS, pause=0)
        time.sleep(chance.uniform(0, 0.006))
        kill(victims)
        target.assert_outcome(operation["id"], COMPLETED)
        target.assert_log(operation["id"], name)


# --- The CLI and its own -----------------------------------------------------------------------


def test_a_killed_cli_failed_with_the_exit_code_of_its_death(target: FaultServer) -> None:
    operation = target.create_server("hold-killed")
    target.wait_for_word(operation["id"], "start")
    kill({cli_of(operation)})
    target.assert_outcome(operation["id"], Outcome("failed", "exit", 128 + signal.SIGKILL))


def test_a_cli_killed_while_nobody_watches_failed_with_the_same_code(target: FaultServer) -> None:
    target.start_turn()
    operation = target.create_server("hold-killed-too")
    target.wait_for_word(operation["id"], "start")
    turn = target.turn()
    with target.standing_still():
        kill({cli_of(operation)})
        target.wait_for_file(operation["id"], "exit_code")
        kill({turn})
    target.assert_outcome(operation["id"], Outcome("failed", "exit", 128 + signal.SIGKILL))


def test_of_a_killed_child_the_cli_itself_tells(target: FaultServer) -> None:
    operation = target.create_server("parent-1")
    target.wait_for_word(operation["id"], "child")
    [child] = processes_of(operation["id"]) - {cli_of(operation)} - launchers_of(operation["id"])
    kill({child})
    target.assert_outcome(operation["id"], Outcome("failed", "exit", 128 + signal.SIGKILL))


def test_a_killed_launcher_takes_the_cli_and_its_children_with_it(target: FaultServer) -> None:
    operation = target.create_server("stubborn-orphan")
    target.wait_for_word(operation["id"], "child", times=3)
    kill(launchers_of(operation["id"]))
    target.assert_outcome(operation["id"], Outcome("failed", "lost", None))


def test_a_cli_and_its_runner_killed_at_once_are_told_apart_from_work_that_waits(
    target: FaultServer,
) -> None:
    target.start_turn()
    operation = target.create_server("hold-both")
    target.wait_for_word(operation["id"], "start")
    later = target.create_server("hold-both")
    kill_at_once(processes_of(operation["id"]) | target.victims(RUNNER))
    target.assert_outcome(operation["id"], Outcome("failed", "lost", None))
    target.release("hold-both")
    target.assert_outcome(later["id"], COMPLETED)


def launchers_of(operation_id: str) -> set[int]:
    """Who leads the session: the launcher's pid is the session's number."""
    return {pid for pid in processes_of(operation_id) if os.getsid(pid) == pid}


def test_nothing_is_left_at_the_end(target: FaultServer) -> None:
    rows = target.get("/v1/operations", limit=1000)
    assert [row for row in rows if row["status"] not in FINAL] == []
    assert all(starts_of(target.journal, row["id"]) <= 1 for row in rows)
    wait_until(lambda: not any((target.state / "operations").iterdir()), "no file is left")
