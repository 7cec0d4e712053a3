"""Asking the CLI what exists: a periodic look at its lists, and one item's status on request."""

from __future__ import annotations

import logging
import threading
from datetime import datetime

from django.conf import settings
from django.utils import timezone

from accounts.actor import SYSTEM, Actor
from accounts.models import Workspace
from operations.inventory import KEYS, MODELS, store_list, text
from operations.models import InventoryItem
from operations.runner.launch import capture_document

log = logging.getLogger("provisioning.inventory")

# A CLI that hangs holds the thread that asks it: some must be left for all other requests.
_status_calls = threading.BoundedSemaphore(settings.STATUS_CALLS_AT_ONCE)


def sync_all(*, actor: Actor = SYSTEM) -> dict[str, int]:
    """Bring every workspace up to date; counts of items seen and removed, and of lists that failed."""
    counts = {"seen": 0, "removed": 0, "failed": 0}
    for workspace in Workspace.objects.all():
        for name in MODELS:
            _sync_list(workspace, name, counts, actor)
    return counts


def _sync_list(workspace: Workspace, name: str, counts: dict[str, int], actor: Actor) -> None:
    asked_at = timezone.now()
    document, problem = capture_document(f"{name}_list", workspace.name, {})
    if problem or not isinstance(document, list):
        counts["failed"] += 1
        log.warning(
            "%s list of workspace %s is not usable: %s",
            name,
            workspace.name,
            problem or "the CLI did not print a JSON array",
        )
        return
    seen, removed = store_list(MODELS[name], workspace, document, asked_at, actor)
    counts["seen"] += seen
    counts["removed"] += len(removed)


def observe(item: InventoryItem) -> tuple[InventoryItem, datetime, str]:
    """The item as the CLI sees it now, when it answers within a short time: `(item, observed_at,
    "live")`; else as stored: `(item, seen_at, "stored")`."""
    status = _ask_status(item)
    if status is None:
        return item, item.seen_at, "stored"
    now = timezone.now()
    status = text(status) or item.status
    type(item)._default_manager.filter(pk=item.pk).update(status=status, seen_at=now)
    item.status, item.seen_at = status, now
    return item, now, "live"


def _ask_status(item: InventoryItem) -> str | None:
    """What the CLI says, if it does. Nobody waits for a turn: a thread that waits answers nothing."""
    if not _status_calls.acquire(blocking=False):
        return None
    try:
        key = f"{type(item).__name__.lower()}_status"
        params = {name: getattr(item, name) for name in KEYS[type(item)]}
        document, problem = capture_document(key, item.workspace.name, params)
    finally:
        _status_calls.release()
    if problem or not isinstance(document, dict) or not isinstance(document.get("status"), str):
        return None
    return str(document["status"])
