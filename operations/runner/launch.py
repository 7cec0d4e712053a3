"""Starting the CLI. The only module that does; always a list of arguments, never a shell line.

The launcher is a shell script that is handed the list as its own arguments and runs it as `"$@"`.
Python starts it by vfork (no `preexec_fn`, which would copy a large process first).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings

from operations import cli, machine, output

LAUNCHER = Path(__file__).with_name("launcher.sh")
# After this only a process that hangs in the kernel is left, or one that may not be killed.
KILL_PATIENCE_SECONDS = 1.0


def working_directory() -> Path:
    """Where every CLI starts: the directory of the workspaces."""
    root = Path(settings.WORKSPACE_ROOT)
    if not root.is_dir():
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
    return root


Process = subprocess.Popen[bytes]
_left: list[Process] = []


def spawn(argv: list[str], directory: Path, environment: dict[str, str]) -> Process:
    """Start a detached process whose input, output and exit code are files in `directory`.

    It leads a new session, so the terminal's Ctrl-C and the end of its runner do not reach it.
    """
    with (
        open(f"{directory}/input.json", "rb", buffering=0) as stdin,
        open(f"{directory}/stdout", "ab", buffering=0) as stdout,
        open(f"{directory}/stderr", "ab", buffering=0) as stderr,
    ):
        return subprocess.Popen(
            ["/bin/sh", str(LAUNCHER), str(directory), *argv],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            cwd=working_directory(),
            env=environment,
            start_new_session=True,
        )


def leave(process: Process) -> None:
    """Let go of a process, whether it has ended or goes on; one that ends later is reaped with the
    next."""
    _left[:] = [left for left in (*_left, process) if left.poll() is None]


def capture_document(key: str, workspace: str, params: Mapping[str, Any]) -> tuple[Any, str | None]:
    """Ask the CLI something that changes nothing: `(JSON document, None)` or `(None, sentence)`."""
    stdout, problem = capture(key, workspace, params)
    return output.storable(output.read_document(stdout)), problem


def capture(key: str, workspace: str, params: Mapping[str, Any]) -> tuple[bytes, str | None]:
    """What it printed and, when it cannot be trusted, why: `(stdout, sentence or None)`.

    Bounded by `provisioning.status_timeout_seconds`. Its output goes to files: Nushell writes to a pipe
    at 2 ms a line.
    """
    if problem := cli.problem():
        return b"", problem
    seconds = settings.STATUS_TIMEOUT_SECONDS
    capture_id = uuid.uuid4()
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        try:
            child = subprocess.Popen(
                cli.command_line(key, workspace, params),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                cwd=working_directory(),
                env=cli.environment(workspace=workspace, capture_id=str(capture_id)),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            return b"", f"The CLI could not be started: {error}"
        code = _wait(child, capture_id, seconds)
        stdout.seek(0)
        stderr.seek(0)
        written = stdout.read(output.MAX_RESULT_BYTES), stderr.read(output.MAX_RESULT_BYTES)
    if code is None:
        return written[0], f"The CLI did not answer within {seconds:g} seconds."
    if code != 0:
        said = output.read_report(*written).error
        return written[0], said or f"The CLI ended with exit code {code}."
    return written[0], None


def _wait(child: Process, capture_id: uuid.UUID, seconds: float) -> int | None:
    """The exit code; None when it had to be killed, with all that it started."""
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if child.returncode is None:  # once reaped, its pid may be another's
            _kill(child, capture_id)
            child.wait()


def _kill(child: Process, capture_id: uuid.UUID) -> None:
    """Kill until nobody is left: who forks meanwhile, or left the group, is found by its mark."""
    deadline = time.monotonic() + KILL_PATIENCE_SECONDS
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    while machine.signal_members(
        capture_id, child.pid, signal.SIGKILL, variable=machine.CAPTURE_VARIABLE
    ):
        if time.monotonic() >= deadline:
            return
        time.sleep(0.01)
