"""Several workers on one database: two hosts (state directories) with two workers each."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from accounts.models import Workspace
from operations.models import Operation, Runner
from tests.factories import make_operation
from tests.operations.harness import REPOSITORY, database_url
from tests.processes import (
    WAIT_SECONDS,
    install_fake_cli,
    most_at_once,
    processes_with,
    read_journal,
    runs_by_operation,
    wait_until,
)

LIMIT = 4
HOSTS = 10


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_four_workers_run_each_operation_once_in_order_within_the_limit(
    tmp_path: Path, workspace: Workspace, is_long: bool
) -> None:
    count = 2000 if is_long else 150
    hostnames = itertools.cycle(f"slow-10-{number}" for number in range(HOSTS))
    connections.close_all()

    with workers(tmp_path):
        here = Runner.objects.filter(role="worker")
        wait_until(lambda: here.count() == 4, "all four have come up", 60)
        assert len(set(here.values_list("host_id", flat=True))) == 2
        submitted = [
            make_operation(workspace, params={"hostname": hostname, "provider": "p", "plan": "q"})
            for hostname in itertools.islice(hostnames, count)
        ]
        wait_until(
            lambda: not Operation.objects.exclude(status="completed").exists(),
            "all have completed",
            900 if is_long else 120,
            pause=0.1,
        )

    lines = read_journal(tmp_path / "journal")
    assert runs_by_operation(lines) == {str(operation.pk): 1 for operation in submitted}
    assert 1 < most_at_once(lines) <= LIMIT
    wanted: dict[str, list[tuple[str, str]]] = defaultdict(list)
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for operation in submitted:
        wanted[operation.subject] += [(word, str(operation.pk)) for word in ("start", "end")]
    for line in lines:
        found[line.name].append((line.word, line.operation))
    assert found == wanted


@contextlib.contextmanager
def workers(root: Path) -> Iterator[None]:
    """Four `manage.py worker`, two on each of two hosts; at the end nothing of them is left."""
    environment: dict[str, Any] = {
        "PATH": os.environ["PATH"],
        "HOME": str(root),
        "PROVISIONING_CONFIG": os.devnull,
        "PROVISIONING_DATABASE__URL": database_url(),
        "PROVISIONING_PROVISIONING__CLI_PATH": str(install_fake_cli(root)),
        "PROVISIONING_PROVISIONING__MAX_CONCURRENT_OPERATIONS": str(LIMIT),
        "PROVISIONING_PROVISIONING__PASS_ENVIRONMENT": "FAKE_CLI_JOURNAL",
        "PROVISIONING_PROVISIONING__SYNC_MINUTES": "0",
        "PROVISIONING_QUEUE__POLL_SECONDS": "0.2",
        "FAKE_CLI_JOURNAL": str(root / "journal"),
    }
    states = [root / "one", root / "two"] * 2
    with contextlib.ExitStack() as stack:
        output = stack.enter_context((root / "output").open("wb"))
        processes = [
            subprocess.Popen(
                [sys.executable, "manage.py", "worker"],
                cwd=REPOSITORY,
                env=environment | {"PROVISIONING_STATE_DIR": str(state)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            for state in states
        ]
        try:
            yield
            for process in processes:
                process.send_signal(signal.SIGTERM)
            assert [process.wait(WAIT_SECONDS) for process in processes] == [0] * 4
        finally:
            for process in processes:
                process.kill()
                process.wait(WAIT_SECONDS)
            for pid in processes_with(f"FAKE_CLI_JOURNAL={root / 'journal'}"):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
