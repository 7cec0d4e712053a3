"""Who is at work: each worker of the database with its last sign of life and what runs at its host."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count
from django.utils import timezone

from operations.models import Runner
from operations.services import lifecycle


@dataclass(frozen=True)
class WorkerState:
    """`heartbeat_seconds` is the age of the last sign of life; `running` counts operations."""

    worker: Runner
    heartbeat_seconds: float
    running: int


def worker_states() -> list[WorkerState]:
    """Every worker that is known, the silent ones too, oldest first; two queries."""
    now = timezone.now()
    running = running_by_host()
    return [
        WorkerState(
            worker,
            max((now - worker.heartbeat_at).total_seconds(), 0.0),
            running.get(worker.host_id, 0),
        )
        for worker in Runner.objects.filter(role=Runner.Role.WORKER).order_by("started_at", "pk")
    ]


def running_by_host() -> dict[str, int]:
    """`host_id` -> operations that run there. A host has one worker, whose turns come and go."""
    rows = lifecycle.running().order_by().values_list("host_id").annotate(count=Count("pk"))
    return dict(rows)
