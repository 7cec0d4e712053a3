"""Writing the audit trail: called at the act, inside its transaction; never a signal."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from django.db import models

from accounts.actor import Actor
from accounts.models import AuditEvent

Outcome = AuditEvent.Outcome


def record(
    event: StrEnum,
    *,
    actor: Actor,
    target: models.Model | None = None,
    target_name: str = "",
    workspace: str = "",
    outcome: Outcome = Outcome.SUCCESS,
    data: Mapping[str, Any] | None = None,
) -> AuditEvent:
    """Append one event. `data` is JSON and never holds a secret.

    If it cannot be written the exception undoes the change it describes.
    """
    return AuditEvent.objects.create(
        event=str(event),
        outcome=outcome,
        actor=actor.user,
        actor_name=actor.name,
        target_type=type(target).__name__.lower() if target is not None else "",
        target_id=str(target.pk) if target is not None else "",
        target_name=(target_name or (str(target) if target is not None else ""))[:255],
        workspace=workspace,
        source=actor.source,
        user_agent=actor.user_agent,
        request_id=actor.request_id,
        data=dict(data or {}),
    )


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, list[Any]]:
    """`{"field": [old, new]}` for what differs."""
    return {key: [before[key], after[key]] for key in before if before[key] != after.get(key)}
