"""An operation outlives its runner: adoption, loss, fencing, and a database that goes away."""

from __future__ import annotations

import os
import signal
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import Workspace
from operations import machine, runner
from operations.models import Operation, Runner
from operations.runner import files
from operations.runner.child import Child
from operations.runner.turn import register
from operations.services import lifecycle
from operations.services.ending import Ending
from tests.factories import make_operation
from tests.operations.harness import (
    Background,
    assert_nothing_left,
    events_of,
    log_of,
    outcome_of,
    release,
    turn_process,
    turning,
    wait_for_status,
)
from tests.processes import is_alive, processes_of, read_journal, starts_of, wait_until

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)

COMPLETED = Ending(Operation.Status.COMPLETED, None, 0)


def submit(workspace: Workspace, hostname: str, **fields: Any) -> Operation:
    params = {"hostname": hostname, "provider": "p", "plan": "q"}
    return make_operation(workspace, params=params, **fields)


def words_of(journal: Path) -> list[str]:
    return [line.word for line in read_journal(journal)]


def kill_turn_when(journal: Path, word: str) -> None:
    """Start a turn in a process of its own and kill -9 it once the CLI has written this word."""
    connections.close_all()
    with turn_process(journal) as turn:
        wait_until(lambda: word in words_of(journal), f"the journal says {word}")
        os.kill(turn.pid, signal.SIGKILL)
        turn.wait(10)


def claimed(workspace: Workspace, hostname: str = "ok-1", **fields: Any) -> Operation:
    """A running operation whose runner is gone before it launched anything."""
    submit(workspace, hostname, **fields)
    me = register(Runner.Role.TURN)
    [operation] = lifecycle.claim_operations(runner=me)
    me.delete()
    return operation


# --- Adoption ----------------------------------------------------------------------------------


def test_a_cli_goes_on_when_its_runner_is_killed_and_the_next_one_records_its_end(
    journal: Path, workspace: Workspace
) -> None:
    operation = submit(workspace, "hold-1")
    kill_turn_when(journal, "start")
    [cli] = [line.pid for line in read_journal(journal)]
    assert is_alive(cli)
    with turning():
        wait_until(lambda: "adopted" in events_of(operation), "it is adopted")
        release(journal)
    assert outcome_of(operation) == ("completed", None, 0)
    assert starts_of(journal, operation) == 1
    assert events_of(operation) == ["submitted", "started", "adopted", "completed"]
    assert_nothing_left(operation)


def test_the_log_of_an_adopted_operation_has_no_gap_and_no_double(
    journal: Path, workspace: Workspace
) -> None:
    operation = submit(workspace, "paced-200-x")
    kill_turn_when(journal, "middle")
    release(journal)
    runner.run_turn()
    assert outcome_of(operation) == ("completed", None, 0)
    out = "".join(f"out {index} é\n" for index in range(200)).encode()
    assert log_of(operation, "stdout").startswith(out + b"working on paced-200-x\n")
    assert log_of(operation, "stderr") == b"".join(b"err %d\n" % index for index in range(200))
    assert starts_of(journal, operation) == 1


def test_the_exit_code_of_a_cli_that_ended_unwatched_is_the_true_one(
    journal: Path, workspace: Workspace
) -> None:
    slow = submit(workspace, "hold-1")
    operation = submit(workspace, "fail-9-x")
    connections.close_all()
    with turn_process(journal) as turn:
        wait_until(lambda: read_journal(journal), "the CLI runs")
        os.kill(turn.pid, signal.SIGSTOP)  # it sees no end any more
        wait_until(
            lambda: (
                files.read_exit_code(files.directory_of(operation.pk)) is not None
                or Operation.objects.get(pk=operation.pk).is_final
            ),
            "the CLI ended",
        )
    release(journal)
    runner.run_turn()
    assert outcome_of(operation) == ("failed", "exit", 9)
    assert operation.error == "the cloud refused fail-9-x"
    assert outcome_of(slow) == ("completed", None, 0)


def test_an_adopted_operation_can_be_cancelled(journal: Path, workspace: Workspace) -> None:
    operation = submit(workspace, "stubborn-1")
    kill_turn_when(journal, "child")
    with turning():
        wait_until(lambda: "adopted" in events_of(operation), "it is adopted")
        lifecycle.cancel_operation(operation=operation, actor=Actor(name="oscar"))
        wait_for_status(operation, "cancelled")
    for line in read_journal(journal):
        assert not is_alive(line.pid)
    assert_nothing_left(operation)


