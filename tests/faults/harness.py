"""A real server to kill parts of, and the truth about an operation by who saw it: the CLI's journal,
its log, its processes, its files."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from tests.live.harness import LiveServer
from tests.processes import processes_of, read_journal, starts_of, wait_until

RECOVERY_SECONDS = 60.0  # a machine that is busy with other tests, too
FINAL = ("completed", "failed", "cancelled")

RUNNER, CLUSTER, SUPERVISOR = "runner", "cluster", "supervisor"


class Outcome(NamedTuple):
    status: str
    reason: str | None
    exit_code: int | None


COMPLETED = Outcome("completed", None, 0)


class FaultServer(LiveServer):
    """A server and its processes by the part they play."""

    def turn(self) -> int:
        """The process that runs the turn, which is the one that holds the host's lock; 0 without."""
        with contextlib.suppress(FileNotFoundError):
            return holder_of(self.state / "runner.lock")
        return 0

    def victims(self, name: str) -> set[int]:
        """Whose death it is when this one is killed."""
        worker = self.part("worker")
        match name:
            case "runner":
                return {self.turn()} - {0}
            case "cluster":
                turn = self.turn()
                above = {pid: ancestors_of(pid) - {pid} for pid in self.processes() - {worker}}
                # What the turn has just forked is a launcher that has not yet left our session: whoever
                # kills that has killed an operation.
                return {pid for pid, line in above.items() if worker in line and turn not in line}
            case "supervisor":
                return {worker} - {0}
        raise ValueError(name)

    def start_turn(self) -> None:
        """Something runs already when the fault comes; a turn lingers after its last operation."""
        first = self.create_server("ok-first")
        self.wait_for(first["id"], "completed", seconds=RECOVERY_SECONDS)
        wait_until(self.turn, "there is a turn", RECOVERY_SECONDS)

    def release(self, name: str) -> None:
        """Let the CLI of this name, which holds, go on."""
        Path(f"{self.journal}.go-{name}").touch()

    def words_of(self, operation_id: str) -> list[str]:
        return [line.word for line in read_journal(self.journal) if line.operation == operation_id]

    def wait_for_word(self, operation_id: str, word: str, times: int = 1) -> None:
        wait_until(
            lambda: self.words_of(operation_id).count(word) >= times,
            f"the journal says {word}",
            RECOVERY_SECONDS,
        )

    def directory_of(self, operation_id: str) -> Path:
        return self.state / "operations" / operation_id

    def wait_for_file(self, operation_id: str, name: str) -> None:
        path = self.directory_of(operation_id) / name
        wait_until(path.exists, f"there is a file {name}", RECOVERY_SECONDS)

    def log_of(self, operation_id: str, stream: str) -> str:
        answer = self.client.get(
            f"/v1/operations/{operation_id}/log",
            params={"stream": stream, "limit": 4 * 1024 * 1024},
        )
        assert answer.status_code == 200, answer.text
        return answer.content.decode()

    @contextlib.contextmanager
    def holding_writes(self, seconds: float = 30.0) -> Iterator[None]:
        """Nobody else can write an operation meanwhile. Raises an error of the database when somebody
        else is at it for so long."""
        url = self.environment.get("PROVISIONING_DATABASE__URL")
        if url:
            with psycopg.connect(url) as postgresql:
                postgresql.execute(f"SET LOCAL lock_timeout = '{seconds}s'")
                postgresql.execute("LOCK TABLE operations_operation IN EXCLUSIVE MODE")
                yield
            return
        sqlite = sqlite3.connect(self.state / "db.sqlite3", isolation_level=None, timeout=seconds)
        try:
            sqlite.execute("BEGIN IMMEDIATE")
            yield
            sqlite.execute("ROLLBACK")
        finally:
            sqlite.close()

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        """The turn is stopped, at a moment when it holds nothing that the others need to write."""

        def stops() -> bool:
            kill({turn}, signal.SIGSTOP)
            try:
                with self.holding_writes(0.1):
                    return True
            except (sqlite3.OperationalError, psycopg.errors.LockNotAvailable):
                kill({turn}, signal.SIGCONT)
                return False

        turn = self.turn()
        try:
            wait_until(stops, "the turn stands still")
            yield
        finally:
            kill({turn}, signal.SIGCONT)

    def ends_of(self, operation_id: str) -> list[str]:
        """What the audit trail tells of its end: `["completed"]`."""
        rows = self.get("/v1/audit", target=operation_id)
        words = [row["event"].removeprefix("operation.") for row in rows]
        return [word for word in words if word in FINAL]

    # --- The truth -----------------------------------------------------------------------------

    def assert_outcome(self, operation_id: str, wanted: Outcome, *, runs: int = 1) -> None:
        """It ends so, has run so often, and leaves neither a process nor a file."""
        ended = self.wait_for(operation_id, *FINAL, seconds=RECOVERY_SECONDS)
        found = Outcome(ended["status"], ended["reason"], ended["exit_code"])
        assert found == wanted, ended
        assert starts_of(self.journal, operation_id) == runs
        assert processes_of(operation_id) == set()
        wait_until(
            lambda: not self.directory_of(operation_id).exists(),
            "its directory is gone",
            RECOVERY_SECONDS,
        )
        assert self.ends_of(operation_id) == [wanted.status]

    def assert_log(self, operation_id: str, name: str) -> None:
        """Every byte of a CLI that printed numbered lines, once."""
        assert self.log_of(operation_id, "stdout") == numbered_output(name)
        assert self.log_of(operation_id, "stderr") == numbered_errors(name)


def numbered_output(name: str) -> str:
    """What `lines-N`, `slow-N` and `paced-N` of the fake CLI print."""
    lines = "".join(f"out {index} é\n" for index in range(int(name.split("-")[1])))
    result = {"hostname": name, "name": name, "ip_address": "192.0.2.1", "status": "running"}
    return f"{lines}working on {name}\n{json.dumps(result)}\n"


def numbered_errors(name: str) -> str:
    return "".join(f"err {index}\n" for index in range(int(name.split("-")[1])))


def kill(pids: Iterable[int], number: signal.Signals = signal.SIGKILL) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def kill_at_once(pids: Iterable[int]) -> None:
    """All are stopped first: none lives on to see, and to record, the end of another."""
    victims = sorted(pids)
    kill(victims, signal.SIGSTOP)
    kill(victims)


def holder_of(path: Path) -> int:
    """Who has this file locked by flock(2), as /proc/locks tells (proc(5)); 0 when nobody has."""
    inode = path.stat().st_ino
    for line in Path("/proc/locks").read_text().splitlines():
        fields = line.split()
        if fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == str(inode):
            return int(fields[4])
    return 0


def ancestors_of(pid: int) -> set[int]:
    found: set[int] = set()
    while pid > 1:
        found.add(pid)
        pid = parent_of(pid)
    return found


def parent_of(pid: int) -> int:
    """0 when there is no such process."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def command_of(pid: int) -> list[str]:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    return []


def cli_of(operation: dict[str, Any]) -> int:
    """The first process that its launcher started; 0 when there is none (any more)."""
    members = processes_of(operation["id"])
    for pid in members:
        if parent_of(pid) in members and parent_of(parent_of(pid)) not in members:
            return pid
    return 0
