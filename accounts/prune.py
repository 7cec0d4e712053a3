"""Forgetting what is old: audit events and sessions that have ended."""

from __future__ import annotations

from datetime import datetime

from django.contrib.sessions.models import Session
from django.db import transaction
from django.utils import timezone

from accounts import audit
from accounts.actor import Actor
from accounts.events import Event
from accounts.models import AuditEvent, LoginThrottle, RefreshSession

BATCH = 5000


def prune_audit(*, before: datetime, actor: Actor) -> int:
    """Delete events from before then, in short transactions; the pruning itself is an event."""
    total = 0
    while ids := list(
        AuditEvent.objects.filter(occurred_at__lt=before)
        .order_by("id")
        .values_list("pk", flat=True)[:BATCH]
    ):
        AuditEvent.objects.filter(pk__in=ids).delete()
        total += len(ids)
    if total:
        audit.record(
            Event.AUDIT_PRUNED, actor=actor, data={"count": total, "before": before.isoformat()}
        )
    return total


def count_expired_sessions(*, before: datetime) -> int:
    """Logins that `prune_sessions` would delete: of the API, and of the console."""
    refresh = RefreshSession.objects.filter(expires_at__lt=before).count()
    return refresh + Session.objects.filter(expire_date__lt=before).count()


def prune_sessions(*, before: datetime) -> int:
    """Delete logins that expired, and throttles whose time is over, before then; how many logins."""
    with transaction.atomic():
        LoginThrottle.objects.filter(first_failure_at__lt=before, locked_until=None).delete()
        LoginThrottle.objects.filter(locked_until__lt=min(before, timezone.now())).delete()
        refresh, _ = RefreshSession.objects.filter(expires_at__lt=before).delete()
        console, _ = Session.objects.filter(expire_date__lt=before).delete()
        return refresh + console