def test_the_time_limit_counts_from_the_start_not_from_the_adoption(
    journal: Path, workspace: Workspace
) -> None:
    operation = submit(workspace, "sleep-60-x", timeout_seconds=30)
    kill_turn_when(journal, "start")
    Operation.objects.filter(pk=operation.pk).update(
        started_at=timezone.now() - timedelta(seconds=31)
    )
    runner.run_turn()
    assert outcome_of(operation)[:2] == ("failed", "timed_out")
    assert_nothing_left(operation)


def test_what_was_claimed_but_never_launched_is_started_by_the_next_turn(
    journal: Path, workspace: Workspace
) -> None:
    operation = claimed(workspace)
    runner.run_turn()
    assert outcome_of(operation) == ("completed", None, 0)
    assert starts_of(journal, operation) == 1
    assert events_of(operation) == ["submitted", "started", "adopted", "completed"]


def test_of_two_launches_of_one_operation_only_the_first_runs_the_cli(
    journal: Path, workspace: Workspace
) -> None:
    """As when a runner is believed dead, and launches after its successor did."""
    operation = claimed(workspace, "hold-1")
    first, second = Child(operation), Child(operation)
    first.start()
    second.start()
    wait_until(lambda: read_journal(journal), "the CLI runs")
    release(journal)
    for child in (first, second):
        wait_until(lambda child=child: child.is_ended, "the launcher ended")  # type: ignore[misc]
        child.close()
    assert first.spawn_error is second.spawn_error is None
    assert starts_of(journal, operation) == 1
    files.remove_directory(operation.pk)


def test_an_operation_of_a_live_runner_is_not_adopted(journal: Path, workspace: Workspace) -> None:
    operation = claimed(workspace)
    live = register(Runner.Role.FOREGROUND)
    Operation.objects.filter(pk=operation.pk).update(runner=live.pk)
    runner.run_turn()
    assert outcome_of(operation)[0] == "running"
    assert read_journal(journal) == []


def test_an_operation_of_another_host_is_not_adopted(journal: Path, workspace: Workspace) -> None:
    operation = claimed(workspace)
    Operation.objects.filter(pk=operation.pk).update(host_id="another")
    runner.run_turn()
    assert outcome_of(operation)[0] == "running"
    assert read_journal(journal) == []


def test_a_foreground_run_goes_on_after_it_was_interrupted(
    journal: Path, workspace: Workspace
) -> None:
    operation = submit(workspace, "hold-1")

    def interrupt() -> None:
        if read_journal(journal):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.run_in_foreground(operation, interrupt)
    assert outcome_of(operation)[0] == "running"
    release(journal)
    runner.run_in_foreground(operation, lambda: None)
    assert outcome_of(operation) == ("completed", None, 0)
    assert starts_of(journal, operation) == 1


# --- Lost --------------------------------------------------------------------------------------


def test_when_the_launcher_is_killed_the_operation_is_lost_and_its_processes_are_ended(
    journal: Path, workspace: Workspace
) -> None:
    operation = submit(workspace, "kill-1")
    runner.run_turn()
    assert outcome_of(operation) == ("failed", "lost", None)
    assert operation.error == (
        "Its process vanished without an exit code: the host was restarted or it was killed."
    )
    for line in read_journal(journal):
        assert not is_alive(line.pid)
    assert_nothing_left(operation)


def test_what_ran_before_a_reboot_is_lost(journal: Path, workspace: Workspace) -> None:
    operation = claimed(workspace)
    files.prepare_directory(operation, [])
    Operation.objects.filter(pk=operation.pk).update(boot_id="an earlier boot")
    runner.run_turn()
    assert outcome_of(operation) == ("failed", "lost", None)
    assert read_journal(journal) == []
    assert events_of(operation) == ["submitted", "started", "adopted", "failed"]
    assert_nothing_left(operation)


def test_what_ended_before_a_reboot_keeps_its_exit_code(
    journal: Path, workspace: Workspace
) -> None:
    operation = claimed(workspace)
    directory = files.prepare_directory(operation, [])
    (directory / "exit_code").write_text("0\n")
    (directory / "stdout").write_text('{"hostname": "ok-1", "ip_address": "192.0.2.7"}\n')
    Operation.objects.filter(pk=operation.pk).update(boot_id="an earlier boot")
    runner.run_turn()
    assert outcome_of(operation) == ("completed", None, 0)
    assert operation.result == {"hostname": "ok-1", "ip_address": "192.0.2.7"}


def test_when_both_are_killed_the_next_turn_says_lost(journal: Path, workspace: Workspace) -> None:
    operation = submit(workspace, "sleep-60-x")
    kill_turn_when(journal, "start")
    for pid in processes_of(operation.pk):
        os.kill(pid, signal.SIGKILL)
    runner.run_turn()
    assert outcome_of(operation) == ("failed", "lost", None)
    assert starts_of(journal, operation) == 1


