"""What django-q2 runs, by these dotted names."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from accounts.actor import SYSTEM
from operations import runner, sync
from operations.services import prune

# An idle turn costs a heartbeat; whoever submits after it has ended waits for the next one to begin.
LINGER_SECONDS = 3600.0


def run_pending() -> None:
    """One turn of the runner."""
    runner.run_turn(linger=LINGER_SECONDS)


def prune_operations() -> None:
    """Delete what the configuration does not keep."""
    days = settings.RETENTION_DAYS
    retention = prune.Retention(
        before=timezone.now() - timedelta(days=days) if days else None,
        count=settings.RETENTION_OPERATIONS or None,
        log_bytes=settings.RETENTION_LOG_BYTES or None,
    )
    prune.prune_operations(retention=retention, actor=SYSTEM)


def sync_inventory() -> None:
    """Bring the inventory up to date with the CLI's lists."""
    sync.sync_all()
