"""Which row a text means that came with a request."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Model


def key_of(model: type[Model], text: str) -> Any | None:
    """The primary key, as a query takes it; None for what can be the key of no row: other signs, a number
    that the column does not hold."""
    field: Any = model._meta.pk
    try:
        key = field.to_python(text)
        field.run_validators(key)
    except ValidationError:
        return None
    return key
