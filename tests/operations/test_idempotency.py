"""`Idempotency-Key`: a request that is sent again launches nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.authentication import forget_cached_people
from accounts.models import AuditEvent, User, Workspace
from operations.commands import Kind
from operations.models import IdempotencyKey, Operation
from tests.answers import assert_error, nothing_changes
from tests.concurrently import at_once
from tests.factories import bind, make_server, make_workspace

Api = Callable[[User | None], APIClient]
CREATE = "/v1/servers/create"
BODY = {"workspace": "production", "provider": "p", "plan": "q", "hostname": "web-01"}


@pytest.fixture
def client(operator: User, workspace: Workspace, api: Api) -> APIClient:
    return api(operator)


def post(client: APIClient, key: str | None = "job-1", path: str = CREATE, **more: Any) -> Any:
    headers: dict[str, Any] = {} if key is None else {"HTTP_IDEMPOTENCY_KEY": key}
    return client.post(path, BODY | more, format="json", **headers)


def test_the_same_request_again_is_answered_with_the_first_ones_operation(
    client: APIClient,
) -> None:
    first = post(client)
    with nothing_changes():
        second = post(client)

    assert (first.status_code, second.status_code) == (202, 200)
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert second.headers["Location"] == first.headers["Location"]
    assert second.json() == first.json()
    assert Operation.objects.count() == 1


def test_the_replay_shows_the_operation_as_it_is_now(client: APIClient) -> None:
    post(client)
    Operation.objects.update(
        status="failed", reason="exit", exit_code=3, finished_at=timezone.now()
    )

    shown = post(client).json()

    assert (shown["status"], shown["exit_code"]) == ("failed", 3)


def test_the_order_of_the_bodys_keys_does_not_matter(client: APIClient) -> None:
    post(client)
    turned = dict(reversed(BODY.items()))

    answer = client.post(CREATE, turned, format="json", HTTP_IDEMPOTENCY_KEY="job-1")

    assert answer.status_code == 200


def test_another_request_with_the_key_is_refused(client: APIClient) -> None:
    post(client)

    with nothing_changes():
        assert_error(post(client, hostname="web-02"), 409)
        assert_error(post(client, path="/v1/taskservs/create"), 409)


def test_without_a_key_or_with_another_one_it_is_another_operation(client: APIClient) -> None:
    answers = [post(client, None), post(client, None), post(client, "a"), post(client, "b")]

    assert [answer.status_code for answer in answers] == [202] * 4
    assert Operation.objects.count() == 4


def test_the_keys_of_two_people_are_two(client: APIClient, admin: User, api: Api) -> None:
    post(client)

    assert post(api(admin)).status_code == 202


@pytest.mark.parametrize("key", ["", "two words", "k" * 256, "tab\there"])
def test_a_key_that_is_none_is_refused(key: str, client: APIClient) -> None:
    with nothing_changes():
        assert_error(post(client, key), 400, field="Idempotency-Key")


def test_a_refused_request_does_not_use_up_its_key(client: APIClient) -> None:
    assert post(client, plan="-x").status_code == 400
    assert post(client, workspace="nowhere").status_code == 400

    assert post(client).status_code == 202


def test_it_works_for_deletes_also_when_the_server_is_gone(
    client: APIClient, workspace: Workspace
) -> None:
    server = make_server(workspace)
    path = f"/v1/servers/{server.uid}"
    first = client.delete(path, HTTP_IDEMPOTENCY_KEY="job-1")
    server.delete()

    second = client.delete(path, HTTP_IDEMPOTENCY_KEY="job-1")

    assert (first.status_code, second.status_code) == (202, 200)
    assert second.json()["id"] == first.json()["id"]


def test_it_works_for_workflows(client: APIClient) -> None:
    step = {"id": "a", "kind": "server_delete", "params": {"hostname": "web-01"}}
    body = {"workspace": "production", "name": "w", "steps": [step]}

    answers = [
        client.post("/v1/workflows/submit", body, format="json", HTTP_IDEMPOTENCY_KEY="job-1")
        for _ in range(2)
    ]

    assert [answer.status_code for answer in answers] == [202, 200]
    assert Operation.objects.filter(kind=Kind.WORKFLOW).count() == 1


def test_who_may_not_see_the_operation_any_more_is_not_shown_it(
    client: APIClient, operator: User
) -> None:
    post(client)
    operator.bindings.all().delete()
    bind(operator, "Operator", make_workspace("staging"))
    forget_cached_people()

    with nothing_changes(AuditEvent):
        answer = post(client)

    assert answer.status_code in (400, 403, 404)
    assert "web-01" not in answer.content.decode()


def test_a_key_is_kept_for_seven_days(client: APIClient) -> None:
    post(client)
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(days=6, hours=23))
    assert post(client).status_code == 200
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(days=7, seconds=1))

    post(client, "another")

    assert IdempotencyKey.objects.get().key == "another"


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_of_many_at_once_one_launches(client: APIClient, operator: User, api: Api) -> None:
    clients = [api(operator) for _ in range(6)]

    answers = at_once([lambda one=one: post(one) for one in clients])  # type: ignore[misc]

    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [202]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert Operation.objects.count() == 1
