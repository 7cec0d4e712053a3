"""The columns of an operation that the API shows."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import models


class Operation(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    status = models.CharField(max_length=9)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    result: models.JSONField[Any] = models.JSONField(null=True)
    error = models.TextField(null=True)  # noqa: DJ001 - as ours
    kind = models.CharField(max_length=32)
    workspace = models.CharField(max_length=63)
    check_mode = models.BooleanField(default=False)
    requested_by = models.CharField(max_length=150)
    reason = models.CharField(max_length=20, null=True)  # noqa: DJ001 - as ours
    exit_code = models.IntegerField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    timeout_seconds = models.PositiveIntegerField()
    cancel_requested_at = models.DateTimeField(null=True)
    request_id = models.CharField(max_length=128)
    params: models.JSONField[Any] = models.JSONField(default=dict)

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return str(self.pk)
