"""What exists, kept true by the results of operations and by a periodic look at the CLI's lists."""

from __future__ import annotations

import secrets
from typing import Any, ClassVar

from django.db import models
from django.utils import timezone

from accounts.models import Workspace
from operations.models.operation import Operation

ID_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


class InventoryItem(models.Model):
    """What servers, taskservs and clusters have in common. `uid` is the id on the wire."""

    PREFIX: ClassVar[str]

    uid = models.CharField(max_length=63, unique=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="%(class)ss")
    status = models.CharField(max_length=63, default="unknown")
    created_at = models.DateTimeField(default=timezone.now)
    seen_at = models.DateTimeField(default=timezone.now)
    last_operation = models.ForeignKey(
        Operation, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )

    class Meta:
        abstract = True

    @classmethod
    def new_uid(cls) -> str:
        """`srv-3k9x0q2m`: 41 random bits; the unique column catches what chance would repeat."""
        return cls.PREFIX + "".join(secrets.choice(ID_ALPHABET) for _ in range(8))


class Server(InventoryItem):
    PREFIX = "srv-"

    hostname = models.CharField(max_length=253)
    provider = models.CharField(max_length=63, blank=True, default="")
    plan = models.CharField(max_length=63, blank=True, default="")
    zone = models.CharField(max_length=63, blank=True, default="")
    ip_address = models.CharField(max_length=253, blank=True, default="")
    tags: models.JSONField[Any] = models.JSONField(default=list, blank=True)

    class Meta:
        ordering = ("id",)
        constraints = [
            models.UniqueConstraint(fields=("workspace", "hostname"), name="server_unique")
        ]

    def __str__(self) -> str:
        return self.hostname


class Taskserv(InventoryItem):
    """A service installed on a server (or, with an empty `server`, on the workspace)."""

    PREFIX = "tsk-"

    name = models.CharField(max_length=63)
    version = models.CharField(max_length=63, blank=True, default="")
    server = models.CharField(max_length=253, blank=True, default="")

    class Meta:
        ordering = ("id",)
        constraints = [
            models.UniqueConstraint(fields=("workspace", "name", "server"), name="taskserv_unique")
        ]

    def __str__(self) -> str:
        return f"{self.name} on {self.server}" if self.server else self.name


class Cluster(InventoryItem):
    PREFIX = "cls-"

    name = models.CharField(max_length=63)
    version = models.CharField(max_length=63, blank=True, default="")

    class Meta:
        ordering = ("id",)
        constraints = [models.UniqueConstraint(fields=("workspace", "name"), name="cluster_unique")]

    def __str__(self) -> str:
        return self.name
