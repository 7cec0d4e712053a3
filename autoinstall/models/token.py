"""The answer token: what an installer shows to get its answer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.db import models
from django.utils import timezone


class AnswerToken(models.Model):
    """`name` is its id on the wire and in `id:secret`. Of the secret only a keyed digest is kept.

    `enabled` and `expire_at` (epoch seconds) may be unset, as on the wire; unset or 0 never expires.
    At the instant `expire_at` itself the token is expired.
    """

    name = models.CharField("id", max_length=64, unique=True)
    secret_digest = models.CharField(max_length=64, editable=False)
    created_by = models.CharField(max_length=150)
    comment = models.CharField(max_length=128, null=True, blank=True)  # noqa: DJ001 - unset differs from ""
    enabled = models.BooleanField(null=True, blank=True, help_text="Unset means yes.")
    expire_at = models.BigIntegerField(
        null=True, blank=True, help_text="Epoch seconds; unset or 0 means never."
    )
    source_cidrs: models.JSONField[Any] = models.JSONField(
        "source networks",
        default=list,
        blank=True,
        help_text="Only from these networks; none means from anywhere.",
    )
    max_uses = models.PositiveIntegerField(
        null=True, blank=True, help_text="How many answers it may fetch; unset means any number."
    )
    uses = models.PositiveIntegerField(default=0, editable=False)
    allow_in_path = models.BooleanField(
        default=False,
        help_text="For installers before 9.2 and DHCP or DNS discovery: id:secret in the URL's path.",
    )
    allow_without_secret = models.BooleanField(
        default=False, help_text="From its source networks an answer needs no secret at all."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    rotated_at = models.DateTimeField(null=True, editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False)
    last_used_from = models.CharField(max_length=45, blank=True, default="", editable=False)
    generation = models.BigIntegerField(default=0, editable=False)

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return self.name

    @property
    def is_active(self) -> bool:
        return self.enabled is not False and not self.is_expired

    @property
    def is_expired(self) -> bool:
        return bool(self.expire_at) and self.expire_at <= timezone.now().timestamp()  # type: ignore[operator]

    @property
    def is_used_up(self) -> bool:
        return self.max_uses is not None and self.uses >= self.max_uses

    @property
    def state(self) -> str:
        """Why it is refused, the first that is true of it: `disabled`, `expired`, `used-up`; else
        `active`."""
        if self.enabled is False:
            return "disabled"
        if self.is_expired:
            return "expired"
        return "used-up" if self.is_used_up else "active"

    @property
    def expires_at(self) -> datetime | None:
        """None for never, and for an instant beyond the year 9999."""
        try:
            return datetime.fromtimestamp(self.expire_at, UTC) if self.expire_at else None
        except (ValueError, OverflowError, OSError):
            return None
