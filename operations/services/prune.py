"""Forgetting what is old: ended operations with their logs."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from accounts import audit
from accounts.actor import Actor
from operations.events import Event
from operations.models import Operation

BATCH = 500


def prunable(before: datetime) -> QuerySet[Operation]:
    """Ended before then; the steps of a workflow go with the workflow."""
    return Operation.objects.filter(
        status__in=Operation.FINAL, finished_at__lt=before, workflow=None
    )


def prune_operations(*, before: datetime, actor: Actor) -> int:
    """Delete ended operations in short transactions; returns how many (steps not counted)."""
    total = 0
    while ids := list(prunable(before).values_list("pk", flat=True)[:BATCH]):
        with transaction.atomic():
            Operation.objects.filter(pk__in=ids).delete()
            audit.record(
                Event.OPERATIONS_PRUNED,
                actor=actor,
                data={"count": len(ids), "before": before.isoformat()},
            )
        total += len(ids)
    return total
