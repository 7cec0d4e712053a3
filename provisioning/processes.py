"""Starting and stopping the processes of the server: web and worker."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

MANAGE = Path(__file__).resolve().parent.parent / "manage.py"
PR_SET_PDEATHSIG = 1  # prctl(2)
RESTART_PAUSE_SECONDS = 2.0


def die_with_parent(
    number: signal.Signals = signal.SIGTERM, *, expected_parent: int | None = None
) -> None:
    """Have the kernel send us this signal when our parent dies, however it dies.

    A parent that is gone already (we have another than `expected_parent`) sends none: then we end now.
    """
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(number))
    if expected_parent is not None and os.getppid() != expected_parent:
        sys.exit(f"The process {expected_parent} that started this one has ended.")


class Part:
    """One process of the server, in a session of its own so that the terminal's Ctrl-C reaches only
    the server, which then stops its parts in order."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.restart_at = 0.0
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, str(MANAGE), self.name, "--supervised-by", str(os.getpid())],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def keep_alive(self) -> str | None:
        """Start it again when it has ended, not more often than every two seconds; a sentence when
        it had."""
        code = self.process.poll()
        if code is None:
            return None
        if self.restart_at == 0.0:
            self.end_group()
            self.restart_at = time.monotonic() + RESTART_PAUSE_SECONDS
            return f"The {self.name} ended with code {code}; it is started again."
        if time.monotonic() >= self.restart_at:
            self.restart_at = 0.0
            self.process = self._start()
        return None

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def ask_to_stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float) -> None:
        """Wait for its end; then end whatever is left of its session."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(max(seconds, 0.0))
        self.end_group()
        self.process.wait()

    def end_group(self) -> None:
        """Granian's processes outlive a Granian that was killed, and would go on to answer."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
