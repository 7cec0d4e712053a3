"""A launcher that comes up too late, and trouble with one operation among others."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from accounts.models import Workspace
from operations import runner
from operations.logs import LogWriter
from operations.models import Operation, Runner
from operations.runner import child, launch, turn
from operations.runner.turn import register
from operations.services import lifecycle
from tests.factories import make_operation

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)


def submitted(hostname: str) -> Operation:
    workspace, _ = Workspace.objects.get_or_create(name="production")
    return make_operation(workspace, params={"hostname": hostname, "provider": "p", "plan": "q"})


def test_a_launcher_that_was_given_up_runs_nothing_when_it_comes_up_late(
    fake_cli: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "slow-launcher.sh"
    slow.write_text(f'#!/bin/sh\nsleep 0.3\nexec /bin/sh "{launch.LAUNCHER}" "$@"\n')
    monkeypatch.setattr(launch, "LAUNCHER", slow)
    monkeypatch.setattr(child, "LAUNCH_PATIENCE_SECONDS", 0.0)
    operation = submitted("ok-1")

    runner.run_turn()
    time.sleep(0.6)  # longer than the launcher sleeps: it has had its chance

    operation.refresh_from_db()
    assert (operation.status, operation.reason) == ("failed", "spawn_failed")
    assert not fake_cli.exists()


def test_trouble_with_one_operation_is_none_for_the_others(
    fake_cli: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    troubled, healthy = submitted("ok-troubled"), submitted("ok-healthy")
    read = LogWriter.read
    failures: list[LogWriter] = []

    def full_disk_at_first(writer: LogWriter, **more: Any) -> Any:
        if writer.operation_id == troubled.pk and len(failures) < 4:
            failures.append(writer)
            raise OSError(28, "No space left on device")
        return read(writer, **more)

    monkeypatch.setattr(LogWriter, "read", full_disk_at_first)

    runner.run_turn()

    assert len(failures) == 4
    for operation in (troubled, healthy):
        operation.refresh_from_db()
        assert operation.status == "completed"
        assert fake_cli.read_text().count(f"start {operation.pk}") == 1


def test_an_operation_that_cannot_be_started_at_all_is_no_trouble_for_the_others(
    fake_cli: Path,
) -> None:
    troubled = make_operation(
        Workspace.objects.create(name="production"),
        # The kernel takes no argument of more than 128 KiB.
        params={"hostname": "ok-troubled", "provider": 200_000 * "p", "plan": "q"},
    )
    healthy = submitted("ok-healthy")

    runner.run_turn()

    troubled.refresh_from_db()
    healthy.refresh_from_db()
    assert (troubled.status, troubled.reason) == ("failed", "spawn_failed")
    assert healthy.status == "completed"


def test_an_operation_that_cannot_be_adopted_yet_is_no_trouble_for_the_others(
    fake_cli: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    troubled, healthy = submitted("ok-troubled"), submitted("ok-healthy")
    lifecycle.claim_operations(runner=register(Runner.Role.TURN), only=troubled)
    Runner.objects.all().delete()
    monkeypatch.setattr(turn, "HEARTBEAT_SECONDS", 0.01)
    adopt = child.Child.adopt
    failures: list[child.Child] = []

    def unreadable_at_first(one: child.Child) -> None:
        if len(failures) < 3:
            failures.append(one)
            raise PermissionError(13, "Permission denied")
        adopt(one)

    monkeypatch.setattr(child.Child, "adopt", unreadable_at_first)

    runner.run_turn(linger=1.0)

    for operation in (troubled, healthy):
        operation.refresh_from_db()
        assert operation.status == "completed"
    assert len(failures) == 3
