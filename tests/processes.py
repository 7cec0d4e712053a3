"""Looking at real processes: what a journal of the fake CLI says, who is alive, waiting with a
deadline."""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple, TypeVar

T = TypeVar("T")

WAIT_SECONDS = 20.0


class Line(NamedTuple):
    """One line of the fake CLI's journal; `at` are seconds of the monotonic clock."""

    word: str
    operation: str
    pid: int
    at: float
    name: str


def read_journal(path: Path) -> list[Line]:
    if not path.exists():
        return []
    return [
        Line(word, operation, int(pid), float(at), name)
        for word, operation, pid, at, name in (
            line.split() for line in path.read_text().splitlines()
        )
    ]


def starts_of(path: Path, operation: object) -> int:
    """How often the CLI ran for this operation."""
    key = str(getattr(operation, "pk", operation))
    return sum(line.word == "start" and line.operation == key for line in read_journal(path))


def most_at_once(lines: Iterable[Line]) -> int:
    """The largest number of CLIs between `start` and `end` at any moment."""
    changes = sorted(
        (line.at, {"start": 1, "end": -1}[line.word])
        for line in lines
        if line.word in ("start", "end")
    )
    running = most = 0
    for _, change in changes:
        running += change
        most = max(most, running)
    return most


def runs_by_operation(lines: Iterable[Line]) -> Counter[str]:
    return Counter(line.operation for line in lines if line.word == "start")


def wait_until(
    condition: Callable[[], T], what: str, seconds: float = WAIT_SECONDS, *, pause: float = 0.01
) -> T:
    """Poll until the condition holds; its value. Fails with a sentence after the deadline."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(pause)
    return value


def is_alive(pid: int) -> bool:
    """Whether a process runs: a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def processes_with(variable: str) -> set[int]:
    """Living processes whose environment holds this `NAME=value`."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if variable.encode() in environment.split(b"\0") and is_alive(int(entry.name)):
                found.add(int(entry.name))
    return found


def processes_of(operation_id: uuid.UUID | str) -> set[int]:
    """Living processes that carry the operation's id, the launcher included."""
    return processes_with(f"PROVISIONING_OPERATION_ID={operation_id}")


def install_fake_cli(directory: Path) -> Path:
    """The fake CLI as an executable of its own, run by this very Python: what `python3` on the PATH
    is may be a slow shim that adds variables of its own."""
    program = directory / "provisioning"
    source = (Path(__file__).parent / "operations" / "data" / "fake_cli.py").read_text()
    program.write_text(f"#!{os.path.realpath(sys.executable)} -SE\n{source}")
    program.chmod(0o755)
    return program
