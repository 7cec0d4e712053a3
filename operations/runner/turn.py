"""A turn: claim what there is room for, watch all of it, end when nothing is left."""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

from django.db import Error as DatabaseError
from django.db import close_old_connections, connection
from django.utils import timezone

from operations import machine, wake
from operations.models import Operation, Runner
from operations.runner import files, records
from operations.runner.child import Child
from operations.runner.signals import Stop, stop_wanted
from operations.services import lifecycle
from operations.services.ending import Ending

log = logging.getLogger("provisioning.runner")

HEARTBEAT_SECONDS = 5.0
TICK_SECONDS = 0.25
STOPPING_TICK_SECONDS = 0.02
# How long after its time limit an operation of a silent host is called lost.
ABANDONED_AFTER = timedelta(hours=1)
FORGOTTEN_AFTER = timedelta(days=1)


def register(role: Runner.Role) -> Runner:
    """A row for this process, with a new random incarnation."""
    stat = machine.stat_of(os.getpid())
    return Runner.objects.create(
        role=role,
        host_id=machine.host_id(),
        host_name=machine.host_name(),
        boot_id=machine.boot_id(),
        pid=os.getpid(),
        pid_started=stat.started if stat else 0,
    )


def remove_dead_runners(runner: Runner) -> None:
    """Forget the runners of this host whose process is gone, so that their work can be adopted now
    instead of when their lease ends; and those of hosts that have been silent for so long that they
    will not return. One that does returns with its next sign of life."""
    Runner.objects.filter(heartbeat_at__lt=timezone.now() - FORGOTTEN_AFTER).delete()
    for other in Runner.objects.filter(host_id=runner.host_id).exclude(pk=runner.pk):
        if other.boot_id != runner.boot_id or not machine.is_same_process(
            other.pid, other.pid_started
        ):
            other.delete()


