"""`/v1/auto-install/attempts` and `/installations`: lists, filters, details, deletion, who may."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from accounts.models import AuditEvent, User
from autoinstall.models import AnswerToken, Attempt, HeldValue
from tests.answers import assert_error, nothing_changes, one_event
from tests.autoinstall.attempts import newest
from tests.autoinstall.factories import ask, machine, make_config, make_token, system_info

Token = tuple[AnswerToken, str]
Api = Callable[[User | None], APIClient]
ATTEMPTS, INSTALLATIONS = "/v1/auto-install/attempts", "/v1/auto-install/installations"
NOBODY = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
def config(token: Token) -> None:
    make_config(
        id="rack",
        authorized_tokens=["rack-7"],
        fqdn="pve{{ nr }}.example.com",
        template_counters={"nr": 0},
        post_hook_base_url="https://ps.example.com",
    )


@pytest.fixture
def client(admin: User, api: Api) -> APIClient:
    return api(admin)


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [row["id"] for row in answer.json()]


# --- Lists -------------------------------------------------------------------------------------


def test_every_outcome_is_an_attempt_and_some_are_installations(
    token: Token, config: None, client: APIClient
) -> None:
    ask(token[1], machine(1))
    ask(token[1], system_info(name="Elsewhere 1"))
    ask(token[1], b"{")
    ask("nobody-here:0")

    attempts = client.get(ATTEMPTS).json()
    installations = client.get(INSTALLATIONS).json()

    assert [row["outcome"] for row in attempts] == ["refused", "malformed", "no-match", "answered"]
    assert [row["status"] for row in installations] == ["no-answer-found", "in-progress"]
    assert all(row["uuid"] == row["id"] for row in installations)


def test_a_row_of_the_list_tells_all_but_the_documents(
    token: Token, config: None, client: APIClient
) -> None:
    ask(token[1], machine(3), REMOTE_ADDR="10.7.0.9", HTTP_X_REQUEST_ID="r-1", HTTP_USER_AGENT="u")

    (row,) = client.get(ATTEMPTS).json()

    assert {key: row[key] for key in row if not key.endswith("-at") and key != "answer-digest"} == {
        "id": str(newest().pk),
        "outcome": "answered",
        "repeats": 1,
        "source": "10.7.0.9",
        "request-id": "r-1",
        "user-agent": "u",
        "token": "rack-7",
        "credential": "header",
        "identity": "uuid 5c1f0f3e-58a1-4c55-9d51-000000000003",
        "product": "pve",
        "release": "9.2-1",
        "serial": "SN-0003",
        "answer-id": "rack",
        "counters": {"nr": 0},
        "answer-format": "json",
        "omitted": [],
        "status": "in-progress",
    }


@pytest.mark.parametrize("path", [ATTEMPTS, INSTALLATIONS])
def test_pages_hold_every_row_once_newest_first(
    path: str, token: Token, config: None, client: APIClient
) -> None:
    for number in range(7):
        ask(token[1], machine(number))
    wanted = [str(pk) for pk in Attempt.objects.order_by("-id").values_list("pk", flat=True)]

    found: list[str] = []
    answer = client.get(path, {"limit": 3})
    while True:
        found += ids(answer)
        following = answer.headers.get("Link", "")
        if 'rel="next"' not in following:
            break
        answer = client.get(following.partition("<")[2].partition(">")[0])

    assert found == wanted


@pytest.mark.parametrize("path", [ATTEMPTS, INSTALLATIONS])
def test_a_page_costs_the_same_for_one_row_and_for_thirty(
    path: str, token: Token, config: None, client: APIClient
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(path).status_code == 200
        return len(captured)

    ask(token[1], machine(0))
    client.get(path)
    one = queries()
    for number in range(1, 30):
        ask(token[1], machine(number))

    assert len(client.get(path).json()) == 30
    assert queries() == one


def test_a_list_does_not_read_the_documents(token: Token, config: None, client: APIClient) -> None:
    ask(token[1])

    with CaptureQueriesContext(connection) as captured:
        client.get(ATTEMPTS)

    assert not any("hook_data" in query["sql"] for query in captured)


# --- Filters -----------------------------------------------------------------------------------


@pytest.fixture
def several(token: Token, config: None) -> None:
    """Three attempts that differ in everything."""
    _, path = make_token("older", allow_in_path=True)
    ask(token[1], machine(1), REMOTE_ADDR="10.7.0.1", HTTP_X_REQUEST_ID="r-1")
    ask(
        None,
        system_info("SN-2", "", product="pbs", macs=("A0:36:9F:00:00:02",)),
        path=f"/v1/auto-install/answer/{path}",
        REMOTE_ADDR="10.7.0.2",
        HTTP_X_REQUEST_ID="r-2",
    )
    ask("nobody-here:0", REMOTE_ADDR="10.7.0.3", HTTP_X_REQUEST_ID="r-3")


FILTERS = [
    ({"outcome": "answered"}, ["r-1"]),
    ({"outcome": "no-match"}, ["r-2"]),
    ({"outcome": "refused"}, ["r-3"]),
    ({"outcome": "limit"}, []),
    ({"status": "in-progress"}, ["r-1"]),
    ({"status": "no-answer-found"}, ["r-2"]),
    ({"status": "finished"}, []),
    ({"status": "timed-out"}, []),
    ({"answer-id": "rack"}, ["r-1"]),
    ({"token": "rack-7"}, ["r-1"]),
    ({"token": "older"}, ["r-2"]),
    ({"source": "10.7.0.3"}, ["r-3"]),
    ({"serial": "SN-2"}, ["r-2"]),
    ({"serial": "SN"}, []),
    ({"identity": "uuid 5c1f0f3e-58a1-4c55-9d51-000000000001"}, ["r-1"]),
    ({"identity": "serial SN-2 mac A0:36:9F:00:00:02"}, ["r-2"]),
    ({"product": "pbs"}, ["r-2"]),
    ({"credential": "header"}, ["r-3", "r-1"]),
    ({"credential": "path"}, ["r-2"]),
    ({"request-id": "r-3"}, ["r-3"]),
    ({"since": "2020-01-01T00:00:00Z"}, ["r-3", "r-2", "r-1"]),
    ({"since": "2999-01-01T00:00:00Z"}, []),
    ({"until": "2020-01-01T00:00:00Z"}, []),
    ({"token": "rack-7", "outcome": "answered"}, ["r-1"]),
    ({"token": "rack-7", "outcome": "no-match"}, []),
]


@pytest.mark.parametrize(("given", "wanted"), FILTERS)
def test_a_filter_keeps_what_it_names(
    given: dict[str, str], wanted: list[str], several: None, client: APIClient
) -> None:
    answer = client.get(ATTEMPTS, given)

    assert answer.status_code == 200, answer.content
    assert [row["request-id"] for row in answer.json()] == wanted


def test_until_leaves_its_own_instant_out_and_since_does_not(
    several: None, client: APIClient
) -> None:
    second = Attempt.objects.order_by("received_at")[1]
    instant = second.received_at.isoformat()

    assert [row["request-id"] for row in client.get(ATTEMPTS, {"until": instant}).json()] == ["r-1"]
    since = client.get(ATTEMPTS, {"since": instant}).json()
    assert [row["request-id"] for row in since] == ["r-3", "r-2"]


@pytest.mark.parametrize("path", [ATTEMPTS, INSTALLATIONS])
@pytest.mark.parametrize("status", ["timed-out", "in-progress", "finished"])
def test_an_unknown_filter_is_refused_whatever_the_status(
    status: str, path: str, client: APIClient
) -> None:
    assert_error(client.get(path, {"status": status, "colour": "red"}), 400, field="colour")


@pytest.mark.parametrize("value", ["yesterday", "2026-01-01", ""])
def test_an_instant_must_be_one(value: str, client: APIClient) -> None:
    assert_error(client.get(ATTEMPTS, {"since": value}), 400, field="since")


# --- Details -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [ATTEMPTS, INSTALLATIONS])
def test_the_detail_shows_the_system_information(
    path: str, token: Token, config: None, client: APIClient
) -> None:
    info = machine(1) | {"brand-new": {"empty": None, "list": [None]}}
    ask(token[1], info)

    body = client.get(f"{path}/{newest().pk}").json()

    assert body["info"] == {key: value for key, value in info.items() if key != "$schema"}
    assert "raw" not in body
    assert ("uuid" in body) == (path == INSTALLATIONS)


def test_the_detail_of_a_malformed_attempt_shows_what_came(token: Token, client: APIClient) -> None:
    ask(token[1], b'{"half": "\xff')

    body = client.get(f"{ATTEMPTS}/{newest().pk}").json()

    assert (body["raw"], "info" in body) == ('{"half": "\ufffd', False)
    assert body["reason"].startswith("The body is not valid JSON")


def test_a_malformed_body_is_never_shown_as_system_information(
    token: Token, client: APIClient
) -> None:
    ask(token[1], json.dumps(machine(1)).encode().replace(b"Northwind", b"North\xffwind"))
    assert newest().outcome == "malformed"

    body = client.get(f"{ATTEMPTS}/{newest().pk}").json()

    assert "info" not in body and "North\ufffdwind" in body["raw"]


def test_no_digest_of_a_secret_is_shown(token: Token, config: None, client: APIClient) -> None:
    ask(token[1])
    digest = newest().hook_digest

    for path in (ATTEMPTS, f"{ATTEMPTS}/{newest().pk}", f"{INSTALLATIONS}/{newest().pk}"):
        assert digest not in client.get(path).content.decode()


@pytest.mark.parametrize("path", [ATTEMPTS, INSTALLATIONS])
@pytest.mark.parametrize("pk", [NOBODY, "nonsense", "-" * 36, "0" * 36])
def test_what_is_not_there_is_404(pk: str, path: str, client: APIClient) -> None:
    assert_error(client.get(f"{path}/{pk}"), 404)


def test_an_attempt_that_is_no_installation_is_none_in_its_list(
    token: Token, client: APIClient
) -> None:
    ask(token[1], b"{")

    assert_error(client.get(f"{INSTALLATIONS}/{newest().pk}"), 404)
    assert client.get(f"{ATTEMPTS}/{newest().pk}").status_code == 200


# --- Deleting ----------------------------------------------------------------------------------


def test_an_installation_is_deleted_and_its_counter_values_stay(
    token: Token, config: None, client: APIClient, admin: User
) -> None:
    ask(token[1])
    pk = str(newest().pk)

    with one_event(
        event="installation.deleted",
        actor=admin,
        target_id=pk,
        target_name="rack",
        data={"status": "in-progress", "serial": "SN-0001"},
    ):
        answer = client.delete(f"{INSTALLATIONS}/{pk}")

    assert (answer.status_code, answer.content) == (204, b"")
    assert not Attempt.objects.exists()
    assert HeldValue.objects.count() == 1


def test_what_is_in_progress_too_long_is_recorded_as_timed_out(
    token: Token, config: None, client: APIClient
) -> None:
    ask(token[1])
    row = newest()
    Attempt.objects.update(deadline_at=row.received_at - timedelta(days=1))

    with one_event(event="installation.deleted", data={"status": "timed-out", "serial": "SN-0001"}):
        client.delete(f"{INSTALLATIONS}/{row.pk}")


def test_an_attempt_that_is_no_installation_cannot_be_deleted(
    token: Token, client: APIClient
) -> None:
    ask(token[1], b"{")

    with nothing_changes():
        assert_error(client.delete(f"{INSTALLATIONS}/{newest().pk}"), 404)
        assert_error(client.delete(f"{ATTEMPTS}/{newest().pk}"), 405)


# --- Who may -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [ATTEMPTS, INSTALLATIONS, f"{ATTEMPTS}/{NOBODY}"])
def test_whoever_may_see_servers_may_see_attempts_but_no_stranger(
    path: str, viewer: User, stranger: User, api: Api
) -> None:
    assert api(viewer).get(path).status_code in (200, 404)
    assert_error(api(stranger).get(path), 403)
    assert_error(api(None).get(path), 401)


def test_only_who_may_manage_installations_deletes_them(
    token: Token,
    config: None,
    viewer: User,
    developer: User,
    stranger: User,
    operator: User,
    api: Api,
) -> None:
    ask(token[1])
    path = f"{INSTALLATIONS}/{newest().pk}"

    clients = [api(person) for person in (viewer, developer, stranger)]

    with nothing_changes(AuditEvent):
        for client in clients:
            assert_error(client.delete(path), 403)

    assert api(operator).delete(path).status_code == 204
