"""The operation: one run of the CLI, or a workflow of such runs. Its table is the queue."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, ClassVar

import uuid_utils.compat
from django.db import models
from django.db.models import Q, QuerySet
from django.db.models.deletion import Collector
from django.utils import timezone

from accounts.models import User, Workspace
from operations.commands import KIND_CHOICES
from provisioning.jsonb import Decoder


def new_id() -> uuid.UUID:
    """A UUIDv7 (RFC 9562): ordered by time, so that lists page on the primary key."""
    return uuid_utils.compat.uuid7()


def set_null_when_ended(
    collector: Collector, field: Any, operations: QuerySet[Operation], using: str
) -> None:
    """on_delete of the workspace: history outlives it, unfinished work protects it."""
    unfinished = [operation for operation in operations if not operation.is_final]
    if unfinished:
        raise models.ProtectedError("operations are not finished", set(unfinished))
    models.SET_NULL(collector, field, operations, using)


class Operation(models.Model):
    """One asynchronous piece of work.

    ::

        pending --claim--> running --finish--> completed | failed | cancelled
        pending --cancel--> cancelled                (nothing was started)
        pending --fail----> failed                   (dependency_failed, spawn_failed)

    Each arrow is one function of `operations.services` and one conditional UPDATE on the status it
    leaves; nothing leaves a terminal status. Only the runner that holds the lease may move a running
    one: `fencing_token` rises with every claim and adoption, and every write of a runner names the
    token it was given, so a runner that wakes up late changes nothing.

    A workflow is an operation of kind `workflow` that no runner claims: it runs from the first to
    the last of its steps, which are operations that point to it. `is_ready` is false while a step
    waits for others; `eligible_at` delays a retry. Of the operations with the same `lock` in a
    workspace one runs at a time, in the order they came.
    """

    class Status(models.TextChoices):
        PENDING = "pending"
        RUNNING = "running"
        COMPLETED = "completed"
        FAILED = "failed"
        CANCELLED = "cancelled"

    class Reason(models.TextChoices):
        EXIT = "exit"
        TIMED_OUT = "timed_out"
        LOST = "lost"
        SPAWN_FAILED = "spawn_failed"
        BAD_OUTPUT = "bad_output"
        DEPENDENCY_FAILED = "dependency_failed"
        CANCELLED_BY_USER = "cancelled_by_user"
        WORKFLOW_CANCELLED = "workflow_cancelled"
        SUPERSEDED = "superseded"

    FINAL: ClassVar[tuple[str, ...]] = (Status.COMPLETED, Status.FAILED, Status.CANCELLED)

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    kind = models.CharField(max_length=32, choices=KIND_CHOICES)
    status = models.CharField(max_length=9, choices=Status, default=Status.PENDING)
    reason = models.CharField(max_length=20, choices=Reason, null=True, blank=True)  # noqa: DJ001 - null on the wire
    workspace = models.ForeignKey(
        Workspace, on_delete=set_null_when_ended, null=True, related_name="operations"
    )
    workspace_name = models.CharField(max_length=63)
    subject = models.CharField(
        max_length=253,
        blank=True,
        default="",
        editable=False,
        help_text="What it works on, by the name people use.",
    )
    params: models.JSONField[Any] = models.JSONField(default=dict, decoder=Decoder)
    check_mode = models.BooleanField(default=False)
    lock = models.CharField(
        max_length=270, blank=True, default="", help_text="What it has to itself while it runs."
    )
    rerun_of = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, blank=True, related_name="reruns"
    )
    requested_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="operations"
    )
    requested_by_name = models.CharField(max_length=150)
    request_id = models.CharField(max_length=128, blank=True, default="")
    timeout_seconds = models.PositiveIntegerField()

    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    eligible_at = models.DateTimeField(default=timezone.now)
    is_ready = models.BooleanField(default=True)

    exit_code = models.IntegerField(null=True, blank=True)
    result: models.JSONField[Any] = models.JSONField(null=True, blank=True, decoder=Decoder)
    error = models.TextField(null=True, blank=True)  # noqa: DJ001 - null on the wire
    argv: models.JSONField[Any] = models.JSONField(
        null=True, editable=False, help_text="How the CLI was called, its secrets covered."
    )

    workflow = models.ForeignKey(
        "self", on_delete=models.CASCADE, null=True, blank=True, related_name="steps"
    )
    step_id = models.CharField(max_length=63, blank=True, default="")
    attempt = models.PositiveSmallIntegerField(default=1)
    is_rollback = models.BooleanField(default=False)

    fencing_token = models.PositiveBigIntegerField(default=0)
    runner = models.UUIDField(null=True, blank=True)
    host_id = models.CharField(max_length=36, blank=True, default="")
    boot_id = models.CharField(max_length=36, blank=True, default="")

    class Meta:
        ordering = ("-id",)
        indexes = [
            models.Index(fields=["status", "id"], name="operation_by_status"),
            models.Index(fields=["kind", "id"], name="operation_by_kind"),
            models.Index(fields=["workspace", "id"], name="operation_by_workspace"),
            models.Index(fields=["requested_by_name", "id"], name="operation_by_person"),
            models.Index(fields=["workflow", "id"], name="operation_by_workflow"),
            models.Index(fields=["request_id", "id"], name="operation_by_request"),
            # PostgreSQL finds beginnings by this class of order only, whatever the collation.
            models.Index(
                fields=["subject", "id"],
                opclasses=["varchar_pattern_ops", "uuid_ops"],
                name="operation_by_subject",
            ),
            models.Index(
                fields=["lock", "id"],
                opclasses=["varchar_pattern_ops", "uuid_ops"],
                name="operation_by_lock",
            ),
            models.Index(fields=["id"], condition=Q(check_mode=True), name="operation_checks"),
            models.Index(
                fields=["id"], condition=Q(workflow__isnull=False), name="operation_steps"
            ),
            models.Index(
                fields=["id"],
                condition=Q(status="pending", is_ready=True),
                name="operation_queue",
            ),
            # Of all, not only of the open ones: SQLite does not find out that an index of those would do,
            # and would read a workspace's whole history for each operation that waits.
            models.Index(fields=["workspace", "lock", "status", "id"], name="operation_locks"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=~Q(status__in=("completed", "failed", "cancelled"))
                | Q(finished_at__isnull=False),
                name="operation_ended_has_time",
            ),
            models.UniqueConstraint(
                fields=["workspace", "lock"],
                condition=Q(status="running") & ~Q(lock=""),
                name="operation_one_has_the_lock",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}".strip()

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self._state.adding:
            self.subject = subject_of(self.params)
        super().save(*args, **kwargs)

    @property
    def is_final(self) -> bool:
        return self.status in self.FINAL


def subject_of(values: Mapping[str, Any]) -> str:
    """The name in the parameters of an operation, or in its result when the CLI has chosen it."""
    return str(values.get("hostname") or values.get("name") or "")[:253]


class OperationLog(models.Model):
    """A piece (at most 64 KiB) of what the CLI wrote.

    `offset` counts bytes of both streams in the order they were read; `stream_offset` counts bytes
    of this stream, and is the position in the file it came from. Pieces lie end to end.
    """

    class Stream(models.TextChoices):
        STDOUT = "stdout"
        STDERR = "stderr"

    operation = models.ForeignKey(Operation, on_delete=models.CASCADE, related_name="log")
    stream = models.CharField(max_length=6, choices=Stream)
    offset = models.PositiveBigIntegerField()
    stream_offset = models.PositiveBigIntegerField()
    data = models.BinaryField()

    class Meta:
        ordering = ("operation", "offset")
        constraints = [
            models.UniqueConstraint(fields=("operation", "offset"), name="log_offset_unique"),
            models.UniqueConstraint(
                fields=("operation", "stream", "stream_offset"), name="log_stream_offset_unique"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.stream} {self.stream_offset}+{len(self.data)}"


class OperationTally(models.Model):
    """Counts of ended operations by kind and status, with their run times in buckets.

    Written in the transaction of the end, so the metrics are exact whatever process died, and
    survive pruning. A bucket counts runs of at most that many seconds, like Prometheus' own.
    """

    BUCKETS: ClassVar[tuple[int, ...]] = (1, 5, 15, 60, 300, 900, 3600)

    kind = models.CharField(max_length=32)
    status = models.CharField(max_length=9)
    count = models.PositiveBigIntegerField(default=0)
    seconds = models.FloatField(default=0)
    le_1 = models.PositiveBigIntegerField(default=0)
    le_5 = models.PositiveBigIntegerField(default=0)
    le_15 = models.PositiveBigIntegerField(default=0)
    le_60 = models.PositiveBigIntegerField(default=0)
    le_300 = models.PositiveBigIntegerField(default=0)
    le_900 = models.PositiveBigIntegerField(default=0)
    le_3600 = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=("kind", "status"), name="tally_unique")]

    def __str__(self) -> str:
        return f"{self.kind} {self.status}: {self.count}"
