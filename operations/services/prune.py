"""Forgetting what is old, or too much: ended operations with their logs."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet, Sum
from django.db.models.functions import Coalesce, Length

from accounts import audit
from accounts.actor import Actor
from operations.events import Event
from operations.models import Operation, OperationLog

BATCH = 500


@dataclass(frozen=True)
class Retention:
    """What is kept: what ended since `before`, of that the newest `count`, of those as many of the newest
    as have `log_bytes` of logs together. None keeps everything."""

    before: datetime | None = None
    count: int | None = None
    log_bytes: int | None = None


def prunable(retention: Retention) -> list[uuid.UUID]:
    """The ended operations that are not kept; the steps of a workflow go with the workflow."""
    found: set[uuid.UUID] = set()
    if retention.before is not None:
        found.update(ended().filter(finished_at__lt=retention.before).values_list("pk", flat=True))
    if retention.count is not None:
        found.update(ended().order_by("-id").values_list("pk", flat=True)[retention.count :])
    if retention.log_bytes is not None:
        found.update(beyond(retention.log_bytes))
    return sorted(found)


def ended() -> QuerySet[Operation]:
    return Operation.objects.filter(status__in=Operation.FINAL, workflow=None)


def beyond(limit: int) -> Iterator[uuid.UUID]:
    """The older ones of those whose logs go beyond so many bytes, newest counted first. What has not
    ended counts, and stays."""
    sizes: dict[uuid.UUID, int] = dict(
        OperationLog.objects.order_by()
        .values_list(Coalesce("operation__workflow_id", "operation_id"))
        .annotate(size=Sum(Length("data")))
    )
    rows = Operation.objects.filter(workflow=None).order_by("-id")
    total = 0
    for pk, status in rows.values_list("pk", "status").iterator():
        total += sizes.get(pk, 0)
        if total > limit and status in Operation.FINAL and sizes.get(pk):
            yield pk


def prune_operations(*, retention: Retention, actor: Actor) -> int:
    """Delete in short transactions; returns how many (steps not counted)."""
    ids = prunable(retention)
    for begin in range(0, len(ids), BATCH):
        _delete(ids[begin : begin + BATCH], retention, actor)
    return len(ids)


def _delete(ids: list[uuid.UUID], retention: Retention, actor: Actor) -> None:
    data: dict[str, Any] = {"count": len(ids)}
    if retention.before is not None:
        data["before"] = retention.before.isoformat()
    if retention.count is not None:
        data["kept"] = retention.count
    if retention.log_bytes is not None:
        data["kept_log_bytes"] = retention.log_bytes
    with transaction.atomic():
        Operation.objects.filter(Q(pk__in=ids), status__in=Operation.FINAL).delete()
        audit.record(Event.OPERATIONS_PRUNED, actor=actor, data=data)
