"""The broker and the wake: work is noticed at once, and nothing is nudged in vain."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import DatabaseError, connection, transaction
from django.utils import timezone
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from accounts.models import Workspace
from operations import broker, runner, wake, worker
from operations.broker import TableBroker
from operations.models import Operation, Runner
from operations.runner.turn import register
from operations.services import lifecycle
from tests.factories import make_operation
from tests.operations.harness import Background
from tests.operations.test_runner_adoption import terminate_other_connections
from tests.processes import wait_until

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)


@pytest.fixture
def queue(settings: Any) -> Iterator[TableBroker]:
    settings.QUEUE_POLL_SECONDS = 0.05
    made = TableBroker()
    yield made
    made._reconnect()


def function_of(found: list[tuple[object, str]] | None) -> str | None:
    return SignedPackage.loads(found[0][1])["func"] if found else None


def test_an_idle_queue_gives_nothing(queue: TableBroker) -> None:
    assert queue.dequeue() is None


def test_a_pending_operation_is_a_nudge(queue: TableBroker, workspace: Workspace) -> None:
    make_operation(workspace)
    assert function_of(queue.dequeue()) == "operations.tasks.run_pending"


def test_a_job_of_a_schedule_is_given_once(queue: TableBroker) -> None:
    queue.enqueue(SignedPackage.dumps({"func": "operations.tasks.sync_inventory"}))
    assert function_of(queue.dequeue()) == "operations.tasks.sync_inventory"
    assert queue.dequeue() is None
    assert not OrmQ.objects.exists()


@pytest.mark.parametrize(
    "fields",
    [{"is_ready": False}, {"eligible_at": timezone.now() + timedelta(hours=1)}],
)
def test_what_cannot_run_yet_is_no_work(
    workspace: Workspace, queue: TableBroker, fields: dict[str, Any]
) -> None:
    make_operation(workspace, **fields)
    assert queue.dequeue() is None


def test_at_the_limit_there_is_no_work(
    workspace: Workspace, queue: TableBroker, settings: Any
) -> None:
    settings.MAX_CONCURRENT_OPERATIONS = 1
    make_operation(workspace)
    lifecycle.claim_operations(runner=register(Runner.Role.FOREGROUND))
    make_operation(workspace)
    assert queue.dequeue() is None


def test_what_a_live_runner_watches_is_no_work(workspace: Workspace, queue: TableBroker) -> None:
    """A foreground run must not make the cluster start turn after turn."""
    make_operation(workspace)
    lifecycle.claim_operations(runner=register(Runner.Role.FOREGROUND))
    assert not broker.has_work()


def test_what_a_dead_runner_left_is_work_at_once(workspace: Workspace) -> None:
    make_operation(workspace)
    dead = register(Runner.Role.TURN)
    lifecycle.claim_operations(runner=dead)
    Runner.objects.filter(pk=dead.pk).update(pid_started=1)  # its number is another's by now
    assert broker.has_work()


def test_what_another_host_runs_is_no_work(workspace: Workspace) -> None:
    make_operation(workspace)
    lifecycle.claim_operations(runner=register(Runner.Role.TURN))
    Operation.objects.update(host_id="another", runner=None)
    assert not broker.has_work()


def test_a_cluster_that_lets_new_work_wait_is_seen(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = worker.Worker()
    make_operation(workspace)
    assert not supervisor.is_stuck()  # it has only begun to wait
    monkeypatch.setattr(worker, "STUCK_SECONDS", 0.0)
    assert supervisor.is_stuck()

    lifecycle.claim_operations(runner=register(Runner.Role.TURN))
    assert not supervisor.is_stuck()
    assert supervisor.waits_since is None


def test_a_cluster_that_leaves_a_dead_runners_work_alone_is_seen(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing can be claimed: what runs unattended is all there is."""
    supervisor = worker.Worker()
    make_operation(workspace)
    dead = register(Runner.Role.TURN)
    lifecycle.claim_operations(runner=dead)
    assert not supervisor.is_stuck()
    assert supervisor.waits_since is None

    Runner.objects.filter(pk=dead.pk).update(pid_started=1)
    assert not supervisor.is_stuck()
    monkeypatch.setattr(worker, "STUCK_SECONDS", 0.0)
    assert supervisor.is_stuck()


