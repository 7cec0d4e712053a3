"""The directory of an operation, by which one runner goes on where another ended.

In the state directory; it holds `input.json` (stdin), `settings.json`, `argv.json` (the command line, its
secrets covered), `stdout`, `stderr`,
`started` (made by the launcher, exclusively) and `exit_code` (made by the launcher at the end). They
are what a later runner goes by.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from operations import disk, machine
from operations.models import Operation


def directory_of(operation_id: uuid.UUID) -> Path:
    return Path(f"{settings.STATE_DIR}/operations/{operation_id}")


def prepare_directory(operation: Operation, shown_argv: list[str]) -> Path:
    """The directory with stdin and settings (0600), ready for the launcher; safe to call again."""
    directory = directory_of(operation.pk)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    document = {
        "kind": operation.kind,
        "workspace": operation.workspace_name,
        "check_mode": operation.check_mode,
        "params": operation.params,
    }
    _write_private(f"{directory}/input.json", document)
    if given := operation.params.get("settings"):
        _write_private(f"{directory}/settings.json", given)
    _write_private(f"{directory}/argv.json", shown_argv)
    return directory


def read_argv(directory: Path) -> list[str] | None:
    """How the CLI was called, for people to read; None where it was not."""
    try:
        found: list[str] = json.loads(disk.read(f"{directory}/argv.json"))
    except (OSError, ValueError):
        return None
    return found


def _write_private(path: str, document: object) -> None:
    # Not orjson, which writes no integer of more than 64 bits: PostgreSQL makes one of 1e30.
    disk.write_private(path, json.dumps(document).encode())


def remove_directory(operation_id: uuid.UUID) -> None:
    directory = directory_of(operation_id)
    try:  # as a rule only files are in it, and these few calls do
        for name in os.listdir(directory):
            os.unlink(f"{directory}/{name}")
        os.rmdir(directory)
    except OSError:
        shutil.rmtree(directory, ignore_errors=True)


def remove_leftovers() -> None:
    """Remove the directories of ended operations, which a runner that was killed in between left.

    A directory is made after its claim; so what is listed first and is final afterwards has ended.
    """
    directory = Path(settings.STATE_DIR) / "operations"
    found = [name for name in os.listdir(directory) if is_operation_id(name)]
    for operation_id in Operation.objects.filter(
        pk__in=found, status__in=Operation.FINAL
    ).values_list("pk", flat=True):
        remove_directory(operation_id)


def is_operation_id(name: str) -> bool:
    try:
        return str(uuid.UUID(name)) == name
    except ValueError:
        return False


@dataclass(frozen=True)
class Launch:
    """What the launcher wrote first: who it is."""

    pid: int
    started: int


def read_launch(directory: Path) -> Launch | None:
    """None while no launcher has begun."""
    try:
        stat = machine.parse_stat(disk.read(f"{directory}/started").decode(errors="replace"))
    except (OSError, ValueError, IndexError):
        return None
    return Launch(stat.pid, stat.started)


def forbid_launch(directory: Path) -> bool:
    """Take the launcher's place, so that one that is merely slow finds it taken and runs nothing.
    False when a launcher was first."""
    try:
        os.close(os.open(f"{directory}/started", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return False
    return True


def read_exit_code(directory: Path) -> int | None:
    """None while (or when) nothing was written, or not all of it."""
    try:
        text = disk.read(f"{directory}/exit_code")
        return int(text) if text.endswith(b"\n") else None
    except (OSError, ValueError):
        return None


def leader_of(launch: Launch) -> int | None:
    """The process group and session to end; None when its number is another's by now.

    The kernel gives no number away that is still a group's: so when a different process has it, the
    group is empty, and signals would meet a stranger.
    """
    stat = machine.stat_of(launch.pid)
    return launch.pid if stat is None or stat.started == launch.started else None


def open_pidfd(launch: Launch) -> int | None:
    """A descriptor that turns readable when the launcher ends (pidfd_open(2)); None when it has.

    The start time is compared after opening, so a pid that was used again is never mistaken.
    """
    try:
        descriptor = os.pidfd_open(launch.pid)
    except ProcessLookupError:
        return None
    if machine.is_same_process(launch.pid, launch.started):
        return descriptor
    os.close(descriptor)
    return None
