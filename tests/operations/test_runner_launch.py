"""A launcher that comes up too late, and trouble with one operation among others."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from accounts.models import Workspace
from operations import runner
from operations.logs import LogWriter
from operations.models import Operation
from operations.runner import child, launch
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
    copy = LogWriter.copy
    failures: list[LogWriter] = []

    def full_disk_at_first(writer: LogWriter, token: int, **more: Any) -> None:
        if writer.operation_id == troubled.pk and len(failures) < 3:
            failures.append(writer)
            raise OSError(28, "No space left on device")
        copy(writer, token, **more)

    monkeypatch.setattr(LogWriter, "copy", full_disk_at_first)

    runner.run_turn()

    assert len(failures) == 3
    for operation in (troubled, healthy):
        operation.refresh_from_db()
        assert operation.status == "completed"
        assert fake_cli.read_text().count(f"start {operation.pk}") == 1
