"""A workspace that somebody keeps for himself."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from accounts.models import User, Workspace


class WorkspaceLock(models.Model):
    """Only the holder changes anything in this workspace: what others ask for is refused, what they
    have queued waits. What runs goes on, and checks need no lock."""

    workspace = models.OneToOneField(Workspace, on_delete=models.CASCADE, related_name="lock")
    holder = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    holder_name = models.CharField(max_length=150)
    reason = models.CharField(max_length=255)
    locked_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{self.workspace} locked by {self.holder_name}"
