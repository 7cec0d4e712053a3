"""Wakes by a real Redis: heard at once, and missed by nobody when it goes away."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_client
from django.db import transaction

from accounts.models import Workspace
from operations import redis_wake, runner, wake
from operations.broker import TableBroker
from operations.models import Operation
from tests.factories import make_operation
from tests.operations.harness import Background, status_of
from tests.operations.test_broker import function_of
from tests.processes import wait_until

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)
PASSWORD = "never-to-be-seen"


class Redis:
    """A server of this test's own, which can be ended and started again."""

    def __init__(self, home: Path) -> None:
        self.home = home
        with socket.create_server(("127.0.0.1", 0)) as found:
            self.port = int(found.getsockname()[1])
        self.url = f"redis://:{PASSWORD}@127.0.0.1:{self.port}/3"
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        program = shutil.which("redis-server")
        assert program, "redis-server is missing: the package redis-server has it"
        settings = ["--port", str(self.port), "--bind", "127.0.0.1", "--requirepass", PASSWORD]
        settings += ["--save", "", "--appendonly", "no", "--dir", str(self.home)]
        self.process = subprocess.Popen([program, *settings], stdout=subprocess.DEVNULL)
        wait_until(self.answers, "Redis answers")

    def answers(self) -> bool:
        with redis_client.Redis.from_url(self.url) as client:
            try:
                return bool(client.ping())
            except redis_client.RedisError:
                return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(30)
            self.process = None


@pytest.fixture
def redis(tmp_path: Path, settings: Any) -> Iterator[Redis]:
    server = Redis(tmp_path)
    settings.QUEUE_BROKER = server.url
    settings.QUEUE_POLL_SECONDS = 0.05
    try:
        yield server
    finally:
        server.stop()
        redis_wake._client.cache_clear()


def test_everybody_hears_a_submission_after_its_commit(redis: Redis, workspace: Workspace) -> None:
    with wake.listening() as first, wake.listening() as second:
        with transaction.atomic():
            make_operation(workspace)
            assert not wake.wait(first, 0.1)
        assert wake.wait(first, 5)
        assert wake.wait(second, 5)
        assert not wake.wait(first, 0.1)  # heard once


def test_a_waiting_broker_gives_the_nudge_as_soon_as_work_comes(
    redis: Redis, workspace: Workspace, settings: Any
) -> None:
    settings.QUEUE_POLL_SECONDS = 30
    found: list[str | None] = []

    def wait_for_work() -> None:
        mine = TableBroker()
        mine.dequeue()  # ends with the wake
        found.append(function_of(mine.dequeue()))
        mine._reconnect()

    thread = Background(wait_for_work)
    wait_until(lambda: listeners_of(redis) == 1, "the broker listens")
    make_operation(workspace)
    thread.join(10)

    assert found == ["operations.tasks.run_pending"]


def listeners_of(redis: Redis) -> int:
    with redis_client.Redis.from_url(redis.url) as client:
        ((_, count),) = client.pubsub_numsub(redis_wake.CHANNEL)
        return int(count)


def test_while_it_is_away_work_is_taken_and_found_by_the_poll(
    redis: Redis, workspace: Workspace, journal: Path, caplog: pytest.LogCaptureFixture
) -> None:
    queue = TableBroker()
    assert queue.dequeue() is None
    redis.stop()

    operation = make_operation(workspace, params={"hostname": "ok-1", "provider": "p", "plan": "q"})
    wait_until(lambda: function_of(queue.dequeue()), "the poll found it")
    runner.run_turn()

    assert status_of(operation) == "completed"
    assert "Redis" in caplog.text and PASSWORD not in caplog.text
    queue._reconnect()


def test_when_it_is_back_it_is_heard_again(
    redis: Redis, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_wake, "AWAY_SECONDS", 0.2)
    queue = TableBroker()
    assert queue.dequeue() is None
    redis.stop()
    for _ in range(5):
        assert queue.dequeue() is None
    redis.start()

    def is_heard() -> bool:
        queue.dequeue()
        return listeners_of(redis) == 1

    wait_until(is_heard, "the broker listens again")
    queue._reconnect()


def test_a_turn_goes_on_when_it_goes_away(
    redis: Redis, workspace: Workspace, journal: Path
) -> None:
    params = {"hostname": "hold-1", "provider": "p", "plan": "q"}
    operation = make_operation(workspace, params=params)
    turn = Background(runner.run_turn)
    wait_until(lambda: status_of(operation) == "running", "it runs")
    redis.stop()
    time.sleep(0.3)
    Path(f"{journal}.go").touch()
    turn.join(60)

    assert status_of(operation) == "completed"
    assert Operation.objects.count() == 1