class Turn:
    """The loop of one runner. `only` limits it to one operation (a foreground run); `on_tick` is
    called whenever something may have been logged. With nothing left to do it waits `linger` seconds
    for more: starting another turn costs two commits and a few processes' attention."""

    def __init__(
        self,
        runner: Runner,
        *,
        only: Operation | None = None,
        on_tick: Callable[[], None] | None = None,
        linger: float = 0.0,
    ) -> None:
        self.runner = runner
        self.only = only
        self.on_tick = on_tick
        self.children: dict[uuid.UUID, Child] = {}
        self.cancelled: set[uuid.UUID] = set()
        self.looks_for_work = True
        self.heartbeat_due = self.renew_due = 0.0
        self.linger = linger
        self.idle_since: float | None = None
        self.selector = selectors.DefaultSelector()
        self.listener: wake.Listener | None = None

    def run(self) -> None:
        """Until nothing is left to do, or a stop is wanted; then children go on by themselves."""
        with self.selector:
            try:
                while True:
                    with surviving_the_database():
                        self.listen()
                        self.do_what_is_due()
                    if self.is_done():
                        break
                    self.wait()
            finally:
                self.stop_listening()
                for child in self.children.values():
                    child.close()

    def listen(self) -> None:
        """Hear of wakes from now on; also after the connection that listened was lost."""
        if self.listener is None:
            self.listener = wake.listen()
            self.selector.register(self.listener, selectors.EVENT_READ)
            self.looks_for_work = True

    def stop_listening(self) -> None:
        if self.listener is not None:
            self.selector.unregister(self.listener)
            self.listener.close()
            self.listener = None

    def is_done(self) -> bool:
        if stop_wanted() is Stop.NOW:
            return True
        if self.children or self.looks_for_work:
            self.idle_since = None
            return False
        if self.idle_since is None:
            self.idle_since = time.monotonic()
        return stop_wanted() is not None or self.idle_since + self.linger <= time.monotonic()

    def wait(self) -> None:
        """Until a process ends, somebody wakes us, or the next tick."""
        for key, _ in self.selector.select(self.patience()):
            if key.fileobj is self.listener:
                self.hear()

    def hear(self) -> None:
        self.looks_for_work = True
        try:
            if self.listener:
                self.listener.drain()
        except DatabaseError:
            self.stop_listening()

    def patience(self) -> float:
        """Seconds until something is due: a look at a group that is being stopped, at the logs and
        time limits of children, else the heartbeat or the end of the lingering."""
        if any(child.stopping for child in self.children.values()):
            return STOPPING_TICK_SECONDS
        if self.children or self.looks_for_work:
            return TICK_SECONDS
        ends = min(self.heartbeat_due, (self.idle_since or 0.0) + self.linger)
        return max(ends - time.monotonic(), 0.0)

    def do_what_is_due(self) -> None:
        if time.monotonic() >= self.heartbeat_due:
            self.beat()
        if self.looks_for_work and self.children:
            self.cancelled = lifecycle.cancel_requested(self.runner)
        self.step_children()
        if self.looks_for_work:
            self.claim()
        if self.on_tick:
            self.on_tick()

    def beat(self) -> None:
        """Renew the lease; adopt what other runners left; look for work that nobody woke us for."""
        self.heartbeat_due = time.monotonic() + HEARTBEAT_SECONDS
        self.renew()
        remove_dead_runners(self.runner)
        self.adopt()
        if self.only is None:
            fail_abandoned(self.runner)
            files.remove_leftovers()
        self.looks_for_work = True

    def renew(self) -> None:
        self.renew_due = time.monotonic() + HEARTBEAT_SECONDS
        self.runner.heartbeat_at = timezone.now()
        self.runner.save()

    def keep_lease(self) -> None:
        """Called in loops that may take long on a busy machine."""
        if time.monotonic() >= self.renew_due:
            self.renew()

    def adopt(self) -> None:
        """Take over what has no live runner, and what a failure left claimed but unwatched here."""
        for operation in lifecycle.adoptable(host_id=self.runner.host_id, only=self.only):
            if lifecycle.adopt_operation(operation=operation, runner=self.runner):
                log.info("adopted operation %s", operation.pk)
        mine = lifecycle.running().filter(runner=self.runner.pk).exclude(pk__in=self.children)
        for operation in mine:
            child = Child(operation)
            try:
                child.adopt()
            except DatabaseError:
                raise
            except Exception:  # of one, and no trouble for the others
                log.exception("operation %s cannot be adopted, trying again", operation.pk)
                continue
            self.watch(child)

    def claim(self) -> None:
        """One claim a look; a further one only when a slot frees or somebody wakes us."""
        claimed = (
            [] if stop_wanted() else lifecycle.claim_operations(runner=self.runner, only=self.only)
        )
        # Only now: a look that the database refused is repeated.
        self.looks_for_work = False
        children = [Child(operation) for operation in claimed]
        for child in children:
            child.start()
        for child in children:
            child.come_up()
            self.watch(child)

    def watch(self, child: Child) -> None:
        self.children[child.operation.pk] = child
        if child.pidfd is not None:
            self.selector.register(child.pidfd, selectors.EVENT_READ)
        with contextlib.suppress(DatabaseError):  # the next one runs, too, and is to be watched
            self.keep_lease()

    def step_children(self) -> None:
        over = [child for child in self.children.values() if self.step(child)]
        self.apply(records.copy_logs, [child for child in self.children.values() if child.has_news])
        for group in records.groups_of(over):
            self.keep_lease()
            self.apply(records.record_ends, group, self.drop)

    def drop(self, child: Child) -> None:
        """Its end is recorded."""
        child.close()
        del self.children[child.operation.pk]
        self.looks_for_work = True

    def step(self, child: Child) -> bool:
        """One step of one child; whether it is over."""
        self.keep_lease()
        try:
            is_over = child.step(self.cancelled)
        except DatabaseError:
            raise
        except Exception as error:
            self.note_trouble(child, error)
            is_over = False
        if is_over or child.is_ended:
            # It stays readable: a group that is still being stopped must not spin the loop.
            self.unwatch(child)
        return is_over

    def apply(
        self,
        act: Callable[[Sequence[Child]], None],
        children: Sequence[Child],
        then: Callable[[Child], None] = lambda _: None,
    ) -> None:
        """Do it for all at once, or for each alone when there is trouble; `then` for whom it was done.

        Trouble with one (a full disk, a row that the database refuses) is tried again at the next tick
        and is no trouble for the others; a database that is not there is everybody's.
        """
        try:
            if children:
                act(children)
        except Exception as error:
            if len(children) > 1:
                for child in children:
                    self.keep_lease()
                    self.apply(act, [child], then)
                return
            if isinstance(error, DatabaseError) and not connection.is_usable():
                raise
            self.note_trouble(children[0], error)
        else:
            for child in children:
                then(child)

    def note_trouble(self, child: Child, error: Exception) -> None:
        if repr(error) != child.trouble:
            name = child.operation.pk
            log.error("operation %s cannot be watched, trying again", name, exc_info=error)
        child.trouble = repr(error)

    def unwatch(self, child: Child) -> None:
        """Before its descriptor is closed: the number is used again for the next child."""
        if child.pidfd is not None and child.pidfd in self.selector.get_map():
            self.selector.unregister(child.pidfd)


def fail_abandoned(runner: Runner) -> None:
    """Call lost what a host that has fallen silent should have ended long ago."""
    alive = Runner.objects.filter(heartbeat_at__gt=timezone.now() - Runner.LEASE).values("pk")
    elsewhere = lifecycle.running().exclude(host_id=runner.host_id).exclude(runner__in=alive)
    for operation in elsewhere:
        began = operation.started_at or operation.created_at
        limit = timedelta(seconds=operation.timeout_seconds) + ABANDONED_AFTER
        if began + limit < timezone.now():
            lifecycle.finish_operation(
                operation=operation,
                token=operation.fencing_token,
                ending=Ending(
                    Operation.Status.FAILED,
                    Operation.Reason.LOST,
                    error="The host that ran it has fallen silent.",
                ),
            )


@contextlib.contextmanager
def surviving_the_database() -> Iterator[None]:
    """The processes go on whatever the database does: note the trouble, reconnect, try again."""
    try:
        yield
    except DatabaseError as error:
        log.warning("the database refused, trying again: %s", error)
        with contextlib.suppress(DatabaseError):
            connection.close()
        close_old_connections()
        time.sleep(0.5)
