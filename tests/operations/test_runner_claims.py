"""Claims: the limit, the order, and that no operation ever runs twice, whoever tries."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections
from django.utils import timezone

from accounts.models import AuditEvent, Workspace
from operations import runner
from operations.models import Operation, Runner
from operations.runner import signals
from operations.runner.turn import register, remove_dead_runners
from operations.services import lifecycle
from operations.services.ending import Ending
from tests.factories import make_operation
from tests.operations.harness import Background, release, turn_process, turning, wait_for_status
from tests.processes import (
    most_at_once,
    read_journal,
    runs_by_operation,
    starts_of,
    wait_until,
)

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)

COMPLETED = Ending(Operation.Status.COMPLETED, None, 0)


def submit(workspace: Workspace, hostname: str, **fields: Any) -> Operation:
    params = {"hostname": hostname, "provider": "p", "plan": "q"}
    return make_operation(workspace, params=params, **fields)


def statuses() -> set[str]:
    return set(Operation.objects.values_list("status", flat=True))


def test_no_more_run_at_once_than_the_limit_allows(
    journal: Path, workspace: Workspace, settings: Any
) -> None:
    settings.MAX_CONCURRENT_OPERATIONS = 3
    for index in range(12):
        submit(workspace, f"sleep-0.2-{index}")
    runner.run_turn()
    lines = read_journal(journal)
    assert 1 < most_at_once(lines) <= 3
    assert statuses() == {"completed"}
    assert set(runs_by_operation(lines).values()) == {1}


def test_first_come_first_served(journal: Path, workspace: Workspace, settings: Any) -> None:
    settings.MAX_CONCURRENT_OPERATIONS = 1
    operations = [submit(workspace, f"ok-{index}") for index in range(8)]
    runner.run_turn()
    started = [line.operation for line in read_journal(journal) if line.word == "start"]
    assert started == [str(operation.pk) for operation in operations]


def test_a_freed_slot_is_given_to_the_next_at_once(
    journal: Path, workspace: Workspace, settings: Any
) -> None:
    settings.MAX_CONCURRENT_OPERATIONS = 2
    holding = submit(workspace, "hold-1")
    for index in range(5):
        submit(workspace, f"ok-{index}")
    with turning():
        wait_until(lambda: Operation.objects.filter(status="completed").count() == 5, "five ended")
        assert Operation.objects.get(pk=holding.pk).status == "running"
        release(journal)


def test_work_that_comes_during_a_turn_is_started_by_it(
    journal: Path, workspace: Workspace
) -> None:
    submit(workspace, "hold-1")
    with turning():
        wait_until(lambda: read_journal(journal), "the first one runs")
        later = submit(workspace, "ok-2")
        wait_for_status(later, "completed")
        release(journal)


def test_what_is_not_ready_or_not_yet_due_is_left_alone(
    journal: Path, workspace: Workspace
) -> None:
    submit(workspace, "ok-1", is_ready=False)
    submit(workspace, "ok-2", eligible_at=timezone.now() + timedelta(hours=1))
    runner.run_turn()
    assert statuses() == {"pending"}
    assert read_journal(journal) == []


def test_a_second_turn_on_the_same_host_does_nothing(journal: Path, workspace: Workspace) -> None:
    first = submit(workspace, "hold-1")
    with turning():
        wait_until(lambda: read_journal(journal), "the first one runs")
        assert runner.is_running_here()
        runner.run_turn()  # returns at once
        release(journal)
        wait_for_status(first, "completed")
    assert not runner.is_running_here()
    assert starts_of(journal, first) == 1


def test_four_claimers_never_take_one_twice_nor_pass_the_limit(
    journal: Path, workspace: Workspace, settings: Any
) -> None:
    settings.MAX_CONCURRENT_OPERATIONS = 3
    operations = [make_operation(workspace) for _ in range(24)]
    begin = threading.Barrier(4)
    seen: list[int] = []

    def claim_until_nothing_is_left() -> None:
        me = register(Runner.Role.TURN)
        begin.wait()
        while Operation.objects.exclude(status__in=Operation.FINAL).exists():
            for operation in lifecycle.claim_operations(runner=me):
                seen.append(lifecycle.running().count())
                assert lifecycle.finish_operation(
                    operation=operation, token=operation.fencing_token, ending=COMPLETED
                )

    threads = [Background(claim_until_nothing_is_left) for _ in range(4)]
    for thread in threads:
        thread.join()
    assert len(seen) == 24
    assert max(seen) <= 3
    started = AuditEvent.objects.filter(event="operation.started").values_list("target_id")
    assert sorted(row[0] for row in started) == sorted(str(op.pk) for op in operations)
    assert set(Operation.objects.values_list("fencing_token", flat=True)) == {1}


def test_workers_of_four_hosts_share_one_database(
    journal: Path, workspace: Workspace, settings: Any, tmp_path: Path
) -> None:
    settings.MAX_CONCURRENT_OPERATIONS = 5
    for index in range(30):
        submit(workspace, f"sleep-0.05-{index}")
    connections.close_all()
    with contextlib.ExitStack() as stack:
        hosts = [tmp_path / f"host{index}" for index in range(4)]
        turns = [stack.enter_context(turn_process(journal, state=host)) for host in hosts]
        for turn in turns:
            assert turn.wait(120) == 0
    assert statuses() == {"completed"}
    lines = read_journal(journal)
    assert set(runs_by_operation(lines).values()) == {1}
    assert len(runs_by_operation(lines)) == 30
    assert most_at_once(lines) <= 5


def test_what_becomes_due_between_two_claims_is_taken_by_the_second(workspace: Workspace) -> None:
    due = timezone.now() + timedelta(seconds=1)
    operation = make_operation(workspace, eligible_at=due)
    me = register(Runner.Role.TURN)
    assert lifecycle.claim_operations(runner=me) == []
    wait_until(lambda: timezone.now() > due, "it is due")
    assert lifecycle.claim_operations(runner=me) == [operation]


def test_a_worker_that_was_silent_for_a_day_is_forgotten_and_returns_with_its_next_sign(
    workspace: Workspace,
) -> None:
    rows = {"host_id": "elsewhere", "host_name": "gone", "boot_id": "x", "pid": 1, "pid_started": 1}
    silent = [
        Runner.objects.create(
            role=Runner.Role.WORKER, heartbeat_at=timezone.now() - timedelta(hours=hours), **rows
        )
        for hours in (23, 25)
    ]
    me = register(Runner.Role.TURN)

    remove_dead_runners(me)

    assert set(Runner.objects.all()) == {me, silent[0]}
    silent[1].save()
    assert Runner.objects.count() == 3


def test_a_claim_names_its_runner_host_and_boot(journal: Path, workspace: Workspace) -> None:
    make_operation(workspace)
    me = register(Runner.Role.TURN)
    [operation] = lifecycle.claim_operations(runner=me)
    operation.refresh_from_db()
    assert (operation.runner, operation.host_id) == (me.pk, me.host_id)
    assert (operation.boot_id, operation.fencing_token) == (me.boot_id, 1)


def test_a_draining_turn_starts_nothing_and_ends_with_its_last_child(
    journal: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = submit(workspace, "hold-1")
    monkeypatch.setattr(signals, "_drain", threading.Event())
    with turning():
        wait_until(lambda: read_journal(journal), "the first one runs")
        signals.want(signals.Stop.DRAIN)
        second = submit(workspace, "ok-2")
        release(journal)
        wait_for_status(first, "completed")
    second.refresh_from_db()
    assert second.status == "pending"


def test_a_claim_reads_nothing_of_what_has_ended(workspace: Workspace) -> None:
    pending = [submit(workspace, f"web-{number}").pk for number in range(10)]
    assert [operation.pk for operation in lifecycle.claimable()] == pending
    effort = effort_of_a_claim()

    now = timezone.now()
    Operation.objects.bulk_create(
        [
            Operation(
                kind="server_create",
                workspace=workspace,
                workspace_name=workspace.name,
                status=Operation.Status.COMPLETED,
                lock=f"server:old-{number}",
                created_at=now,
                finished_at=now,
                timeout_seconds=60,
            )
            for number in range(2000)
        ]
    )
    if connection.vendor == "postgresql":  # whose autovacuum does so; nobody does on SQLite
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE operations_operation")

    assert [operation.pk for operation in lifecycle.claimable()] == pending
    assert effort_of_a_claim() < 3 * effort + 500


def effort_of_a_claim() -> int:
    """Steps of SQLite's machine in hundreds, or rows that PostgreSQL looked at."""
    rows = lifecycle.claimable()
    if connection.vendor == "sqlite":
        steps = itertools.count()
        connection.connection.set_progress_handler(lambda: next(steps) * 0, 100)
        list(rows)
        connection.connection.set_progress_handler(None, 0)
        return next(steps)
    plan = json.loads(rows.explain(format="json", analyze=True))
    return sum(map(rows_of, nodes_of(plan[0]["Plan"])))


def nodes_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes_of(part)


def rows_of(node: dict[str, Any]) -> int:
    return int((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
