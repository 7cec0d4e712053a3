"""Whether new work is taken and started, for every host of the database."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils import timezone


class Drain(models.Model):
    """The one row (none before the first drain) that says whether the system is drained: what runs
    finishes, what is queued waits, what is new is refused."""

    ROW: ClassVar[int] = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ROW)
    is_drained = models.BooleanField(default=False)
    reason = models.CharField(max_length=255, blank=True, default="")
    changed_by_name = models.CharField(max_length=150, blank=True, default="")
    changed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="drain_is_one_row")]

    def __str__(self) -> str:
        return "drained" if self.is_drained else "not drained"
