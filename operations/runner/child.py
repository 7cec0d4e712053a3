"""One running operation as its runner sees it."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace

from django.conf import settings
from django.utils import timezone

from operations import cli, machine, output
from operations.logs import LogWriter
from operations.models import Operation
from operations.runner import call, files, launch
from operations.runner.stopping import Stopping
from operations.services.ending import End, Ending

log = logging.getLogger("provisioning.runner")

LAUNCH_PATIENCE_SECONDS = 5.0

Status = Operation.Status
Reason = Operation.Reason


class Child:
    """A running operation as its runner sees it. Every step may fail and be repeated."""

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self.token = operation.fencing_token
        self.directory = files.directory_of(operation.pk)
        self.mask = call.mask_of(operation)
        self.log = LogWriter(operation.pk, self.directory, settings.LOG_MAX_BYTES, self.mask)
        self.popen: launch.Process | None = None
        self.launched: files.Launch | None = None
        self.pidfd: int | None = None
        self.stopping: Stopping | None = None
        self.stop_reason: str | None = None
        self.spawn_error: str | None = None
        self.shown_argv: list[str] | None = None
        self.has_news = False
        self.trouble = ""  # what was last logged about it
        self.deadline = time.monotonic() + self._seconds_left()

    def _seconds_left(self) -> float:
        began = self.operation.started_at or timezone.now()
        return self.operation.timeout_seconds - (timezone.now() - began).total_seconds()

    # --- Begin ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the process, or note why it cannot be started; `come_up` follows."""
        with self._noting_why_not():
            self.spawn_error = cli.problem()
            if self.spawn_error is None:
                self._spawn()

    def come_up(self) -> None:
        """Wait until its launcher says who it is, within a millisecond; of two only the first does."""
        with self._noting_why_not():
            if self.popen is not None:
                self._await_launch(self.popen)

    @contextlib.contextmanager
    def _noting_why_not(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # whatever it is, the turn has others to run
            log.warning("operation %s cannot be started", self.operation.pk, exc_info=error)
            self.spawn_error = f"The CLI could not be started: {error}"

    def _spawn(self) -> None:
        operation = self.operation
        argv = call.argv_of(operation)
        shown = call.covered(argv, self.mask)
        directory = files.prepare_directory(operation, shown)
        self.shown_argv = shown
        environment = cli.environment(
            workspace=operation.workspace_name,
            operation_id=str(operation.pk),
            request_id=operation.request_id,
            actor=operation.requested_by_name,
        )
        self.popen = launch.spawn(argv, directory, environment)

    def _await_launch(self, launcher: launch.Process) -> None:
        patience = time.monotonic() + LAUNCH_PATIENCE_SECONDS
        while (found := files.read_launch(self.directory)) is None:
            if time.monotonic() > patience or launcher.poll() is not None:
                found = files.read_launch(self.directory)
                break
            time.sleep(0.0005)
        if found is None and files.forbid_launch(self.directory):
            raise OSError("its launcher did not come up")
        self._watch(found or files.read_launch(self.directory))

    def _watch(self, found: files.Launch | None) -> None:
        self.launched = found
        self.pidfd = files.open_pidfd(found) if found else None

    def adopt(self) -> None:
        """Take over what an earlier runner started, or start what it had only claimed."""
        self.log.resume()
        same_boot = self.operation.boot_id == machine.boot_id()
        found = files.read_launch(self.directory)
        if found is None and same_boot and files.read_exit_code(self.directory) is None:
            self.start()
            self.come_up()
        elif same_boot:
            self._watch(found)

    # --- Watch ---------------------------------------------------------------------------------

    def stop(self, reason: str) -> None:
        """Begin to end the process group; the first reason stays."""
        if self.stopping is None:
            self.stop_reason = reason
            leader = files.leader_of(self.launched) if self.launched else None
            grace = settings.CANCEL_GRACE_SECONDS
            self.stopping = Stopping(self.operation.pk, leader, grace=grace)

    @property
    def is_gone(self) -> bool:
        """Whether the launcher has ended, or (when it is being stopped) everybody of the operation."""
        is_ended = self.is_ended
        return is_ended if self.stopping is None else self.stopping.step()

    @property
    def is_ended(self) -> bool:
        """Whether the launcher has ended; reaps it when it is our own child."""
        if self.popen is not None:
            self.popen.poll()
        return self.pidfd is None or pidfd_has_ended(self.pidfd)

    def step(self, cancelled: set[uuid.UUID]) -> bool:
        """Do what is due; True when the operation has ended, and its end is to be recorded. Else it is
        known afterwards whether it has news for its log."""
        self.has_news = False
        if self.is_gone and (self.stopping or not self._is_lost()):
            return True
        if self.operation.pk in cancelled:
            self.stop(Reason.CANCELLED_BY_USER)
        elif time.monotonic() >= self.deadline:
            self.stop(Reason.TIMED_OUT)
        self.log.free_disk()
        self.has_news = self.log.has_news()
        return False

    def _is_lost(self) -> bool:
        """Gone without an exit code: whatever still lives of it is ended before it is called lost."""
        if self.spawn_error or files.read_exit_code(self.directory) is not None:
            return False
        self.stop(Reason.LOST)
        return True

    # --- End -----------------------------------------------------------------------------------

    def end(self) -> End:
        """What is to be written of it, if its lease is still ours."""
        argv = self.shown_argv or files.read_argv(self.directory)
        return End(self.operation, self.token, replace(self.ending(), argv=argv))

    def ending(self) -> Ending:
        """What is to be written of it."""
        if self.spawn_error:
            return Ending(Status.FAILED, Reason.SPAWN_FAILED, error=self.spawn_error)
        code = files.read_exit_code(self.directory)
        if self.stopping:
            return self._ending_of_stopped(code)
        report = output.read_report(
            self.mask.cover(read_end(f"{self.directory}/stdout")),
            self.mask.cover(read_end(f"{self.directory}/stderr")),
        )
        if code != 0:
            error = report.error or f"The CLI ended with exit code {code} and said nothing."
            return Ending(Status.FAILED, Reason.EXIT, code, report.result, error)
        if report.says_failed:
            error = report.error or "The CLI ended with exit code 0, but reported a failure."
            return Ending(Status.FAILED, Reason.BAD_OUTPUT, code, report.result, error)
        return Ending(Status.COMPLETED, None, code, report.result)

    def _ending_of_stopped(self, code: int | None) -> Ending:
        is_given_up = self.stopping is not None and self.stopping.is_given_up
        left = " Some of its processes could not be killed." if is_given_up else ""
        match self.stop_reason:
            case Reason.TIMED_OUT:
                error = (
                    f"It ran longer than {self.operation.timeout_seconds} seconds and was ended."
                )
                return Ending(Status.FAILED, Reason.TIMED_OUT, code, error=error + left)
            case Reason.LOST:
                error = "Its process vanished without an exit code: the host was restarted or it was killed."
                return Ending(Status.FAILED, Reason.LOST, code, error=error + left)
        reason = (
            Reason.WORKFLOW_CANCELLED
            if self.operation.workflow_id and is_cancelled(self.operation.workflow_id)
            else Reason.CANCELLED_BY_USER
        )
        return Ending(Status.CANCELLED, reason, code, error="It was cancelled while it ran." + left)

    def close(self) -> None:
        if self.pidfd is not None:
            os.close(self.pidfd)
            self.pidfd = None
        if self.popen is not None:
            launch.leave(self.popen)
            self.popen = None


def is_cancelled(workflow_id: uuid.UUID) -> bool:
    return Operation.objects.filter(pk=workflow_id, cancel_requested_at__isnull=False).exists()


def pidfd_has_ended(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def read_end(path: str) -> bytes:
    """The last bytes of a file: more is no result and no sentence."""
    try:
        size = os.stat(path).st_size
        if not size:
            return b""
        with open(path, "rb", buffering=0) as file:
            file.seek(max(0, size - output.MAX_TAIL_BYTES))
            return file.read()
    except OSError:
        return b""
