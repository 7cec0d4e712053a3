"""Repeated wrong passwords lock a name out for a while, for the address they come from.

A failure is counted by one UPDATE; nothing sleeps. A locked name is answered before the password is
hashed, so a flood of tries costs no CPU; tries that are being hashed at that moment (at most one a web
thread) are still answered. After ten times the limit from anywhere the name is locked
for every address, which stops a guess spread over many machines.
"""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from accounts import audit
from accounts.actor import Actor
from accounts.events import Event
from accounts.models import LoginThrottle, User
from provisioning.errors import TooManyRequests

EVERYWHERE = "*"
EVERYWHERE_FACTOR = 10


def refuse_if_locked(username: str, source: str) -> None:
    """Raise TooManyRequests (with the seconds to wait) while this name is locked."""
    locked_until = (
        LoginThrottle.objects.filter(
            username=username.lower(),
            source__in=(source, EVERYWHERE),
            locked_until__gt=timezone.now(),
        )
        .order_by("-locked_until")
        .values_list("locked_until", flat=True)
        .first()
    )
    if locked_until:
        seconds = max(1, int((locked_until - timezone.now()).total_seconds()) + 1)
        raise TooManyRequests(
            f"Too many failed logins: try again in {seconds} seconds, or ask an admin to unlock you.",
            retry_after_seconds=seconds,
        )


def count_failure(username: str, actor: Actor) -> None:
    """Count one wrong password and lock the name when the limit is reached."""
    name = username.lower()[:150]
    limit = settings.LOCKOUT_FAILURES
    for source, allowed in ((actor.source, limit), (EVERYWHERE, limit * EVERYWHERE_FACTOR)):
        if _failures_after_one_more(name, source) == allowed:
            LoginThrottle.objects.filter(username=name, source=source).update(
                locked_until=timezone.now() + timedelta(seconds=settings.LOCKOUT_SECONDS)
            )
            audit.record(
                Event.LOGIN_LOCKED,
                actor=actor,
                target_name=name,
                outcome=audit.Outcome.DENIED,
                data={"source": source, "seconds": settings.LOCKOUT_SECONDS},
            )


def _failures_after_one_more(name: str, source: str) -> int:
    now = timezone.now()
    row = LoginThrottle.objects.filter(username=name, source=source)
    window = now - timedelta(seconds=settings.LOCKOUT_SECONDS)
    row.filter(first_failure_at__lt=window).update(
        failures=0, first_failure_at=now, locked_until=None
    )
    if not row.update(failures=F("failures") + 1):
        try:
            with transaction.atomic():
                LoginThrottle.objects.create(username=name, source=source, failures=1)
        except IntegrityError:  # somebody else counted the first failure at the same instant
            row.update(failures=F("failures") + 1)
    return row.values_list("failures", flat=True).get()


def forget_failures(username: str, source: str) -> None:
    """A right password clears the count of its own address."""
    LoginThrottle.objects.filter(username=username.lower(), source=source).delete()


def forget_all_failures(username: str) -> None:
    """A new password starts afresh from every address."""
    LoginThrottle.objects.filter(username=username.lower()).delete()


def unlock(user: User, *, actor: Actor) -> int:
    """End every lock of this name; returns how many were in force."""
    return unlock_name(user.username, actor=actor)


def unlock_name(username: str, *, actor: Actor) -> int:
    """The same for a name that need not be anybody's: guessers lock such names, too."""
    name = username.lower()
    with transaction.atomic():
        user = User.objects.filter(username__iexact=name).first() if name.isascii() else None
        rows = LoginThrottle.objects.filter(username=name)
        locked = rows.filter(locked_until__gt=timezone.now()).count()
        rows.delete()
        audit.record(
            Event.USER_UNLOCKED,
            actor=actor,
            target=user or audit.Target("user", "", username),
            data={"locks": locked},
        )
    return locked
