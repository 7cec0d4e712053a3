"""The generation of the catalogue: how the compiled snapshot of each process notices a change."""

from __future__ import annotations

from django.db import models


class Catalogue(models.Model):
    """One row. Whoever changes tokens or configs first raises `generation`, and so holds its lock to
    the end of the transaction: changes happen one after the other, and none is seen half."""

    ID = 1

    generation = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"generation {self.generation}"


class CatalogueChange(models.Model):
    """What changed with each generation, so that a snapshot loads that and nothing else."""

    class Noun(models.TextChoices):
        TOKEN = "token"  # noqa: S105 - a noun
        CONFIG = "config"

    generation = models.BigIntegerField(primary_key=True)
    noun = models.CharField(max_length=6, choices=Noun)
    row_id = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.noun} {self.row_id} at {self.generation}"