def test_while_the_database_is_away_work_does_not_wait_for_a_runner(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1000.0]

    def away() -> bool:
        raise DatabaseError("away")

    monkeypatch.setattr("operations.worker.time.monotonic", lambda: now[0])
    monkeypatch.setattr(runner, "is_running_here", lambda: False)
    monkeypatch.setattr(broker, "has_work", lambda: True)
    watched = worker.Worker()
    assert not watched.is_stuck()
    monkeypatch.setattr(broker, "has_work", away)
    for _ in range(20):
        now[0] += 3
        with pytest.raises(DatabaseError):
            watched.is_stuck()
    monkeypatch.setattr(broker, "has_work", lambda: True)
    now[0] += 3
    assert not watched.is_stuck()


@pytest.mark.parametrize(
    ("silent_seconds", "changes", "is_blocked"),
    [
        (70, {}, True),
        (40, {}, False),  # busy
        (70, {"pid_started": 1}, False),  # dead, and its pid another's
        (70, {"host_id": "elsewhere"}, False),
        (70, {"role": "foreground"}, False),  # a person may stop it by Ctrl-Z
    ],
)
def test_a_turn_that_stands_still_is_seen(
    silent_seconds: int, changes: dict[str, Any], is_blocked: bool
) -> None:
    turn = register(Runner.Role.TURN)
    heartbeat = timezone.now() - timedelta(seconds=silent_seconds)
    Runner.objects.filter(pk=turn.pk).update(heartbeat_at=heartbeat, **changes)

    assert worker.is_blocked() is is_blocked


def test_a_submission_wakes_who_waits(workspace: Workspace) -> None:
    with wake.listening() as listener:
        assert not wake.wait(listener, 0)
        make_operation(workspace)
        assert wake.wait(listener, 5)
        assert not wake.wait(listener, 0.05)  # heard once


def test_a_wake_waits_for_the_commit() -> None:
    with wake.listening() as listener:
        with transaction.atomic():
            wake.send()
            assert not wake.wait(listener, 0.05)
        assert wake.wait(listener, 5)


def test_a_wake_of_a_transaction_that_failed_is_not_heard() -> None:
    with wake.listening() as listener:
        with transaction.atomic():
            wake.send()
            transaction.set_rollback(True)
        assert not wake.wait(listener, 0.05)


def test_everybody_hears_a_wake() -> None:
    with wake.listening() as first, wake.listening() as second:
        wake.send()
        assert wake.wait(first, 5)
        assert wake.wait(second, 5)


def test_a_waiting_broker_gives_the_nudge_as_soon_as_work_comes(
    workspace: Workspace, queue: TableBroker, settings: Any
) -> None:
    settings.QUEUE_POLL_SECONDS = 30
    found: list[str | None] = []

    def wait_for_work() -> None:
        mine = TableBroker()
        mine.dequeue()  # ends with the wake
        found.append(function_of(mine.dequeue()))
        mine._reconnect()

    thread = Background(wait_for_work)
    time.sleep(0.2)
    make_operation(workspace)
    thread.join(5)
    assert found == ["operations.tasks.run_pending"]


def test_a_full_socket_does_not_hold_the_sender() -> None:
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL carries the wakes itself")
    with wake.listening() as listener:
        for _ in range(2000):
            wake.send()
        assert wake.wait(listener, 1)


def test_the_socket_of_a_dead_listener_is_removed_by_the_next_wake() -> None:
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL carries the wakes itself")
    sockets = Path(django_settings.STATE_DIR) / "sockets"
    listener = wake.SocketListener()
    listener._socket.close()  # as when its process was killed
    assert listener._name in os.listdir(sockets)
    wake.send()
    assert listener._name not in os.listdir(sockets)
    listener.close()


def test_a_broker_goes_on_when_its_connections_break(
    workspace: Workspace, queue: TableBroker
) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no connections that could break")
    assert queue.dequeue() is None
    broken = queue._listener
    assert terminate_other_connections() >= 1
    # Noticed within a few waits, answered by nothing worse than an empty queue.
    wait_until(
        lambda: queue.dequeue() is None and queue._listener not in (broken, None), "it has noticed"
    )
    make_operation(workspace)
    assert function_of(queue.dequeue()) == "operations.tasks.run_pending"
    assert queue._listener is not None
    assert wake.wait(queue._listener, 5)
