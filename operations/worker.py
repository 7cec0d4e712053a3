"""The worker: keeps django-q2's cluster alive, gives a sign of life, and ends in order.

django-q2 replaces its own workers, but not itself; it has been seen to stand still after one of its
idle workers was killed. So the supervisor watches the one thing that counts: that work which could run
does not wait.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
import time
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import close_old_connections, connections
from django.utils import timezone
from django_q.cluster import Cluster
from django_q.models import Schedule

from operations import broker, machine, runner, wake
from operations.models import Runner
from operations.runner import signals
from operations.runner.turn import register, remove_dead_runners
from operations.services import lifecycle

log = logging.getLogger("provisioning.worker")

HEARTBEAT_SECONDS = 3.0
# Work has waited so long for a turn to begin: the cluster is blocked.
STUCK_SECONDS = 30.0
BLOCKED_AFTER = timedelta(seconds=60)
CLUSTER_STOP_SECONDS = 10.0
RESTART_PAUSE_SECONDS = 1.0


class Worker:
    def __init__(self) -> None:
        self.stop = threading.Event()
        self.hurry = threading.Event()
        self.cluster: Any = None
        self.row: Runner | None = None
        self.waits_since: float | None = None

    def run(self) -> None:
        """Until SIGTERM or SIGINT; a second one hurries."""
        self.start_cluster()
        while not self.stop.wait(HEARTBEAT_SECONDS if self.row else 0):
            try:
                self.beat()
            except DatabaseError as error:
                log.warning("the database refused, trying again: %s", error)
                close_old_connections()
                self.stop.wait(1)
        self.end()

    def take_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.on_signal)

    def on_signal(self, *_: object) -> None:
        if self.stop.is_set():
            self.hurry.set()
        self.stop.set()

    def start_cluster(self) -> None:
        """Fork django-q2. Its processes die with us: see `die_with_parent` in the command."""
        connections.close_all()
        # Its constructor takes the signals: a stop that comes while it starts is for us.
        signals_of_ours = {signal.SIGTERM, signal.SIGINT}
        signal.pthread_sigmask(signal.SIG_BLOCK, signals_of_ours)
        self.cluster = Cluster()
        self.take_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals_of_ours)
        # What is loaded by now stays. A collection of garbage in a forked process would touch all of it,
        # and whatever is touched there is copied: some 35 MB in each.
        gc.collect()
        gc.freeze()
        self.cluster.start()

    def beat(self) -> None:
        """A sign of life; a dead or blocked cluster is replaced."""
        if self.row is None:
            self.row = register(Runner.Role.WORKER)
            remove_dead_runners(self.row)
            schedule_tasks()
        self.row.heartbeat_at = timezone.now()
        self.row.save()
        if not self.cluster.sentinel.is_alive():
            log.error("the django-q2 cluster has died; starting another")
            self.replace_cluster()
        elif self.is_stuck():
            log.error(
                "work waits for a runner that does not begin; starting another django-q2 cluster"
            )
            self.replace_cluster()
        elif is_blocked():
            log.error("the runner stands still; starting another django-q2 cluster")
            self.replace_cluster()

    def is_stuck(self) -> bool:
        """Whether work for this host, new or left by a dead runner, has been waiting at each beat for far
        too long, and nobody is at it. (By our own clock: how long it had to wait before is no sign.)"""
        since, self.waits_since = self.waits_since, None  # a look that fails begins anew
        if not runner.is_running_here() and broker.has_work():
            self.waits_since = since if since is not None else time.monotonic()
        since = self.waits_since
        return since is not None and time.monotonic() - since > STUCK_SECONDS

    def replace_cluster(self) -> None:
        self.waits_since = None
        kill_cluster()
        time.sleep(RESTART_PAUSE_SECONDS)
        self.start_cluster()

    def end(self) -> None:
        """Start nothing more, give what runs a grace, leave the rest to the next worker."""
        signals.want(signals.Stop.DRAIN)
        self.wait_for_operations()
        signals.want(signals.Stop.NOW)
        self.cluster.stop_event.set()
        deadline = time.monotonic() + CLUSTER_STOP_SECONDS
        while self.cluster.sentinel.is_alive() and time.monotonic() < deadline:
            self.wake()
            self.cluster.sentinel.join(0.1)
        kill_cluster()
        if self.row:
            Runner.objects.filter(pk=self.row.pk).delete()

    def wait_for_operations(self) -> None:
        deadline = time.monotonic() + settings.SHUTDOWN_GRACE_SECONDS
        said = False
        while count := self.count_running():
            if not said:
                log.warning("waiting for %s running operations to end", count)
                said = True
            if self.hurry.wait(0.1) or time.monotonic() > deadline:
                log.warning(
                    "%s operations still run: they go on by themselves, "
                    "and the next worker of this state directory takes them over",
                    count,
                )
                return

    def count_running(self) -> int:
        try:
            return lifecycle.running().filter(host_id=machine.host_id()).count()
        except DatabaseError:
            return 0

    def wake(self) -> None:
        try:
            wake.send()
        except DatabaseError:
            close_old_connections()


PRUNE_MINUTES = 60


def schedule_tasks() -> None:
    """What django-q2 does from time to time: the look at the CLI's lists, and forgetting what is not kept."""
    keeps_all = not (
        settings.RETENTION_DAYS or settings.RETENTION_OPERATIONS or settings.RETENTION_LOG_BYTES
    )
    schedule("sync inventory", "operations.tasks.sync_inventory", settings.SYNC_MINUTES)
    schedule(
        "prune operations", "operations.tasks.prune_operations", 0 if keeps_all else PRUNE_MINUTES
    )


def schedule(name: str, function: str, minutes: int) -> None:
    """Every so many minutes; never at 0."""
    if not minutes:
        Schedule.objects.filter(name=name).delete()
        return
    Schedule.objects.update_or_create(
        name=name,
        defaults={
            "func": function,
            "schedule_type": Schedule.MINUTES,
            "minutes": minutes,
            "repeats": -1,
        },
    )


def is_blocked() -> bool:
    """Whether a turn of this host lives but gives no sign of life: what it runs is unattended, and it
    keeps all others from running."""
    silent = Runner.objects.filter(
        role=Runner.Role.TURN,
        host_id=machine.host_id(),
        boot_id=machine.boot_id(),
        heartbeat_at__lt=timezone.now() - BLOCKED_AFTER,
    )
    return any(machine.is_same_process(turn.pid, turn.pid_started) for turn in silent)


def kill_cluster() -> None:
    """End whatever is left of django-q2: all of our own session but ourselves. Operations lead
    sessions of their own and are not touched."""
    session = os.getsid(0)
    for pid in machine.members_of(None, session):
        stat = machine.stat_of(pid)
        if stat and stat.session == session and pid != os.getpid() and is_descendant(pid):
            os.kill(pid, signal.SIGKILL)


def is_descendant(pid: int) -> bool:
    """Whether we are among its ancestors: a shell that started us shares our session."""
    seen = 0
    while pid > 1 and seen < 64:
        if pid == os.getpid():
            return True
        pid, seen = machine.parent_of(pid), seen + 1
    return False