def test_what_a_silent_host_should_have_ended_long_ago_is_called_lost(
    journal: Path, workspace: Workspace
) -> None:
    operation = claimed(workspace, timeout_seconds=60)
    Operation.objects.filter(pk=operation.pk).update(
        host_id="another", started_at=timezone.now() - timedelta(seconds=60, hours=1, minutes=1)
    )
    runner.run_turn()
    assert outcome_of(operation) == ("failed", "lost", None)
    assert operation.error == "The host that ran it has fallen silent."


def test_a_silent_host_is_given_its_time(journal: Path, workspace: Workspace) -> None:
    operation = claimed(workspace, timeout_seconds=60)
    Operation.objects.filter(pk=operation.pk).update(
        host_id="another", started_at=timezone.now() - timedelta(minutes=55)
    )
    runner.run_turn()
    assert outcome_of(operation)[0] == "running"


# --- Fencing -----------------------------------------------------------------------------------


def test_a_runner_whose_lease_was_taken_cannot_finish(journal: Path, workspace: Workspace) -> None:
    operation = claimed(workspace)
    stale = operation.fencing_token
    successor = register(Runner.Role.TURN)
    assert lifecycle.adopt_operation(operation=operation, runner=successor)
    assert not lifecycle.finish_operation(operation=operation, token=stale, ending=COMPLETED)
    assert outcome_of(operation)[0] == "running"
    assert lifecycle.finish_operation(
        operation=operation, token=operation.fencing_token, ending=COMPLETED
    )
    assert events_of(operation) == ["submitted", "started", "adopted", "completed"]


def test_of_two_adopters_one_wins(journal: Path, workspace: Workspace) -> None:
    operation = claimed(workspace)
    mine, other = (Operation.objects.get(pk=operation.pk) for _ in range(2))
    first, second = register(Runner.Role.TURN), register(Runner.Role.TURN)
    assert lifecycle.adopt_operation(operation=mine, runner=first)
    assert not lifecycle.adopt_operation(operation=other, runner=second)
    operation.refresh_from_db()
    assert (operation.runner, operation.fencing_token) == (first.pk, 2)


def test_a_turn_that_wakes_up_late_leaves_its_successors_work_alone(
    journal: Path, workspace: Workspace
) -> None:
    operation = submit(workspace, "hold-1")
    with turning():
        wait_until(lambda: read_journal(journal), "the CLI runs")
        # Another runner has taken it over meanwhile.
        Operation.objects.filter(pk=operation.pk).update(fencing_token=9, runner=None)
        release(journal)
    assert outcome_of(operation)[0] == "running"
    assert files.read_exit_code(files.directory_of(operation.pk)) == 0  # left for the successor
    runner.run_turn()
    assert outcome_of(operation) == ("completed", None, 0)
    assert starts_of(journal, operation) == 1


def test_a_runner_with_a_dead_process_is_forgotten_at_once(
    journal: Path, workspace: Workspace
) -> None:
    operation = claimed(workspace)
    dead = register(Runner.Role.TURN)
    Runner.objects.filter(pk=dead.pk).update(pid_started=1)  # its number is another's by now
    Operation.objects.filter(pk=operation.pk).update(runner=dead.pk)
    runner.run_turn()
    assert outcome_of(operation) == ("completed", None, 0)
    assert not Runner.objects.filter(pk=dead.pk).exists()


# --- The database goes away --------------------------------------------------------------------


def terminate_other_connections() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        row = cursor.fetchone()
    return int(row[0])


def test_a_turn_goes_on_when_all_its_connections_break(journal: Path, workspace: Workspace) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no connections that could break")
    operation = submit(workspace, "hold-1")
    with turning():
        wait_until(lambda: read_journal(journal), "the CLI runs")
        assert terminate_other_connections() >= 2  # queries, and LISTEN
        later = submit(workspace, "ok-2")
        wait_for_status(later, "completed")
        release(journal)
        wait_for_status(operation, "completed")
    assert starts_of(journal, operation) == starts_of(journal, later) == 1


def test_a_turn_waits_for_a_table_that_is_locked(journal: Path, workspace: Workspace) -> None:
    """A write elsewhere that takes its time delays the turn, and no more."""
    if connection.vendor != "sqlite":
        pytest.skip("a writer that holds the whole database is SQLite's")
    operation = submit(workspace, "ok-1")
    with connection.cursor() as cursor:
        cursor.execute("BEGIN IMMEDIATE")
        turn = Background(runner.run_turn)
        time.sleep(0.3)
        cursor.execute("COMMIT")
    turn.join()
    assert outcome_of(operation) == ("completed", None, 0)


# --- Who is who --------------------------------------------------------------------------------


def test_the_boot_id_is_the_kernels() -> None:
    assert len(machine.boot_id()) == 36
