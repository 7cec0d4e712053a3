"""The attempt: one request for an answer, and the installation that may come of it."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

import uuid_utils.compat
from django.db import models
from django.db.models import Q
from django.utils import timezone

from provisioning.jsonb import Decoder


def new_id() -> uuid.UUID:
    """A UUIDv7 (RFC 9562): ordered by time, so that lists page on the primary key."""
    return uuid_utils.compat.uuid7()


class InstallationManager(models.Manager["Attempt"]):
    """The attempts that Datacenter Manager would know of."""

    def get_queryset(self) -> models.QuerySet[Attempt]:
        return super().get_queryset().exclude(status="")


class Attempt(models.Model):
    """Every request for an answer leaves one row, whatever became of it.

    ::

        answered --(no hook asked for)--------> answer-sent
        answered --(hook asked for)--> in-progress --post-hook--> finished
        no-match ------------------------------> no-answer-found
        refused, malformed, limit, render-failed, error: no installation, `status` is empty

    An `in-progress` whose `deadline_at` has passed is timed out: read, never stored, and a late hook
    still finishes it. A row is written once; only the post-hook and the counting of repeated refusals
    change it.
    """

    class Outcome(models.TextChoices):
        ANSWERED = "answered"
        NO_MATCH = "no-match"
        REFUSED = "refused"
        MALFORMED = "malformed"
        LIMIT = "limit"
        RENDER_FAILED = "render-failed"
        ERROR = "error"

    class Status(models.TextChoices):
        ANSWER_SENT = "answer-sent"
        NO_ANSWER_FOUND = "no-answer-found"
        IN_PROGRESS = "in-progress"
        FINISHED = "finished"

    class Credential(models.TextChoices):
        """How the token came; all but the header are marked for the eye of an auditor."""

        NONE = "none"
        HEADER = "header"
        PATH = "path"
        SOURCE = "source"

    TIMED_OUT = "timed-out"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    received_at = models.DateTimeField(default=timezone.now)
    outcome = models.CharField(max_length=13, choices=Outcome)
    reason = models.CharField(max_length=1000, blank=True, default="")
    repeats = models.PositiveIntegerField(
        default=1, help_text="How many refused requests this row stands for."
    )
    source = models.CharField(max_length=45, blank=True, default="")
    request_id = models.CharField(max_length=128, blank=True, default="")
    user_agent = models.CharField(max_length=255, blank=True, default="")
    token_name = models.CharField("token", max_length=64, blank=True, default="")
    credential = models.CharField(max_length=6, choices=Credential, default=Credential.NONE)
    identity = models.CharField(max_length=512, blank=True, default="", db_index=True)
    product = models.CharField(max_length=32, blank=True, default="")
    release = models.CharField(max_length=64, blank=True, default="")
    serial = models.CharField(max_length=128, blank=True, default="")
    raw = models.TextField("system information", blank=True, default="")
    config_name = models.CharField("prepared config", max_length=64, blank=True, default="")
    counters: models.JSONField[Any] = models.JSONField(default=dict, blank=True)
    answer_format = models.CharField(max_length=4, blank=True, default="")
    answer_digest = models.CharField(max_length=64, blank=True, default="")
    omitted: models.JSONField[Any] = models.JSONField(
        default=list, blank=True, help_text="Keys that this installer would not have understood."
    )
    status = models.CharField(max_length=15, choices=Status, blank=True, default="")
    deadline_at = models.DateTimeField(null=True, blank=True)
    hook_digest = models.CharField(max_length=64, blank=True, default="", editable=False)
    hook_data: models.JSONField[Any] = models.JSONField(null=True, blank=True, decoder=Decoder)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = models.Manager["Attempt"]()
    installations = InstallationManager()

    class Meta:
        ordering = ("-id",)
        indexes = [
            models.Index(fields=["config_name", "id"], name="attempt_config"),
            models.Index(fields=["token_name", "id"], name="attempt_token"),
            models.Index(fields=["serial", "id"], name="attempt_serial"),
            # Rare among a million, and what somebody looks for; an answer does not touch it.
            models.Index(
                fields=["outcome", "id"],
                condition=~Q(outcome="answered"),
                name="attempt_unanswered",
            ),
            models.Index(
                fields=["deadline_at"],
                condition=Q(status="in-progress"),
                name="attempt_in_progress",
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def is_overdue(self) -> bool:
        return (
            self.status == self.Status.IN_PROGRESS
            and self.deadline_at is not None
            and self.deadline_at <= timezone.now()
        )

    @property
    def state(self) -> str:
        """`status`, or `timed-out` where the machine should have reported by now."""
        return self.TIMED_OUT if self.is_overdue else self.status


class Installation(Attempt):
    """The same rows with a page of their own: those that got an answer, or would have got one."""

    objects: ClassVar[Any] = InstallationManager()  # it is typed for attempts; here it makes these

    class Meta:
        proxy = True
        ordering = ("-id",)
