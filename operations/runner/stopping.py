"""Ending all processes of an operation."""

from __future__ import annotations

import contextlib
import os
import signal
import time
import uuid

from operations import machine

# After SIGKILL only a process that hangs in the kernel is left; then the truth is told.
KILL_PATIENCE_SECONDS = 10.0


class Stopping:
    """TERM to the whole group, a grace, KILL, and the proof that nobody is left.

    `step` is called until it returns True; between two calls the runner does other work. Looking
    through the environments of all processes, to find who left the group, is dear: it is done at the
    beginning, at the end and with every KILL.
    """

    def __init__(self, operation_id: uuid.UUID, leader: int | None, *, grace: float) -> None:
        self.operation_id = operation_id
        self.leader = leader
        self.kill_at = time.monotonic() + grace
        self.give_up_at = self.kill_at + KILL_PATIENCE_SECONDS
        self.is_given_up = False
        if leader is not None and machine.stat_of(leader) is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(leader, signal.SIGTERM)
        self._signal_those_outside(signal.SIGTERM)

    def step(self) -> bool:
        """True when no process of the operation lives (or none can be killed)."""
        now = time.monotonic()
        if now >= self.kill_at:
            left = machine.signal_members(self.operation_id, self.leader, signal.SIGKILL)
        else:
            left = machine.members_of(None, self.leader) or machine.members_of(
                self.operation_id, self.leader
            )
        self.is_given_up = bool(left) and now >= self.give_up_at
        return not left or self.is_given_up

    def _signal_those_outside(self, number: signal.Signals) -> None:
        for pid in machine.members_of(self.operation_id, None):
            stat = machine.stat_of(pid)
            if stat is None or stat.group != self.leader:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)
