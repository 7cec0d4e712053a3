"""The rules for a password, as one sentence."""

from __future__ import annotations

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
