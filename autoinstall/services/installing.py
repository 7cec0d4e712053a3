"""Installations after their answer: the machine reports back, an operator or time removes the row."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts import audit
from accounts.actor import Actor
from autoinstall import keys, limits
from autoinstall.events import Event
from autoinstall.models import Attempt
from autoinstall.services.tokens import Precondition, any_state
from autoinstall.sysinfo import is_too_deep, place_of_null
from provisioning.errors import Invalid, NotFound

Status = Attempt.Status
BATCH = 500


@dataclass(frozen=True)
class Report:
    """What a post-hook sent, and from where. `secret` is the one of the URL, if it held one."""

    attempt: uuid.UUID
    raw: bytes
    source: str
    secret: str = ""
    user_agent: str = ""
    request_id: str = ""


def finish_installation(report: Report) -> None:
    """in-progress -> finished, with what the machine says of itself; timed-out or not.

    The same report again changes nothing. Raises Invalid for a body that is no JSON object, and one
    NotFound for everything else: no such installation, no report awaited, wrong secret.
    """
    try:
        data = _read(report.raw)
    except Invalid:
        _record_refusal(report)
        raise
    token = data.pop("token", None)
    secret = token if isinstance(token, str) and token else report.secret
    digest = keys.digest(secret) if secret else ""
    awaited = Attempt.objects.filter(
        pk=report.attempt, status=Status.IN_PROGRESS, hook_digest=digest
    ).exclude(hook_digest="")
    with transaction.atomic():
        if awaited.update(status=Status.FINISHED, hook_data=data, finished_at=timezone.now()):
            attempt = Attempt.objects.get(pk=report.attempt)
            audit.record(
                Event.INSTALLATION_FINISHED,
                actor=_machine(report, attempt.token_name),
                target=attempt,
                target_name=attempt.config_name,
                data={"fqdn": _short(data.get("fqdn")), "serial": attempt.serial},
            )
            return
    is_repeated = Attempt.objects.filter(
        pk=report.attempt, status=Status.FINISHED, hook_digest=digest
    ).exclude(hook_digest="")
    if not is_repeated.exists():
        _record_refusal(report)
        raise NotFound(f"There is no installation {report.attempt} that awaits this report.")


def _read(raw: bytes) -> dict[str, Any]:
    """Whatever a newer schema adds is kept."""
    try:
        data = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Invalid(f"The body is not valid JSON: {error}.") from None
    if not isinstance(data, dict):
        raise Invalid("The body must be a JSON object with the report of the installation.")
    if is_too_deep(data):
        raise Invalid("The body is nested too deeply.")
    if b"\\u0000" in raw and (where := place_of_null(data)):
        raise Invalid("must not hold a null character", field=where)
    return data


def _short(value: object) -> str:
    return value[:253] if isinstance(value, str) else ""


def _machine(report: Report, token: str) -> Actor:
    return Actor(
        name=f"token:{token}" if token else "anonymous",
        source=report.source,
        user_agent=report.user_agent[:255],
        request_id=report.request_id,
    )


def _record_refusal(report: Report) -> None:
    """One event each, up to the limit that refused answers have as well."""
    if not limits.is_over(limits.count_refusal(report.source)):
        audit.record(
            Event.INSTALLATION_REPORT_REFUSED,
            actor=_machine(report, ""),
            target=audit.Target("attempt", str(report.attempt), ""),
            outcome=audit.Outcome.DENIED,
        )


# --- Removing ----------------------------------------------------------------------------------


def delete_installation(
    *, attempt: Attempt, actor: Actor, precondition: Precondition = any_state
) -> None:
    """Its post-hook, should it still come, is refused. What the machine holds of counters stays."""
    with transaction.atomic():
        locked = Attempt.objects.select_for_update().filter(pk=attempt.pk).first()
        if locked is None:
            raise NotFound(f"There is no installation {attempt.pk}.")
        precondition(locked)
        audit.record(
            Event.INSTALLATION_DELETED,
            actor=actor,
            target=attempt,
            target_name=attempt.config_name,
            data={"status": attempt.state, "serial": attempt.serial},
        )
        attempt.delete()


def prunable(before: datetime) -> QuerySet[Attempt]:
    """Asked before then, and not awaiting a report."""
    awaiting = Q(status=Status.IN_PROGRESS, deadline_at__gt=timezone.now())
    return Attempt.objects.filter(received_at__lt=before).exclude(awaiting)


def prune_installations(*, before: datetime, actor: Actor) -> int:
    """Delete attempts and installations in short transactions; returns how many."""
    total = 0
    while ids := list(prunable(before).order_by("id").values_list("pk", flat=True)[:BATCH]):
        with transaction.atomic():
            Attempt.objects.filter(pk__in=ids).delete()
            audit.record(
                Event.INSTALLATIONS_PRUNED,
                actor=actor,
                data={"count": len(ids), "before": before.isoformat()},
            )
        total += len(ids)
    return total
