"""The journal of a workspace: `journal.jsonl`, two lines for every run that changed something.

    {"at", "pid", "operation_id", "command": [verb, noun, name], "event": "started", "exit_code"}

`exit_code` is null in `started` and a number in `ended`. Settings never come here. A run that was
refused before it began leaves no line; one that was killed leaves `started` alone.
Call with the workspace locked.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from operations.localcli.clock import now
from operations.localcli.errors import CliError, exit_code_of
from operations.localcli.workspace import Workspace

FILE_NAME = "journal.jsonl"


class Entry(NamedTuple):
    verb: str
    noun: str
    name: str


def started(workspace: Workspace, entry: Entry) -> None:
    _append(workspace, entry, "started", None)


def ended(workspace: Workspace, entry: Entry, exit_code: int) -> None:
    _append(workspace, entry, "ended", exit_code)


@contextmanager
def recorded(workspace: Workspace, entry: Entry) -> Iterator[None]:
    """Both lines around a body short enough to run under the lock."""
    started(workspace, entry)
    exit_code = 0
    try:
        yield
    except BaseException as error:
        exit_code = exit_code_of(error)
        raise
    finally:
        ended(workspace, entry, exit_code)


def _append(workspace: Workspace, entry: Entry, event: str, exit_code: int | None) -> None:
    line = {
        "at": now(),
        "pid": os.getpid(),
        "operation_id": os.environ.get("PROVISIONING_OPERATION_ID") or None,
        "command": list(entry),
        "event": event,
        "exit_code": exit_code,
    }
    path = workspace.directory / FILE_NAME
    with open(path, "ab+", buffering=0) as file:
        content = (_break_after_torn_line(file) + json.dumps(line) + "\n").encode()
        if file.write(content) != len(content):
            raise CliError(f"The journal {path} could not be written whole: is the disk full?")


def _break_after_torn_line(file: io.FileIO) -> str:
    """A line break when a power cut or a full disk left the last line without one."""
    if file.tell() == 0:
        return ""
    file.seek(-1, os.SEEK_END)
    return "" if file.read(1) == b"\n" else "\n"
