"""How templates show operations."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.utils.safestring import SafeString

from accounts.console import looks
from operations.admin import words

register = template.Library()

register.filter("link_to", words.link_to)
register.filter("title_of", words.title_of)
register.filter("badges_of", words.badges_of)
register.filter("page_of", words.page_of)
register.filter("run_time_words", words.run_time_words)
register.filter("item_badge", words.item_badge)


@register.filter
def moment(at: datetime | None) -> SafeString | str:
    return looks.moment(at)


@register.filter
def instant(at: datetime | None) -> str:
    """To the second, for timelines."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else ""
