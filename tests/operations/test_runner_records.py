"""What ended at once is recorded at once, and trouble with one is no trouble for the others."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction

from accounts.models import Workspace
from operations import runner
from operations.commands import Kind
from operations.models import Cluster, Operation, OperationTally, Runner, Server
from operations.runner import records
from operations.runner.child import Child
from operations.runner.turn import register
from operations.services import lifecycle
from operations.services.ending import End, Ending
from tests.factories import make_operation
from tests.operations.harness import events_of
from tests.processes import starts_of, wait_until

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
