"""What every page of the console says of the system."""

from __future__ import annotations

from django import template

from operations.models import Drain
from operations.services import drain

register = template.Library()


@register.simple_tag
def current_drain() -> Drain | None:
    """The drain that is on, if one is."""
    return drain.find()
