"""`/v1/audit`: the trail, newest first, to be read and never to be changed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import audit
from accounts.actor import Actor
from accounts.events import Event
from accounts.models import AuditEvent, User, Workspace
from tests.answers import assert_error, nothing_changes

Api = Callable[[User | None], APIClient]


@pytest.fixture
def client(admin: User, api: Api) -> APIClient:
    return api(admin)


@pytest.fixture
def events(workspace: Workspace, viewer: User) -> list[AuditEvent]:
    """Three events: of yesterday, of an hour ago, of now."""
    ann = Actor(name="ann", source="192.0.2.1", user_agent="curl/8", request_id="build-1")
    audit.record(Event.WORKSPACE_CREATED, actor=ann, target=workspace, workspace="production")
    audit.record(
        Event.ACCESS_DENIED,
        actor=Actor(name="bob", request_id="build-2"),
        target_name="GET /v1/users",
        outcome=audit.Outcome.DENIED,
    )
    audit.record(Event.USER_CHANGED, actor=ann, target=viewer, data={"changed": {}})
    rows = list(AuditEvent.objects.order_by("id"))
    for row, age in zip(rows, (timedelta(days=1), timedelta(hours=1), timedelta()), strict=True):
        AuditEvent.objects.filter(pk=row.pk).update(occurred_at=timezone.now() - age)
    return rows


def test_an_event_tells_who_did_what_to_what_and_from_where(
    client: APIClient, events: list[AuditEvent], workspace: Workspace
) -> None:
    body = client.get(f"/v1/audit/{events[0].pk}").json()

    assert body.pop("occurred_at").endswith("Z")
    assert body == {
        "id": events[0].pk,
        "event": "workspace.created",
        "outcome": "success",
        "actor": "ann",
        "target": {"type": "workspace", "id": str(workspace.pk), "name": "production"},
        "workspace": "production",
        "source": "192.0.2.1",
        "user_agent": "curl/8",
        "request_id": "build-1",
        "data": {},
    }


def test_the_newest_comes_first(client: APIClient, events: list[AuditEvent]) -> None:
    ids = [row["id"] for row in client.get("/v1/audit").json()]

    assert ids == [event.pk for event in reversed(events)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("event=access.denied", [1]),
        ("outcome=success", [2, 0]),
        ("actor=ann", [2, 0]),
        ("actor=ann&event=user.changed", [2]),
        ("workspace=production", [0]),
        ("request_id=build-2", [1]),
        ("event=no.such-event", []),
    ],
)
def test_the_trail_is_narrowed_by_its_filters(
    query: str, expected: list[int], client: APIClient, events: list[AuditEvent]
) -> None:
    ids = [row["id"] for row in client.get(f"/v1/audit?{query}").json()]

    assert ids == [events[index].pk for index in expected]


def test_the_trail_is_narrowed_by_target(
    client: APIClient, events: list[AuditEvent], viewer: User
) -> None:
    rows = client.get(f"/v1/audit?target={viewer.pk}&event=user.changed").json()

    assert [row["target"]["name"] for row in rows] == ["victor"]


def test_the_trail_is_narrowed_by_time(client: APIClient, events: list[AuditEvent]) -> None:
    now = timezone.now()
    since, until = (
        (now - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ") for minutes in (90, 30)
    )

    rows = client.get(f"/v1/audit?since={since}&until={until}").json()

    assert [row["id"] for row in rows] == [events[1].pk]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nobody_changes_the_trail(method: str, client: APIClient, events: list[AuditEvent]) -> None:
    with nothing_changes():
        assert_error(client.generic(method, f"/v1/audit/{events[0].pk}", "{}"), 405)
        assert_error(client.generic(method, "/v1/audit", "{}"), 405)


def test_reading_leaves_no_trace(client: APIClient, events: list[AuditEvent]) -> None:
    with nothing_changes():
        client.get("/v1/audit")
        client.get("/v1/servers")
