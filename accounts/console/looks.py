"""Small pieces that all pages show alike: states, instants, durations, values to copy."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

# What a state means to the eye; a word that is not here is shown in the quiet tone.
TONES: Final[dict[str, str]] = {
    "pending": "quiet",
    "running": "busy",
    "in-progress": "busy",
    "completed": "good",
    "finished": "good",
    "answered": "good",
    "success": "good",
    "active": "good",
    "alive": "good",
    "failed": "bad",
    "error": "bad",
    "render-failed": "bad",
    "refused": "bad",
    "denied": "bad",
    "expired": "bad",
    "locked": "bad",
    "silent": "bad",
    "cancelled": "warn",
    "timed-out": "warn",
    "no-match": "warn",
    "no-answer-found": "warn",
    "malformed": "warn",
    "limit": "warn",
    "disabled": "quiet",
    "answer-sent": "good",
}


def badge(state: str, label: str = "", *, tone: str = "") -> SafeString:
    """A state as a coloured word; the word itself always says it, too."""
    shown = tone or TONES.get(state, "quiet")
    return format_html('<span class="badge {}">{}</span>', shown, label or state or "-")


def moment(at: datetime | None, *, empty: str = "-") -> SafeString | str:
    """How long ago (or until), with the exact instant in UTC at the pointer; `empty` for none."""
    if at is None:
        return empty
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        f"{at:%Y-%m-%dT%H:%M:%SZ}",
        f"{at:%Y-%m-%d %H:%M:%S} UTC",
        from_now(at),
    )


def from_now(at: datetime) -> str:
    """`3 min ago`, `in 2 h`; beyond a week the date."""
    passed = timezone.now() - at
    if abs(passed) > timedelta(days=7):
        return f"{at:%Y-%m-%d}"
    if abs(passed) < timedelta(seconds=1):
        return "now"
    words = duration(abs(passed).total_seconds())
    return f"{words} ago" if passed > timedelta(0) else f"in {words}"


def duration(seconds: float | None) -> str:
    """`0.8 s`, `12 s`, `3 min`, `2 h 5 min`, `4 d 2 h`; `-` for none."""
    if seconds is None:
        return "-"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, left = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {left} s" if minutes < 10 and left else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def copyable(value: str, *, label: str = "Copy") -> SafeString:
    """A value with a button that copies it (console.js); without script it can still be marked."""
    return format_html(
        '<span class="copyable"><code>{0}</code><button type="button" class="quiet-button" '
        'data-copy="{0}">{1}</button></span>',
        value,
        label,
    )
