"""Writing the audit trail: called at the act, inside its transaction; never a signal."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from django.db import models
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import AuditEvent
from provisioning.statements import Driver, Insert

Outcome = AuditEvent.Outcome


class Target(NamedTuple):
    """What an event is about, where no instance of its model is at hand."""

    type: str
    id: str
    name: str


def target_of(row: models.Model | None) -> Target:
    if row is None:
        return Target("", "", "")
    return Target(type(row).__name__.lower(), str(row.pk), str(row))


def record(
    event: StrEnum,
    *,
    actor: Actor,
    target: models.Model | Target | None = None,
    target_name: str = "",
    workspace: str = "",
    outcome: Outcome = Outcome.SUCCESS,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Append one event. `data` is JSON and never holds a secret.

    If it cannot be written the exception undoes the change it describes.
    """
    about = target if isinstance(target, Target) else target_of(target)
    about = about._replace(name=target_name or about.name)
    row = row_of(event, actor=actor, target=about, outcome=outcome, data=data or {})
    _insert().write_one({**row, "workspace": workspace})


def row_of(
    event: StrEnum, *, actor: Actor, target: Target, outcome: Outcome, data: Mapping[str, Any]
) -> dict[str, Any]:
    """What `record` writes, for hot paths that `write` the events of many at once."""
    return {
        "occurred_at": timezone.now(),
        "event": str(event),
        "outcome": str(outcome),
        "actor": actor.user.pk if actor.user else None,
        "actor_name": actor.name,
        "target_type": target.type,
        "target_id": target.id,
        "target_name": target.name[:255],
        "workspace": "",
        "source": actor.source,
        "user_agent": actor.user_agent,
        "request_id": actor.request_id,
        "data": dict(data),
    }


def write(driver: Driver, rows: Sequence[Mapping[str, Any]]) -> None:
    """In the transaction of this connection."""
    _insert().write(driver, rows)


@functools.cache
def _insert() -> Insert:
    return Insert(
        AuditEvent,
        *("occurred_at", "event", "outcome", "actor", "actor_name", "target_type", "target_id"),
        *("target_name", "workspace", "source", "user_agent", "request_id", "data"),
    )


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, list[Any]]:
    """`{"field": [old, new]}` for what differs."""
    return {key: [before[key], after[key]] for key in before if before[key] != after.get(key)}
