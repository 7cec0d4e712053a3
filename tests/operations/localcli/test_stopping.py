"""TERM and INT: the script ends too, the files are whole, the lock is free."""

from __future__ import annotations

import fcntl
import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .harness import Cli, finish, is_alive, wait_until
from .test_server_status import is_waiting_for_a_lock

# A script that has a child of its own, and tells when TERM reached it.
SCRIPT = """#!/bin/sh
trap 'touch termed; exit 3' TERM
sleep 60 &
echo $! > pid.new; mv pid.new pid
wait
"""
STUBBORN = """#!/bin/sh
trap '' TERM
echo $$ > pid.new; mv pid.new pid
while :; do sleep 0.1; done
"""


def running_script(cli: Cli, script: str) -> tuple[subprocess.Popen[str], int]:
    """The process of a taskserv create, and the pid that its script wrote down."""
    cli.write("taskservs/cache/install.sh", script)
    process = cli.start("taskserv", "create", "cache")
    pid_file = cli.directory / "taskservs/cache/pid"
    wait_until(pid_file.exists, "the script runs")
    return process, int(pid_file.read_text())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_cli_alone_ends_the_script_and_its_children(
    tmp_path: Path, number: signal.Signals
) -> None:
    cli = Cli(tmp_path)
    process, grandchild = running_script(cli, SCRIPT)
    process.send_signal(number)
    ended = finish(process)
    assert ended.exit_code == 128 + number
    assert ended.error == f"Stopped by {number.name}."
    assert (cli.directory / "taskservs/cache/termed").exists()
    assert not is_alive(grandchild)


def test_what_was_stopped_is_told_as_failed_and_can_be_repeated(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    process, _ = running_script(cli, SCRIPT)
    process.terminate()
    finish(process)
    assert [t["status"] for t in cli.run("taskserv", "list").result] == ["failed"]
    assert cli.journal_events()[-1] == ("create taskserv cache", "ended", 143)
    cli.write("taskservs/cache/install.sh", "#!/bin/sh\n")
    assert cli.run("taskserv", "create", "cache").exit_code == 0


def test_a_script_that_ignores_term_is_killed_after_the_grace(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    process, script = running_script(cli, STUBBORN)
    process.terminate()
    assert finish(process).exit_code == 143
    assert not is_alive(script)


def test_an_impatient_second_signal_does_not_keep_the_end_from_being_written_down(
    tmp_path: Path,
) -> None:
    cli = Cli(tmp_path)
    process, _ = running_script(cli, SCRIPT.replace("touch termed", "touch termed; sleep 0.5"))
    process.terminate()
    wait_until((cli.directory / "taskservs/cache/termed").exists, "TERM reached the script")
    process.send_signal(signal.SIGINT)
    assert finish(process).exit_code == 143
    assert [t["status"] for t in cli.run("taskserv", "list").result] == ["failed"]
    assert cli.journal_events()[-1] == ("create taskserv cache", "ended", 143)


def test_a_run_that_waits_for_the_lock_can_be_stopped_before_it_did_anything(
    tmp_path: Path,
) -> None:
    cli = Cli(tmp_path)
    cli.create_server("web-01")
    before = cli.tree()
    with open(cli.directory / ".lock", "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = cli.start("server", "create", "web-02", "--plan", "p")
        wait_until(lambda: is_waiting_for_a_lock(process.pid), "it waits for the lock")
        process.terminate()
        assert finish(process).exit_code == 143
    assert cli.tree() == before


def test_the_script_stays_in_the_process_group_of_the_cli(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.write("taskservs/cache/install.sh", "#!/bin/sh\ncut -d' ' -f5,6 /proc/$$/stat > group\n")
    process = cli.start("taskserv", "create", "cache")
    finish(process)
    mine = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[2:4]
    assert (cli.directory / "taskservs/cache/group").read_text().split() == mine


@contextmanager
def closing(cli: Cli, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A process whose script has just ended, and which waits for the lock to write that down."""
    cli.write(
        "taskservs/cache/install.sh",
        "#!/bin/sh\ntouch ready\nwhile [ ! -e go ]; do sleep 0.02; done\n",
    )
    process = cli.start(*words)
    ready = cli.directory / "taskservs/cache/ready"
    wait_until(ready.exists, "the script runs")
    with open(cli.directory / ".lock", "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ready.with_name("go").touch()
        wait_until(lambda: is_waiting_for_a_lock(process.pid), "the script has ended")
        yield process


def test_a_signal_after_the_script_ended_does_not_stop_that_from_being_written_down(
    tmp_path: Path,
) -> None:
    cli = Cli(tmp_path)
    with closing(cli, "taskserv", "create", "cache") as process:
        process.terminate()
        time.sleep(0.2)
        assert process.poll() is None
    assert finish(process).result["status"] == "installed"
    assert cli.journal_events()[-1] == ("create taskserv cache", "ended", 0)


def test_a_signal_between_two_steps_of_a_batch_keeps_the_second_from_starting(
    tmp_path: Path,
) -> None:
    cli = Cli(tmp_path)
    cli.write("taskservs/second/install.sh", "#!/bin/sh\ntouch ran\n")
    steps = [
        {"id": name, "kind": "taskserv_create", "params": {"name": name}}
        for name in ("cache", "second")
    ]
    (tmp_path / "batch.json").write_text(json.dumps({"steps": steps}))
    with closing(cli, "batch", "submit", "batch.json") as process:
        process.terminate()
        time.sleep(0.2)
    assert finish(process).exit_code == 143
    [batch] = cli.run("batch", "list").result
    assert [step["status"] for step in batch["steps"]] == ["completed", "cancelled"]
    assert not (cli.directory / "taskservs/second/ran").exists()
