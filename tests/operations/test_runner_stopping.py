"""Ending operations with real processes: time limits and cancels, whatever the CLI does about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from accounts.actor import Actor
from accounts.models import AuditEvent, Workspace
from operations import machine, runner
from operations.models import Operation
from operations.runner import files
from operations.services import lifecycle
from operations.services.ending import Ending
from provisioning.errors import Conflict
from tests.factories import make_operation
from tests.operations.harness import (
    assert_nothing_left,
    events_of,
    log_of,
    outcome_of,
    release,
    turning,
    wait_for_status,
)
from tests.processes import is_alive, processes_of, read_journal, starts_of, wait_until

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)

OSCAR = Actor(name="oscar")


def submit(workspace: Workspace, hostname: str, **fields: Any) -> Operation:
    params = {"hostname": hostname, "provider": "p", "plan": "q"}
    return make_operation(workspace, params=params, **fields)


def cancel(operation: Operation) -> Operation:
    return lifecycle.cancel_operation(operation=operation, actor=OSCAR)


def wait_for_lines(journal: Path, operation: Operation, count: int) -> None:
    def have() -> bool:
        lines = [line for line in read_journal(journal) if line.operation == str(operation.pk)]
        return len(lines) == count

    wait_until(have, f"the CLI wrote {count} lines into its journal")


def assert_all_dead(journal: Path) -> None:
    for line in read_journal(journal):
        assert not is_alive(line.pid), line


def test_an_operation_that_takes_too_long_is_ended(journal: Path, workspace: Workspace) -> None:
    operation = submit(workspace, "sleep-60-x", timeout_seconds=1)
    runner.run_turn()
    assert outcome_of(operation)[:2] == ("failed", "timed_out")
    assert operation.error == "It ran longer than 1 seconds and was ended."
    assert events_of(operation) == ["submitted", "started", "failed"]
    assert_all_dead(journal)
    assert_nothing_left(operation)


def test_a_pending_operation_is_cancelled_at_once_and_never_runs(
    journal: Path, workspace: Workspace
) -> None:
    operation = cancel(submit(workspace, "ok-1"))
    assert outcome_of(operation) == ("cancelled", "cancelled_by_user", None)
    assert operation.error == "It was cancelled before it started."
    runner.run_turn()
    assert starts_of(journal, operation) == 0
    assert events_of(operation) == ["submitted", "cancelled"]


def test_the_trail_names_who_cancelled(journal: Path, workspace: Workspace) -> None:
    operation = cancel(submit(workspace, "ok-1"))
    event = AuditEvent.objects.get(event="operation.cancelled", target_id=str(operation.pk))
    assert event.actor_name == "oscar"


def test_a_running_operation_may_say_goodbye_when_it_is_cancelled(
    journal: Path, workspace: Workspace
) -> None:
    operation = submit(workspace, "polite-1")
    with turning():
        wait_until(lambda: log_of(operation), "it said hello")
        cancel(operation)
        wait_for_status(operation, "cancelled")
    assert outcome_of(operation) == ("cancelled", "cancelled_by_user", 7)
    assert operation.error == "It was cancelled while it ran."
    assert log_of(operation) == b"hello\ngoodbye\n"
    assert events_of(operation) == ["submitted", "started", "cancel-requested", "cancelled"]
    assert_nothing_left(operation)


def test_a_cli_that_forks_and_ignores_term_leaves_no_process(
    journal: Path, workspace: Workspace
) -> None:
    operation = submit(workspace, "stubborn-1")
    with turning():
        wait_for_lines(journal, operation, 4)
        assert len(processes_of(operation.pk)) == 5
        cancel(operation)
        wait_for_status(operation, "cancelled")
        # The status is written after the proof, so there is nothing to wait for.
        assert_all_dead(journal)
    assert outcome_of(operation) == ("cancelled", "cancelled_by_user", None)
    assert_nothing_left(operation)


def test_processes_that_went_to_sessions_of_their_own_are_found_and_ended(
    journal: Path, workspace: Workspace
) -> None:
    operation = submit(workspace, "escape-1")
    with turning():
        wait_for_lines(journal, operation, 4)
        cancel(operation)
        wait_for_status(operation, "cancelled")
        assert_all_dead(journal)
    assert_nothing_left(operation)


def test_a_process_in_a_session_of_its_own_may_say_goodbye_too(
    journal: Path, workspace: Workspace
) -> None:
    operation = submit(workspace, "detach-1")
    with turning():
        wait_for_lines(journal, operation, 2)
        cancel(operation)
        wait_for_status(operation, "cancelled")
    assert [line.word for line in read_journal(journal)] == ["start", "child", "goodbye"]
    assert_all_dead(journal)


def test_other_operations_are_untouched_by_a_cancel(journal: Path, workspace: Workspace) -> None:
    other = submit(workspace, "hold-1")
    operation = submit(workspace, "stubborn-1")
    with turning():
        wait_for_lines(journal, other, 1)
        wait_for_lines(journal, operation, 4)
        cancel(operation)
        wait_for_status(operation, "cancelled")
        assert len(processes_of(other.pk)) == 2
        release(journal)
    assert outcome_of(other) == ("completed", None, 0)


def test_cancelling_twice_changes_nothing(journal: Path, workspace: Workspace) -> None:
    operation = submit(workspace, "polite-1")
    with turning():
        wait_until(lambda: log_of(operation), "it said hello")
        first = cancel(operation).cancel_requested_at
        if not cancel_again(operation):
            assert operation.cancel_requested_at == first
        wait_for_status(operation, "cancelled")
    assert events_of(operation).count("cancel-requested") == 1


def cancel_again(operation: Operation) -> bool:
    """Whether it had ended by then, which is a conflict."""
    try:
        cancel(operation)
    except Conflict:
        return True
    return False


@pytest.mark.parametrize("hostname", ["ok-1", "fail-1-x"])
def test_what_has_ended_cannot_be_cancelled(
    hostname: str, journal: Path, workspace: Workspace
) -> None:
    operation = submit(workspace, hostname)
    runner.run_turn()
    before = (outcome_of(operation), events_of(operation))
    with pytest.raises(Conflict, match="has already ended"):
        cancel(operation)
    assert (outcome_of(operation), events_of(operation)) == before
    assert operation.cancel_requested_at is None


def test_a_cancel_that_comes_after_the_process_ended_leaves_its_true_end(
    journal: Path, workspace: Workspace
) -> None:
    operation = submit(workspace, "hold-1")
    with turning():
        wait_for_lines(journal, operation, 1)
        # Not by the service: the wish is noted, but wakes nobody, and the process ends first.
        Operation.objects.filter(pk=operation.pk).update(cancel_requested_at=operation.created_at)
        release(journal)
        wait_until(lambda: Operation.objects.get(pk=operation.pk).is_final, "it ended")
    status, reason, code = outcome_of(operation)
    assert (status, reason, code) == ("completed", None, 0)
    assert events_of(operation) == ["submitted", "started", "completed"]


def test_of_an_end_and_a_cancel_of_the_same_moment_one_wins(
    journal: Path, workspace: Workspace
) -> None:
    """Changes the row between the canceller's read and its write."""
    operation = submit(workspace, "ok-1")
    stale = Operation.objects.get(pk=operation.pk)
    runner.run_turn()
    with pytest.raises(Conflict):
        cancel(stale)
    assert outcome_of(operation) == ("completed", None, 0)


def test_a_cancelled_operation_is_not_finished_again(journal: Path, workspace: Workspace) -> None:
    operation = cancel(submit(workspace, "ok-1"))
    ending = Ending(Operation.Status.COMPLETED, None, 0)
    assert not lifecycle.finish_operation(
        operation=operation, token=operation.fencing_token, ending=ending
    )
    assert outcome_of(operation)[0] == "cancelled"


def test_a_process_number_that_is_anothers_by_now_is_not_signalled() -> None:
    """Process numbers are used again: whoever has it now must not be ended in its stead."""
    me = machine.stat_of(1)
    assert me is not None
    assert files.leader_of(files.Launch(me.pid, me.started)) == 1
    assert files.leader_of(files.Launch(me.pid, me.started + 1)) is None
