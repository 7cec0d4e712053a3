"""How pages call operations, and the links between them."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.actor import Actor
from accounts.console.looks import badge, duration
from operations.commands import Kind
from operations.models import InventoryItem, Operation

KIND_WORDS: Final[dict[str, str]] = {
    kind.value: " ".join(reversed(kind.value.split("_"))).capitalize() for kind in Kind
}
REASON_WORDS: Final[dict[str, str]] = {
    "exit": "the CLI said no",
    "timed_out": "timed out",
    "lost": "lost",
    "spawn_failed": "could not be started",
    "bad_output": "unusable output",
    "dependency_failed": "not started",
    "cancelled_by_user": "by a person",
    "workflow_cancelled": "with its workflow",
    "superseded": "superseded",
}


# What the CLI's words for the state of an item mean to the eye; of others nobody knows.
ITEM_TONES: Final[dict[str, str]] = {
    **dict.fromkeys(("running", "ready", "active", "created", "registered", "installed"), "good"),
    **dict.fromkeys(("failed", "error", "unreachable"), "bad"),
    **dict.fromkeys(("stopped", "off", "degraded"), "warn"),
}


def item_badge(item: InventoryItem) -> SafeString:
    return badge(item.status, tone=ITEM_TONES.get(item.status, "quiet"))


def title_of(operation: Operation) -> str:
    """`Create server web-01`, `Workflow rollout`."""
    return f"{KIND_WORDS.get(operation.kind, operation.kind)} {operation.subject}".strip()


def page_of(operation: Operation) -> str:
    return reverse("admin:operations_operation_change", args=[operation.pk])


def link_to(operation: Operation) -> SafeString:
    return format_html('<a href="{}">{}</a>', page_of(operation), title_of(operation))


def badges_of(operation: Operation) -> SafeString:
    """Its status, that it is to be stopped, and the reason in words where there is one to tell."""
    shown = badge(operation.status)
    if operation.cancel_requested_at and not operation.is_final:
        shown += format_html(" {}", badge("cancelled", "being stopped"))
    if operation.reason:
        words = REASON_WORDS.get(operation.reason, operation.reason)
        shown += format_html(' <span class="quiet reason">{}</span>', words)
    return shown


def run_time(operation: Operation) -> timedelta | None:
    """From start to end, or until now; None for what never started."""
    if operation.started_at is None:
        return None
    return (operation.finished_at or timezone.now()) - operation.started_at


def run_time_words(operation: Operation) -> str:
    passed = run_time(operation)
    return duration(passed.total_seconds() if passed is not None else None)


def may(actor: Actor, permission: str, operation: Operation) -> bool:
    """Held in the operation's workspace; anywhere at all, once that workspace is gone."""
    return actor.grants.allows(permission, operation.workspace_id)
