"""Driving the engine: turns in threads and in processes of their own, and what they left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from django.conf import settings
from django.db import connection, connections

from accounts.models import AuditEvent
from operations import logs, runner
from operations.models import Operation
from operations.runner import files
from tests.processes import WAIT_SECONDS, processes_of, wait_until

REPOSITORY = Path(__file__).parents[2]


class Background:
    """A thread whose exception comes out at `join`; its database connection is closed at its end."""

    def __init__(self, act: Callable[[], None]) -> None:
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, args=(act,))
        self.thread.start()

    def _run(self, act: Callable[[], None]) -> None:
        try:
            act()
        except BaseException as error:
            self.error = error
        finally:
            connections.close_all()

    def join(self, seconds: float = WAIT_SECONDS) -> None:
        self.thread.join(seconds)
        assert not self.thread.is_alive(), "the thread did not end"
        if self.error:
            raise self.error


@contextlib.contextmanager
def turning() -> Iterator[Background]:
    """A turn of the runner beside the test; at the end of the block it has ended."""
    turn = Background(runner.run_turn)
    try:
        yield turn
    finally:
        turn.join()


def database_url() -> str:
    """Where a process of its own finds the test database."""
    values = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{values['NAME']}"
    user = f"{values['USER']}@" if values["USER"] else ""
    return f"postgresql://{user}{values['HOST']}:{values['PORT'] or 5432}/{values['NAME']}"


TURN = "import django; django.setup(); from operations import runner; runner.run_turn()"


@contextlib.contextmanager
def turn_process(
    journal: Path, *, state: Path | None = None, code: str = TURN
) -> Iterator[subprocess.Popen[bytes]]:
    """A turn in a process of its own, on this host or (with another state directory) on another."""
    environment = {
        "PATH": os.environ["PATH"],
        "DJANGO_SETTINGS_MODULE": "provisioning.settings",
        "PROVISIONING_CONFIG": os.devnull,
        "PROVISIONING_STATE_DIR": str(state or settings.STATE_DIR),
        "PROVISIONING_DATABASE__URL": database_url(),
        "PROVISIONING_PROVISIONING__CLI_PATH": str(settings.CLI_PATH),
        "PROVISIONING_PROVISIONING__MAX_CONCURRENT_OPERATIONS": str(
            settings.MAX_CONCURRENT_OPERATIONS
        ),
        "PROVISIONING_PROVISIONING__CANCEL_GRACE_SECONDS": str(settings.CANCEL_GRACE_SECONDS),
        "PROVISIONING_PROVISIONING__PASS_ENVIRONMENT": "FAKE_CLI_JOURNAL",
        "FAKE_CLI_JOURNAL": str(journal),
    }
    process = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, env=environment)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        process.wait(WAIT_SECONDS)


def release(journal: Path) -> None:
    """Let the CLIs that hold go on."""
    Path(f"{journal}.go").touch()


def status_of(operation: Operation) -> str:
    operation.refresh_from_db()
    return operation.status


def wait_for_status(operation: Operation, status: str) -> None:
    wait_until(lambda: status_of(operation) == status, f"the operation is {status}")


def outcome_of(operation: Operation) -> tuple[str, str | None, int | None]:
    operation.refresh_from_db()
    return operation.status, operation.reason, operation.exit_code


def events_of(operation: Operation) -> list[str]:
    """The trail of one operation, its prefix left out: `["submitted", "started", "completed"]`."""
    rows = AuditEvent.objects.filter(target_id=str(operation.pk)).order_by("id")
    return [row.event.removeprefix("operation.") for row in rows]


def log_of(operation: Operation, stream: str | None = None) -> bytes:
    size = logs.size_of(operation, stream)
    return logs.read(operation, offset=0, limit=size + 1, stream=stream)


def assert_nothing_left(operation: Operation) -> None:
    """No process of it lives, and no file of it lies about."""
    assert processes_of(operation.pk) == set()
    assert not files.directory_of(operation.pk).exists()
