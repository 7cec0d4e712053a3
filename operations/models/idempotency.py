"""Which request made which operation, by the key that the caller gave it."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from django.db import models
from django.utils import timezone

from accounts.models import User
from operations.models.operation import Operation


class IdempotencyKey(models.Model):
    """The caller's name for one launching request. `digest` is of its method, path and body: the same
    key with another request is a mistake of the caller."""

    KEPT: ClassVar[timedelta] = timedelta(days=7)

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    digest = models.CharField(max_length=64)
    operation = models.ForeignKey(Operation, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        ordering = ("id",)
        constraints = [
            models.UniqueConstraint(fields=["user", "key"], name="idempotency_key_unique")
        ]

    def __str__(self) -> str:
        return self.key
