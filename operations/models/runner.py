"""Processes that run operations, each by a random incarnation, never by host name."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import ClassVar

from django.db import models
from django.utils import timezone


class Runner(models.Model):
    """A live process: the supervisor of a worker, one turn of a runner, or a foreground run.

    The lease of a runner is its `heartbeat_at`: past LEASE it counts as dead. `host_id` names a
    state directory, `boot_id` one life of the machine's kernel.
    """

    LEASE: ClassVar[timedelta] = timedelta(seconds=15)

    class Role(models.TextChoices):
        WORKER = "worker"
        TURN = "turn"
        FOREGROUND = "foreground"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    role = models.CharField(max_length=10, choices=Role)
    host_id = models.CharField(max_length=36)
    host_name = models.CharField(max_length=253)
    boot_id = models.CharField(max_length=36)
    pid = models.PositiveIntegerField()
    pid_started = models.PositiveBigIntegerField(help_text="Clock ticks after boot (proc(5)).")
    started_at = models.DateTimeField(default=timezone.now)
    heartbeat_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("started_at",)

    def __str__(self) -> str:
        return f"{self.role} {self.pid} on {self.host_name}"

    @property
    def is_alive(self) -> bool:
        return self.heartbeat_at > timezone.now() - self.LEASE
