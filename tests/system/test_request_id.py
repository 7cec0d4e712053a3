"""`X-Request-ID`: accepted, made when absent, replaced when evil, answered, logged, audited."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable

import pytest
from rest_framework.test import APIClient

from accounts.models import AuditEvent, User, Workspace
from operations.models import Operation
from tests.answers import assert_error, last_event

Api = Callable[[User | None], APIClient]


@pytest.mark.parametrize("given", ["a", "build-42/step:1.2_x+y=z@ci", "x" * 128])
def test_a_harmless_id_is_answered_as_it_came(given: str, client: APIClient) -> None:
    assert client.get("/health", headers={"X-Request-ID": given}).headers["X-Request-ID"] == given


@pytest.mark.parametrize(
    "given",
    [
        "",
        " ",
        "x" * 129,
        "two words",
        "new\nline",
        "<script>",
        "a;b",
        "\u00e9",
        "a\x00b",
        "\x1b[31m",
        '"quoted"',
    ],
)
def test_any_other_id_is_replaced(given: str, client: APIClient) -> None:
    answered = client.get("/health", headers={"X-Request-ID": given}).headers["X-Request-ID"]

    assert answered != given
    assert str(uuid.UUID(answered)) == answered


def test_two_requests_without_one_get_different_ids(client: APIClient) -> None:
    first, second = (client.get("/health").headers["X-Request-ID"] for _ in range(2))

    assert first != second


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/servers", "/admin/nothing/", "/static/x.js"])
def test_every_answer_has_one(path: str, client: APIClient, db: None) -> None:
    assert client.get(path).headers["X-Request-ID"]


def test_it_is_in_the_audit_trail_and_in_the_operation(
    operator: User, workspace: Workspace, api: Api
) -> None:
    body = {"workspace": "production", "provider": "local", "plan": "small"}

    answer = api(operator).post(
        "/v1/servers/create", body, format="json", HTTP_X_REQUEST_ID="build-42"
    )

    assert answer.json()["request_id"] == "build-42"
    assert Operation.objects.get().request_id == "build-42"
    last_event(event="operation.submitted", request_id="build-42")


def test_it_is_in_the_audit_event_of_a_refusal(viewer: User, api: Api) -> None:
    answer = api(viewer).get("/v1/users", HTTP_X_REQUEST_ID="probe-1")

    assert assert_error(answer, 403)["request_id"] == "probe-1"
    last_event(event="access.denied", request_id="probe-1")


def test_the_trail_can_be_asked_for_one_request(admin: User, viewer: User, api: Api) -> None:
    api(viewer).get("/v1/users", HTTP_X_REQUEST_ID="probe-1")
    api(viewer).get("/v1/users", HTTP_X_REQUEST_ID="probe-2")

    events = api(admin).get("/v1/audit?request_id=probe-1").json()

    assert [event["request_id"] for event in events] == ["probe-1"]
    assert AuditEvent.objects.count() == 2


# --- The line in the log -----------------------------------------------------------------------


def test_every_request_is_one_line_in_the_log(
    client: APIClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "provisioning.access"):
        client.get("/health?secret=1", headers={"X-Request-ID": "build-42"})

    (record,) = [r for r in caplog.records if r.name == "provisioning.access"]
    assert record.getMessage() == "GET /health 200"
    assert record.__dict__["status"] == 200
    assert record.__dict__["client"] == "127.0.0.1"
    assert "secret" not in record.getMessage()


def test_a_path_with_a_line_break_forges_no_line(
    client: APIClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "provisioning.access"):
        client.get("/v1/x%0a2026-01-01T00:00:00Z%20INFO%20forged%1b[31m")

    (record,) = [r for r in caplog.records if r.name == "provisioning.access"]
    assert record.getMessage().isprintable()
