"""Attempts and their audit events: one row of each for every request."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.db.models import F

from accounts import audit
from accounts.actor import Actor
from autoinstall.authentication import How
from autoinstall.documents import CONTROL
from autoinstall.events import Event
from autoinstall.models import Attempt
from autoinstall.models.attempt import new_id
from autoinstall.sysinfo import SystemInfo
from provisioning.statements import Driver, Insert

if TYPE_CHECKING:
    from autoinstall.services.answering import Asked

Outcome = Attempt.Outcome
# Of a body that is no system information, so much is kept to look at.
KEPT_OF_MALFORMED = 16 * 1024
EVENTS = {
    Outcome.ANSWERED: (Event.ANSWER_ISSUED, audit.Outcome.SUCCESS),
    Outcome.NO_MATCH: (Event.ANSWER_MISSED, audit.Outcome.FAILED),
    Outcome.REFUSED: (Event.ANSWER_REFUSED, audit.Outcome.DENIED),
    Outcome.LIMIT: (Event.ANSWER_REFUSED, audit.Outcome.DENIED),
    Outcome.MALFORMED: (Event.ANSWER_FAILED, audit.Outcome.FAILED),
    Outcome.RENDER_FAILED: (Event.ANSWER_FAILED, audit.Outcome.FAILED),
    Outcome.ERROR: (Event.ANSWER_FAILED, audit.Outcome.FAILED),
}


def blank(asked: Asked, *, token: str, how: How, info: SystemInfo | None = None) -> dict[str, Any]:
    """The columns of an attempt that the request itself fills."""
    return {
        "id": new_id(),
        "received_at": asked.received_at,
        "outcome": "",
        "reason": "",
        "repeats": 1,
        "source": asked.source[:45],
        "request_id": asked.request_id,
        "user_agent": asked.user_agent[:255],
        "token_name": token,
        "credential": how.value,
        "identity": info.identity if info else "",
        "product": info.product[:32] if info else "",
        "release": info.release[:64] if info else "",
        "serial": info.serial[:128] if info else "",
        "raw": asked.raw.decode() if info else harmless(asked.raw),
        "config_name": "",
        "counters": {},
        "answer_format": "",
        "answer_digest": "",
        "omitted": [],
        "status": "",
        "deadline_at": None,
        "hook_digest": "",
    }


def harmless(raw: bytes) -> str:
    """The beginning of any bytes as text that every database stores."""
    return (
        raw[:KEPT_OF_MALFORMED]
        .decode("utf-8", "replace")
        .replace("\x00", "\N{REPLACEMENT CHARACTER}")
    )


@functools.cache
def _insert() -> Insert:
    return Insert(
        Attempt,
        *(
            "id",
            "received_at",
            "outcome",
            "reason",
            "repeats",
            "source",
            "request_id",
            "user_agent",
        ),
        *("token_name", "credential", "identity", "product", "release", "serial"),
        *("config_name", "counters", "answer_format", "answer_digest", "omitted", "status"),
        *("deadline_at", "hook_digest"),
        large="raw",
    )


def record(driver: Driver, attempts: Sequence[dict[str, Any]]) -> None:
    """Write the rows and their events."""
    for one in attempts:
        one["reason"] = CONTROL.sub("?", one["reason"])[:1000]
        one["outcome"] = str(one["outcome"])
        one["status"] = str(one["status"])
    _insert().write(driver, attempts)
    audit.write(driver, [_event_of(one) for one in attempts])


def _event_of(attempt: dict[str, Any]) -> dict[str, Any]:
    event, outcome = EVENTS[attempt["outcome"]]
    if attempt["config_name"] and outcome is audit.Outcome.DENIED:  # a counter's limit
        event, outcome = Event.ANSWER_FAILED, audit.Outcome.FAILED
    return audit.row_of(
        event,
        actor=actor_of(attempt),
        target=audit.Target("attempt", str(attempt["id"]), attempt["config_name"]),
        outcome=outcome,
        data=_data(attempt),
    )


def _data(attempt: dict[str, Any]) -> dict[str, Any]:
    told = ("outcome", "reason", "token_name", "credential", "serial", "answer_format", "counters")
    return {name: attempt[name] for name in told if attempt[name]}


def actor_of(attempt: dict[str, Any]) -> Actor:
    """A machine acts by its token; whoever showed no good one is anonymous, and so is who could not be
    served for a reason of ours. (No user's name holds a colon.)"""
    is_unproven = (
        attempt["outcome"] in (Outcome.REFUSED, Outcome.LIMIT, Outcome.ERROR)
        and not attempt["config_name"]
    )
    is_known = attempt["token_name"] and not is_unproven
    return Actor(
        name=f"token:{attempt['token_name']}" if is_known else "anonymous",
        source=attempt["source"],
        user_agent=attempt["user_agent"],
        request_id=attempt["request_id"],
    )


def count_repeat(row: uuid.UUID) -> bool:
    """One more refused request in the row that counts them; False when that was deleted."""
    return Attempt.objects.filter(pk=row).update(repeats=F("repeats") + 1) == 1
