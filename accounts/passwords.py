"""The rules for a password, as one sentence."""

from __future__ import annotations

import secrets

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError

from accounts.models import User
from provisioning.errors import Invalid

MAX_LENGTH = 1024


def check(password: str, user: User | None, *, field: str = "password") -> None:
    """Raise Invalid naming the field and the first rule that is broken."""
    if len(password) > MAX_LENGTH:
        raise Invalid(f"must have at most {MAX_LENGTH} characters", field=field)
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Invalid(error.messages[0], field=field) from None


# Without letters and digits that look alike. 20 of 31 are 99 bits.
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


def generate() -> str:
    """A password for somebody to begin with, easy to read out: four groups of five."""
    return "-".join("".join(secrets.choice(ALPHABET) for _ in range(5)) for _ in range(4))
