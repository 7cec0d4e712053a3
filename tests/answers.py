"""What tests say of answers, of the audit trail, and of tables that must not change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.apps import apps
from django.db.models import Model

from accounts.models import AuditEvent
from provisioning.errors import CODES

ERROR_KEYS = {"error", "message", "code", "request_id"}


def assert_error(answer: Any, status: int, *, field: str | None = None) -> dict[str, Any]:
    """The one error body with this status, and nothing else; returns it."""
    assert answer.status_code == status, answer.content
    assert answer.headers["Content-Type"] == "application/json"
    body: dict[str, Any] = answer.json()
    assert set(body) - {"details"} == ERROR_KEYS
    assert body["code"] == str(status)
    assert body["error"] == CODES[status]
    assert body["message"] and isinstance(body["message"], str)
    assert not any(sign in body["message"] for sign in ("Traceback", "<html", "<!DOCTYPE"))
    assert body["request_id"] == answer.headers["X-Request-ID"]
    if "details" in body:
        assert body["details"]
        for sentences in body["details"].values():
            assert sentences and all(isinstance(sentence, str) for sentence in sentences)
    if field is not None:
        assert field in body["details"], body
    return body


def last_event(**wanted: Any) -> AuditEvent:
    """The newest audit event, which has these values."""
    event = AuditEvent.objects.order_by("-id").first()
    assert event is not None, "nothing was recorded"
    found = {name: getattr(event, name) for name in wanted}
    assert found == wanted
    return event


@contextmanager
def one_event(**wanted: Any) -> Iterator[None]:
    """Exactly one audit event is written within, and it has these values."""
    before = AuditEvent.objects.count()
    yield
    assert AuditEvent.objects.count() - before == 1, list(AuditEvent.objects.all()[:5])
    last_event(**wanted)


def tables(*but: type[Model]) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table of ours (but for these), to compare before and after."""
    return {
        model._meta.label: list(model._default_manager.order_by("pk").values())
        for label in ("accounts", "autoinstall", "operations")
        for model in apps.get_app_config(label).get_models()
        if model not in but
    }


@contextmanager
def nothing_changes(*but: type[Model]) -> Iterator[None]:
    """No row of any table of ours (but for these) is added, changed or deleted within."""
    before = tables(*but)
    yield
    assert tables(*but) == before
