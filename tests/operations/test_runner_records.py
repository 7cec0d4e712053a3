"""What ended at once is recorded at once, and trouble with one is no trouble for the others."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from accounts.models import Workspace
from operations import runner
from operations.commands import Kind
from operations.models import Cluster, Operation, OperationTally, Runner, Server
from operations.runner import files, records
from operations.runner.child import Child
from operations.runner.turn import Turn, register
from operations.services import lifecycle
from operations.services.ending import End, Ending
from tests.factories import make_operation
from tests.operations.harness import events_of
from tests.processes import processes_of, starts_of, wait_until

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)

COMPLETED = Ending("completed", exit_code=0)


@pytest.fixture
def turn(transactional_db: None) -> Runner:
    return register(Runner.Role.TURN)


def create(workspace: Workspace, hostname: str, **params: Any) -> Operation:
    given = {"hostname": hostname, "provider": "p", "plan": "q"} | params
    return make_operation(workspace, params=given)


def claimed(turn: Runner) -> list[Operation]:
    return lifecycle.claim_operations(runner=turn)


def started(turn: Runner) -> list[Child]:
    children = [Child(operation) for operation in claimed(turn)]
    for child in children:
        child.start()
    for child in children:
        child.come_up()
    return children


def close(children: list[Child]) -> None:
    for child in children:
        child.close()


def test_operations_that_ended_at_once_are_recorded_at_once(
    journal: Path, workspace: Workspace, turn: Runner
) -> None:
    operations = [create(workspace, name) for name in ("ok-1", "fail-3", "ok-2")]
    children = started(turn)
    wait_until(lambda: all(child.step(set()) for child in children), "they have ended")

    records.record_ends(children)
    close(children)

    for operation in operations:
        operation.refresh_from_db()
        assert starts_of(journal, operation) == 1
    assert [(one.status, one.exit_code) for one in operations] == [
        ("completed", 0),
        ("failed", 3),
        ("completed", 0),
    ]
    assert len({operation.finished_at for operation in operations}) == 1, "one moment, one commit"
    assert [events_of(one)[-1] for one in operations] == ["completed", "failed", "completed"]
    assert {row.status: row.count for row in OperationTally.objects.all()} == {
        "completed": 2,
        "failed": 1,
    }
    assert sorted(Server.objects.values_list("hostname", flat=True)) == ["ok-1", "ok-2"]


def test_a_result_that_no_column_can_hold_is_no_trouble_for_what_ended_with_it(
    journal: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    troubled, healthy = create(workspace, "ok-troubled"), create(workspace, "ok-healthy")
    ending = Child.ending

    def with_half_a_character(child: Child) -> Ending:
        if child.operation.pk == troubled.pk:
            return Ending("failed", "exit", 7, error="\ud800")
        return ending(child)

    monkeypatch.setattr(Child, "ending", with_half_a_character)
    runner.run_turn()

    troubled.refresh_from_db()
    healthy.refresh_from_db()
    assert (troubled.status, troubled.reason, troubled.exit_code) == ("failed", "bad_output", 7)
    assert troubled.error == "The output of the CLI could not be stored."
    assert healthy.status == "completed"
    assert [starts_of(journal, one) for one in (troubled, healthy)] == [1, 1]


def test_the_name_that_the_cli_chose_is_kept_when_the_first_try_was_undone(
    workspace: Workspace, turn: Runner
) -> None:
    make_operation(workspace, params={"provider": "p", "plan": "q"})
    [operation] = claimed(turn)
    ends = [End(operation, operation.fencing_token, Ending("completed", result={"hostname": "x"}))]
    with suppress(ZeroDivisionError), transaction.atomic():
        lifecycle.finish_operations(ends)
        raise ZeroDivisionError

    lifecycle.finish_operations(ends)

    assert Operation.objects.get().subject == "x"


def test_of_many_ends_only_those_under_their_own_lease_count(
    workspace: Workspace, turn: Runner
) -> None:
    names = ("ok-1", "ok-2", "ok-3")
    rows = {create(workspace, name).pk: name for name in names}
    ends = [End(one, one.fencing_token, COMPLETED) for one in claimed(turn)]
    ends[1] = ends[1]._replace(token=ends[1].token - 1)

    won = lifecycle.finish_operations(ends)

    assert [rows[one.pk] for one in won] == ["ok-1", "ok-3"]
    found = dict(Operation.objects.values_list("subject", "status"))
    assert found == {"ok-1": "completed", "ok-2": "running", "ok-3": "completed"}
    assert sorted(Server.objects.values_list("hostname", flat=True)) == ["ok-1", "ok-3"]
    assert OperationTally.objects.get().count == 2
    assert lifecycle.finish_operations(ends) == []
    assert OperationTally.objects.get().count == 2


def test_each_item_takes_what_its_own_result_tells(workspace: Workspace, turn: Runner) -> None:
    """Of different columns, of different kinds, one that exists and two that make the same."""
    Server.objects.create(workspace=workspace, uid="srv-00000001", hostname="old", zone="z9")
    for name in ("new", "old", "chosen-a", "chosen-b"):
        create(workspace, name)
    make_operation(workspace, kind=Kind.CLUSTER_CREATE, params={"name": "k8s"})
    results: dict[str, Any] = {
        "new": {"id": "srv-abcdefgh", "ip_address": "192.0.2.1", "tags": ["a"]},
        "old": {"id": "srv-00000001", "status": "running"},
        "chosen-a": {"hostname": "same", "plan": "first"},
        "chosen-b": {"hostname": "same", "plan": "second"},
        "k8s": {"version": "1.31"},
    }
    lifecycle.finish_operations(
        [
            End(
                one,
                one.fencing_token,
                Ending("completed", exit_code=0, result=results[one.subject]),
            )
            for one in claimed(turn)
        ]
    )

    servers = {row.hostname: row for row in Server.objects.all()}
    assert servers.keys() == {"new", "old", "same"}
    new, old, same = (servers[name] for name in ("new", "old", "same"))
    assert (new.uid, new.ip_address, new.tags) == ("srv-abcdefgh", "192.0.2.1", ["a"])
    assert (old.uid, old.status, old.zone) == ("srv-00000001", "running", "z9")
    assert (same.status, same.plan) == ("created", "second")
    assert Cluster.objects.get().version == "1.31"
    for row in servers.values():
        assert row.last_operation is not None
        assert row.last_operation.status == "completed"


# --- Trouble with one --------------------------------------------------------------------------


@pytest.fixture
def loop(turn: Runner, workspace: Workspace) -> Iterator[Turn]:
    """A turn that is stepped by hand."""
    found = Turn(turn)
    yield found
    close(list(found.children.values()))


def all_ended(loop: Turn) -> bool:
    return all(child.is_ended for child in loop.children.values())


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Callable[[Operation | None], None]:
    """`refuse(operation)`: its end does not go into the database; `refuse(None)`: all do."""
    refused: list[Operation] = []
    finish = lifecycle.finish_operations

    def finish_others(ends: Sequence[End]) -> list[Operation]:
        if any(end.operation in refused for end in ends):
            raise IntegrityError("a constraint")
        return finish(ends)

    monkeypatch.setattr(lifecycle, "finish_operations", finish_others)

    def change(operation: Operation | None) -> None:
        refused[:] = [operation] if operation else []

    return change


@pytest.mark.parametrize("refused", [0, 1, 2])
def test_an_end_that_the_database_refuses_is_no_trouble_for_the_others(
    journal: Path,
    workspace: Workspace,
    loop: Turn,
    refuse: Callable[[Operation | None], None],
    refused: int,
) -> None:
    operations = [create(workspace, name) for name in ("ok-1", "ok-2", "ok-3")]
    loop.claim()
    wait_until(lambda: all_ended(loop), "they have ended")

    refuse(operations[refused])
    loop.step_children()

    found = [Operation.objects.get(pk=one.pk).status for one in operations]
    wanted = ["completed"] * 3
    wanted[refused] = "running"
    assert found == wanted
    assert loop.children.keys() == {operations[refused].pk}, "what is recorded is left in peace"

    refuse(None)
    loop.step_children()

    assert Operation.objects.filter(status="completed").count() == 3
    assert not loop.children
    assert [starts_of(journal, one) for one in operations] == [1, 1, 1]


def test_what_a_completed_cli_left_running_lives_on_whatever_becomes_of_another(
    workspace: Workspace,
    loop: Turn,
    settings: Any,
    tmp_path: Path,
    refuse: Callable[[Operation | None], None],
) -> None:
    """A CLI may leave a process behind (an agent, a tunnel); only a stop ends it."""
    cli = tmp_path / "cli"
    cli.write_text("#!/bin/sh\nsleep 60 >/dev/null 2>&1 </dev/null &\nexit 0\n")
    cli.chmod(0o755)
    settings.CLI_PATH, settings.WORKSPACE_ROOT = str(cli), tmp_path / "workspaces"
    settings.CANCEL_GRACE_SECONDS = 0.1
    first, second = create(workspace, "one"), create(workspace, "two")
    loop.claim()
    wait_until(lambda: all_ended(loop), "they have ended")
    left = processes_of(str(first.pk))
    try:
        assert left
        refuse(second)
        for _ in range(5):
            loop.step_children()
            time.sleep(0.1)
        assert Operation.objects.get(pk=first.pk).status == "completed"
        assert processes_of(str(first.pk)) == left
    finally:
        for pid in processes_of(str(first.pk)) | processes_of(str(second.pk)):
            os.kill(pid, signal.SIGKILL)


def test_a_log_that_cannot_be_looked_at_is_no_trouble_for_the_others(
    journal: Path, workspace: Workspace, loop: Turn
) -> None:
    troubled, healthy = create(workspace, "hold-1"), create(workspace, "ok-2")
    loop.claim()
    stdout = files.directory_of(troubled.pk) / "stdout"
    stdout.unlink()
    stdout.symlink_to(stdout)  # a loop, as a bad disk would say EIO
    wait_until(lambda: loop.children[healthy.pk].is_ended, "it has ended")

    loop.step_children()

    assert Operation.objects.get(pk=healthy.pk).status == "completed"
    assert loop.children.keys() == {troubled.pk}
