"""The prepared config, the counters of its templates, and the values that machines hold."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q
from django.utils import timezone

from autoinstall.models.token import AnswerToken


class PreparedConfig(models.Model):
    """A prepared answer and the machines it is for.

    `document` is the wire form (`documents.ConfigDocument`) without what has a column or table of its
    own: id, tokens, is-default, priority, counters, and the password: its hash, and itself, encrypted, where
    the config keeps it.
    """

    name = models.CharField("id", max_length=64, unique=True)
    priority = models.IntegerField(default=0, help_text="Smaller is tried first, then older.")
    is_default = models.BooleanField(default=False)
    document: models.JSONField[Any] = models.JSONField()
    root_password_hash = models.CharField(max_length=600)
    root_password_sealed = models.TextField(blank=True, default="", editable=False)
    authorized_tokens: models.ManyToManyField[AnswerToken, AuthorizedToken] = (
        models.ManyToManyField(AnswerToken, through="AuthorizedToken", related_name="configs")
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)
    generation = models.BigIntegerField(default=0, editable=False)

    class Meta:
        ordering = ("id",)
        constraints = [
            models.UniqueConstraint(
                fields=["is_default"],
                condition=Q(is_default=True),
                name="prepared_config_one_default",
            )
        ]

    def __str__(self) -> str:
        return self.name


class AuthorizedToken(models.Model):
    """This token may fetch this config; the database keeps a token that is in use."""

    config = models.ForeignKey(PreparedConfig, on_delete=models.CASCADE, related_name="+")
    token = models.ForeignKey(AnswerToken, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ("id",)
        constraints = [
            models.UniqueConstraint(fields=["config", "token"], name="authorized_token_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.token_id} for {self.config_id}"


class TemplateCounter(models.Model):
    """`value` is what the next machine gets."""

    config = models.ForeignKey(
        PreparedConfig, on_delete=models.CASCADE, related_name="counters", db_index=False
    )
    name = models.CharField(max_length=64)
    value = models.BigIntegerField()

    class Meta:
        ordering = ("id",)
        constraints = [
            models.UniqueConstraint(fields=["config", "name"], name="template_counter_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.name}={self.value}"


class HeldValue(models.Model):
    """The value of a counter that a machine holds: no other gets it, and it gets it again."""

    config = models.ForeignKey(
        PreparedConfig, on_delete=models.CASCADE, related_name="held", db_index=False
    )  # its constraints have indexes that begin with it
    name = models.CharField(max_length=64)
    identity = models.CharField(max_length=512)
    value = models.BigIntegerField()

    class Meta:
        ordering = ("id",)
        constraints = [
            models.UniqueConstraint(
                fields=["config", "identity", "name"], name="held_value_one_each"
            ),
            models.UniqueConstraint(
                fields=["config", "name", "value"], name="held_value_never_shared"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.identity}: {self.name}={self.value}"
