"""What Linux tells of processes: who is who, who is alive, who belongs to an operation.

Sources: proc(5) for `/proc/<pid>/stat` (field 3 state, 4 parent, 5 process group, 6 session, 22 start time in
clock ticks after boot) and `/proc/sys/kernel/random/boot_id`.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from operations import disk

OPERATION_VARIABLE = "PROVISIONING_OPERATION_ID"
CAPTURE_VARIABLE = "PROVISIONING_CAPTURE_ID"


@dataclass(frozen=True)
class ProcessStat:
    pid: int
    state: str
    parent: int
    group: int
    session: int
    started: int

    @property
    def is_alive(self) -> bool:
        return self.state not in ("Z", "X", "x")


def parse_stat(text: str) -> ProcessStat:
    """The program name stands in parentheses and may itself hold spaces and parentheses."""
    head, _, tail = text.rpartition(")")
    fields = tail.split()
    return ProcessStat(
        pid=int(head.split(" ", 1)[0]),
        state=fields[0],
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        started=int(fields[19]),
    )


def stat_of(pid: int) -> ProcessStat | None:
    """None when there is no such process."""
    try:
        # The kernel cuts the name after 15 bytes, if need be within a character.
        return parse_stat(disk.read(f"/proc/{pid}/stat").decode(errors="replace"))
    except (OSError, ValueError, IndexError):
        return None


def parent_of(pid: int) -> int:
    """0 when there is no such process."""
    stat = stat_of(pid)
    return stat.parent if stat else 0


def is_same_process(pid: int, started: int) -> bool:
    """Whether this pid still is the process that started then, and lives."""
    stat = stat_of(pid)
    return stat is not None and stat.started == started and stat.is_alive


def members_of(
    operation_id: uuid.UUID | None, leader: int | None, *, variable: str = OPERATION_VARIABLE
) -> list[int]:
    """The living processes of an operation: the session and group of its leader, and (with an
    operation id) whoever left them but still carries the id in the environment."""
    marker = f"{variable}={operation_id}".encode() if operation_id else None
    found = []
    for entry in os.scandir("/proc"):
        stat = stat_of(int(entry.name)) if entry.name.isdigit() else None
        if stat is None or not stat.is_alive or stat.pid == os.getpid():
            continue
        is_in_group = leader is not None and leader in (stat.group, stat.session)
        if is_in_group or (marker and has_marker(stat.pid, marker)):
            found.append(stat.pid)
    return found


def has_marker(pid: int, marker: bytes) -> bool:
    try:
        return marker in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def signal_members(
    operation_id: uuid.UUID,
    leader: int | None,
    number: signal.Signals,
    *,
    variable: str = OPERATION_VARIABLE,
) -> list[int]:
    """Send a signal to every living process of an operation; returns who they were."""
    members = members_of(operation_id, leader, variable=variable)
    for pid in members:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
    return members


@functools.cache
def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@functools.cache
def host_id() -> str:
    """The random name of this state directory: two machines of one host name stay two."""
    path = Path(settings.STATE_DIR) / "host_id"
    if not path.exists():
        # Web and worker start at once: the name appears whole, or not at all.
        made = path.with_name(f".host_id.{uuid.uuid4().hex}")
        made.write_text(str(uuid.uuid4()), encoding="ascii")
        with contextlib.suppress(FileExistsError):
            os.link(made, path)
        made.unlink()
    return path.read_text(encoding="ascii").strip()


def host_name() -> str:
    return socket.gethostname()
