"""What tests say of a machine's request: its one row, its one event, its one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from accounts.models import AuditEvent
from autoinstall.models import Attempt
from tests.answers import last_event


@contextmanager
def one_attempt(event: str, **wanted: Any) -> Iterator[None]:
    """Exactly one attempt and its one audit event are written within, and the row has these values."""
    rows = set(Attempt.objects.values_list("pk", flat=True))
    events = AuditEvent.objects.count()
    yield
    (row,) = Attempt.objects.exclude(pk__in=rows)
    assert {name: getattr(row, name) for name in wanted} == wanted, row.reason
    assert AuditEvent.objects.count() == events + 1
    last_event(event=event, target_type="attempt", target_id=str(row.pk))


def newest() -> Attempt:
    row = Attempt.objects.order_by("-received_at", "-id").first()
    assert row is not None, "there is no attempt"
    return row


def sentence_of(answer: Any, status: int) -> str:
    """The one plain sentence for the person at the console."""
    assert answer.status_code == status, answer.content[:500]
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    text: str = answer.content.decode()
    assert text.endswith("\n") and text.count("\n") == 1 and len(text) > 10, text[:500]
    assert "Traceback" not in text and "<html" not in text
    return text.rstrip("\n")
