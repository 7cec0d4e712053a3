"""Tables of auto-install: tokens and configs (the catalogue), what was handed out, what was asked."""

from __future__ import annotations

from autoinstall.models.attempt import Attempt, Installation
from autoinstall.models.catalogue import Catalogue, CatalogueChange
from autoinstall.models.config import AuthorizedToken, HeldValue, PreparedConfig, TemplateCounter
from autoinstall.models.token import AnswerToken

__all__ = [
    "AnswerToken",
    "Attempt",
    "AuthorizedToken",
    "Catalogue",
    "CatalogueChange",
    "HeldValue",
    "Installation",
    "PreparedConfig",
    "TemplateCounter",
]
