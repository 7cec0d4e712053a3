"""server status: a real probe of a real port."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import Any

import pytest

from .harness import Cli, Ended, closed_port, finish, listening, wait_until


def create_on(cli: Cli, port: int, *words: str) -> Any:
    return cli.create_server("web-01", "--port", str(port), *words)


def status(cli: Cli) -> Ended:
    return cli.run("server", "status", "web-01", "--infra", "production")


def test_a_port_that_accepts_connections_is_running(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    with listening() as port:
        created = create_on(cli, port)
        ended = status(cli)
    assert ended.exit_code == 0
    observed_at = ended.result.pop("observed_at")
    assert observed_at >= created["created_at"]
    assert {**ended.result, "observed_at": None} == {
        **created,
        "status": "running",
        "observed_at": None,
    }


def test_a_closed_port_is_unreachable_and_no_failure(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    create_on(cli, closed_port())
    ended = status(cli)
    assert (ended.exit_code, ended.result["status"]) == (0, "unreachable")


def test_a_name_that_does_not_resolve_is_unreachable(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    create_on(cli, 22, "--address", "no-such-host.invalid")
    assert status(cli).result["status"] == "unreachable"


def test_the_list_says_what_was_seen_last(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    with listening() as port:
        create_on(cli, port)
        status(cli)
        assert [s["status"] for s in cli.run("server", "list").result] == ["running"]
    status(cli)
    assert [s["status"] for s in cli.run("server", "list").result] == ["unreachable"]


def test_looking_is_no_change_that_the_journal_would_tell(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    create_on(cli, closed_port())
    before = cli.journal()
    status(cli)
    assert cli.journal() == before


def test_a_server_deleted_during_the_probe_stays_deleted(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    create_on(cli, closed_port())
    file = cli.directory / "servers/web-01.json"
    with open(cli.directory / ".lock", "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = cli.start("server", "status", "web-01")
        wait_until(lambda: is_waiting_for_a_lock(process.pid), "the probe is over")
        file.unlink()
    assert finish(process).exit_code == 0
    assert not file.exists()


def is_waiting_for_a_lock(pid: int) -> bool:
    """/proc/locks marks who waits by `->` (man 5 proc_locks)."""
    return any(
        "->" in line and f" {pid} " in line for line in Path("/proc/locks").read_text().splitlines()
    )


@pytest.mark.parametrize("form", ["json", "text"])
def test_both_forms_tell_the_status(tmp_path: Path, form: str) -> None:
    cli = Cli(tmp_path)
    create_on(cli, closed_port())
    assert "unreachable" in cli.run("server", "status", "web-01", "--out", form).stdout
