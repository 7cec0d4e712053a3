"""Draining: take and start nothing new, everywhere, until resumed; a restart changes nothing."""

from __future__ import annotations

import functools
from datetime import datetime

from django.db import connection, transaction
from django.utils import timezone

from accounts import audit
from accounts.actor import Actor
from accounts.audit import Target
from operations import wake
from operations.events import Event
from operations.models import Drain
from provisioning.errors import Invalid, Unavailable
from provisioning.statements import Prepared

# Any number, the same in every process: the lock that makes claims on PostgreSQL one at a time, so
# that the limit of running operations is never passed, and nothing starts after a drain has begun.
# On SQLite every write transaction is alone.
CLAIM_LOCK = 7_201_883
RETRY_AFTER_SECONDS = 30
MAX_REASON = 255

SYSTEM_TARGET = Target("system", "", "system")


def take_claim_lock() -> None:
    """Until the end of the transaction: no other process claims or drains."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [CLAIM_LOCK])


def find() -> Drain | None:
    """The drain that is on, if one is. Asked at every submission and claim."""
    return next(iter(_drained()()), None)


@functools.cache
def _drained() -> Prepared[Drain]:
    return Prepared(Drain.objects.filter(pk=Drain.ROW, is_drained=True))


def resumed_at() -> datetime | None:
    """When the last drain ended: what waits has not been startable for longer than that."""
    return (
        Drain.objects.filter(pk=Drain.ROW, is_drained=False)
        .values_list("changed_at", flat=True)
        .first()
    )


def refuse_new() -> None:
    """Raise Unavailable while the system is drained. Called where work is launched."""
    drain = find()
    if drain is not None:
        why = f": {drain.reason}" if drain.reason else ""
        raise Unavailable(
            f"The system is drained and takes no new operations{why}",
            retry_after_seconds=RETRY_AFTER_SECONDS,
        )


def drain_system(*, actor: Actor, reason: str = "") -> Drain:
    """From the moment this returns nothing new starts on any host. Doing it twice changes the reason.

    Raises Invalid for a reason that is too long or holds control characters.
    """
    reason = reason.strip()
    if len(reason) > MAX_REASON:
        raise Invalid(
            f"has {len(reason)} characters, it may have at most {MAX_REASON}", field="reason"
        )
    if not reason.isprintable():
        raise Invalid("must be one line without control characters", field="reason")
    with transaction.atomic():
        take_claim_lock()
        drain = find()
        if drain is not None and drain.reason == reason:
            return drain
        drain, _ = Drain.objects.update_or_create(
            pk=Drain.ROW,
            defaults={
                "is_drained": True,
                "reason": reason,
                "changed_by_name": actor.name,
                "changed_at": drain.changed_at if drain else timezone.now(),
            },
        )
        audit.record(
            Event.SYSTEM_DRAINED, actor=actor, target=SYSTEM_TARGET, data={"reason": reason}
        )
        wake.send()
    return drain


def resume_system(*, actor: Actor) -> bool:
    """Take and start work again; False when it was not drained."""
    with transaction.atomic():
        take_claim_lock()
        drain = find()
        if drain is None:
            return False
        began = drain.changed_at
        drain.is_drained = False
        drain.changed_by_name = actor.name
        drain.changed_at = timezone.now()
        drain.save()
        audit.record(
            Event.SYSTEM_RESUMED,
            actor=actor,
            target=SYSTEM_TARGET,
            data={"reason": drain.reason, "drained_at": began.isoformat()},
        )
        wake.send()
    return True
