"""What Linux tells of processes, asked of real ones."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from operations import machine
from tests.processes import wait_until


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that leads a session of its own."""
    process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def test_a_program_name_may_hold_spaces_and_parentheses() -> None:
    text = "7 (a) b (c) S 1 5 6 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 9876 1 2"
    stat = machine.parse_stat(text)
    assert (stat.pid, stat.state, stat.parent, stat.group, stat.session) == (7, "S", 1, 5, 6)
    assert stat.started == 9876
    assert stat.is_alive


def test_our_own_process_is_known(sleeper: subprocess.Popen[bytes]) -> None:
    stat = machine.stat_of(sleeper.pid)
    assert stat is not None
    assert (stat.parent, stat.group, stat.session) == (os.getpid(), sleeper.pid, sleeper.pid)
    assert machine.is_same_process(sleeper.pid, stat.started)
    assert not machine.is_same_process(sleeper.pid, stat.started + 1)


def test_a_program_name_that_was_cut_within_a_character_hides_nothing(tmp_path: Path) -> None:
    program = tmp_path / ("a" * 14 + "ü")  # the kernel keeps 15 bytes of it
    shutil.copy("/bin/sleep", program)
    process = subprocess.Popen([program, "60"], start_new_session=True)
    try:
        stat = machine.stat_of(process.pid)
        assert stat is not None
        assert machine.members_of(None, process.pid) == [process.pid]
    finally:
        process.kill()
        process.wait()


def test_a_zombie_is_not_alive(sleeper: subprocess.Popen[bytes]) -> None:
    stat = machine.stat_of(sleeper.pid)
    assert stat is not None
    sleeper.kill()
    wait_until(lambda: not machine.is_same_process(sleeper.pid, stat.started), "it has died")
    assert machine.stat_of(sleeper.pid) is not None  # not reaped yet


def test_a_process_that_is_gone_has_no_stat(sleeper: subprocess.Popen[bytes]) -> None:
    sleeper.kill()
    sleeper.wait()
    assert machine.stat_of(sleeper.pid) is None
    assert machine.parent_of(sleeper.pid) == 0


def test_members_are_found_by_group_and_session(sleeper: subprocess.Popen[bytes]) -> None:
    assert machine.members_of(None, sleeper.pid) == [sleeper.pid]


def test_members_are_found_by_the_operations_id_in_their_environment() -> None:
    operation_id = uuid.uuid4()
    variable = f"{machine.OPERATION_VARIABLE}={operation_id}"
    escaped = subprocess.Popen(
        ["env", variable, "sleep", "60"], start_new_session=True, stdin=subprocess.DEVNULL
    )
    wait_until(lambda: machine.members_of(operation_id, None) == [escaped.pid], "it is found")
    assert machine.signal_members(operation_id, None, signal.SIGKILL) == [escaped.pid]
    assert escaped.wait(10) == -signal.SIGKILL
    assert machine.members_of(operation_id, None) == []


def test_nobody_belongs_to_an_unknown_operation() -> None:
    assert machine.members_of(uuid.uuid4(), None) == []


HOST_ID = """
import os, sys
from pathlib import Path
from django.conf import settings
directory = Path(sys.argv[1])
settings.configure()
from operations import machine
(directory / f"ready-{os.getpid()}").touch()
while not (directory / "go").exists():
    pass
for number in range(300):
    settings.STATE_DIR = directory / str(number)
    machine.host_id.cache_clear()
    print(machine.host_id())
"""


def test_processes_that_start_at_once_agree_on_the_host_id(tmp_path: Path) -> None:
    """Three that wait for each other and then ask in the same moment, for 300 state directories."""
    for number in range(300):
        (tmp_path / str(number)).mkdir()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", HOST_ID, str(tmp_path)],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        for _ in range(3)
    ]
    wait_until(lambda: len(list(tmp_path.glob("ready-*"))) == 3, "all of them wait")
    (tmp_path / "go").touch()
    said = [process.communicate(timeout=30)[0].decode().splitlines() for process in processes]
    stored = [(tmp_path / str(number) / "host_id").read_text() for number in range(300)]
    assert said == [stored] * 3
    assert all(str(uuid.UUID(text)) == text for text in stored)
    assert list(tmp_path.glob("*/.host_id.*")) == []


def test_the_host_id_stays(settings: Any) -> None:
    machine.host_id.cache_clear()
    first = machine.host_id()
    machine.host_id.cache_clear()
    assert machine.host_id() == first
