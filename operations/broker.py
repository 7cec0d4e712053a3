"""django-q2's broker on our tables: the queue of operations is the operations table itself.

A nudge to run operations is not stored: it is made when the table holds work and no turn is at it on
this host. So there is no second queue that could disagree with the first, nothing to lose, to deliver
twice or to let grow old. What others enqueue (the schedules) are rows of django-q2's own table, deleted
when they are taken: a job that kills its worker is not delivered again.
"""

from __future__ import annotations

import contextlib
import logging
import time
import uuid

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection
from django.utils import timezone
from django_q.brokers import Broker
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from operations import machine, runner, wake
from operations.models import Runner
from operations.runner.signals import stop_wanted
from operations.services import drain, lifecycle

log = logging.getLogger("provisioning.worker")

RUN_PENDING = "operations.tasks.run_pending"
# After a nudge: time for a turn to take the host's lock before another one is made.
NUDGE_PAUSE_SECONDS = 0.25
# After a wake: a turn that is at work here heard it, too, and does not share the processor with us.
TURN_FIRST_SECONDS = 0.1


class TableBroker(Broker):  # type: ignore[misc]  # django-q2 is untyped
    """`dequeue` blocks until there is something, a wake came, or the poll is due."""

    def __init__(self, list_key: str | None = None) -> None:
        super().__init__(list_key=list_key or Conf.CLUSTER_NAME)
        self._listener: wake.Listener | None = None
        self._has_nudged = False

    def enqueue(self, task: str) -> int:
        row = OrmQ.objects.create(key=self.list_key, payload=task, lock=timezone.now())
        wake.send()
        return int(row.pk)

    def dequeue(self) -> list[tuple[object, str]] | None:
        """One job, or None after a wait. A database that is away is no error here: django-q2 would
        answer one by ten seconds of silence."""
        try:
            return self._dequeue()
        except (DatabaseError, OSError) as error:
            log.warning("the queue cannot be read, trying again: %s", error)
            self._reconnect()
            time.sleep(settings.QUEUE_POLL_SECONDS)
        return None

    def _dequeue(self) -> list[tuple[object, str]] | None:
        if self._listener is None:
            self._listener = wake.listen()
        if self._has_nudged:
            self._has_nudged = False
            wake.wait(self._listener, NUDGE_PAUSE_SECONDS)
        if found := self._take_job() or self._nudge():
            return [found]
        if wake.wait(self._listener, settings.QUEUE_POLL_SECONDS) and runner.is_running_here():
            time.sleep(TURN_FIRST_SECONDS)
        return None

    def _take_job(self) -> tuple[object, str] | None:
        row = OrmQ.objects.filter(key=self.list_key).order_by("pk").first()
        # Of several clusters that saw the row the one that deletes it has it.
        if row is None or not OrmQ.objects.filter(pk=row.pk).delete()[0]:
            return None
        return row.pk, row.payload

    def _nudge(self) -> tuple[object, str] | None:
        if stop_wanted() or runner.is_running_here() or not has_work():
            return None
        self._has_nudged = True
        nudge_id = uuid.uuid4().hex
        task = {
            "id": nudge_id,
            "name": "run pending operations",
            "func": RUN_PENDING,
            "args": (),
            "kwargs": {},
            "started": timezone.now(),
            "ack_failure": True,
            "timeout": -1,
        }
        return nudge_id, SignedPackage.dumps(task)

    def _reconnect(self) -> None:
        with contextlib.suppress(Exception):
            if self._listener:
                self._listener.close()
        self._listener = None
        with contextlib.suppress(DatabaseError):
            connection.close()
        close_old_connections()

    def queue_size(self) -> int:
        jobs: int = OrmQ.objects.filter(key=self.list_key).count()
        return lifecycle.claimable().count() + jobs

    def lock_size(self) -> int:
        return 0

    def purge_queue(self) -> None:
        OrmQ.objects.filter(key=self.list_key).delete()

    delete_queue = purge_queue

    def ping(self) -> bool:
        return True

    def info(self) -> str:
        return "operations table"


def has_work() -> bool:
    """Whether a turn on this host would find something: to adopt, or to claim within the limit."""
    if lifecycle.running().filter(host_id=machine.host_id()).exclude(runner__in=_live()).exists():
        return True
    return (
        drain.find() is None
        and lifecycle.claimable().exists()
        and lifecycle.running().count() < settings.MAX_CONCURRENT_OPERATIONS
    )


def _live() -> list[uuid.UUID]:
    """The runners of this host that are at work: one that was killed is known at once, before its
    lease ends."""
    return [
        found.pk
        for found in Runner.objects.filter(host_id=machine.host_id(), boot_id=machine.boot_id())
        if found.is_alive and machine.is_same_process(found.pid, found.pid_started)
    ]
