"""Changing tokens and configs: one change after the other, each with its generation."""

from __future__ import annotations

from django.db.models import F

from autoinstall.models import AnswerToken, Catalogue, CatalogueChange, PreparedConfig

# Snapshots that are further behind load everything anew.
KEPT_CHANGES = 5000


def lock_catalogue() -> None:
    """To be called first in the transaction of a change: no other change runs until its end, so what it
    checks (is the token in use? is there another default?) stays true."""
    Catalogue.objects.get_or_create(pk=Catalogue.ID)
    Catalogue.objects.select_for_update().get(pk=Catalogue.ID)


def note_change(row: AnswerToken | PreparedConfig) -> int:
    """The next generation, in which this row was made, changed or deleted. The caller saves it."""
    Catalogue.objects.filter(pk=Catalogue.ID).update(generation=F("generation") + 1)
    generation = Catalogue.objects.values_list("generation", flat=True).get(pk=Catalogue.ID)
    noun = (
        CatalogueChange.Noun.TOKEN if isinstance(row, AnswerToken) else CatalogueChange.Noun.CONFIG
    )
    CatalogueChange.objects.create(generation=generation, noun=noun, row_id=row.pk)
    if generation % 100 == 0:
        CatalogueChange.objects.filter(generation__lte=generation - KEPT_CHANGES).delete()
    return generation
