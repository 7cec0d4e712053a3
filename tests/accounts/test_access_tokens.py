"""Every way in which an access token can be wrong: 401, one error body, one audit event."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from django.conf import settings
from rest_framework.test import APIClient

from accounts import authentication
from accounts.actor import Actor
from accounts.models import AuditEvent, RefreshSession, User
from accounts.sessions import _open_session
from accounts.tokens import issue_pair
from operations.models import Operation
from tests.answers import assert_error, nothing_changes, one_event
from tests.factories import bind, make_user, make_workspace

KEY = str(settings.SIMPLE_JWT["SIGNING_KEY"])
FOREIGN_KEY = "another-servers-key-of-at-least-sixty-four-characters-" + "x" * 32


@pytest.fixture
def pair(viewer: User) -> dict[str, Any]:
    return issue_pair(_open_session(viewer, uuid.uuid4(), Actor(name="victor")))


def payload_of(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


def altered(token: str, **claims: Any) -> str:
    """Signed by us, with other claims; None removes one."""
    payload = payload_of(token) | claims
    return jwt.encode({k: v for k, v in payload.items() if v is not None}, KEY, "HS256")


def signed(token: str, key: str, algorithm: str) -> str:
    return jwt.encode(payload_of(token), key, algorithm)


def get_me(header: str) -> Any:
    return APIClient().get("/v1/auth/me", HTTP_AUTHORIZATION=header)


def test_the_untouched_token_is_accepted(pair: dict[str, Any]) -> None:
    assert get_me(f"Bearer {pair['token']}").status_code == 200


def test_the_word_bearer_may_be_written_in_any_case(pair: dict[str, Any]) -> None:
    assert get_me(f"bearer {pair['token']}").status_code == 200


def test_a_token_that_was_accepted_ends_all_the_same(
    pair: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    header = f"Bearer {pair['token']}"
    assert get_me(header).status_code == 200
    ends = payload_of(pair["token"])["exp"]
    monkeypatch.setattr(time, "time", lambda: ends - 0.5)
    assert get_me(header).status_code == 200
    monkeypatch.setattr(time, "time", lambda: float(ends))
    assert (
        assert_error(get_me(header), 401)["message"]
        == "The access token has expired: log in again."
    )


BAD: dict[str, Callable[[dict[str, Any]], str]] = {
    "signed by a foreign key": lambda p: signed(p["token"], FOREIGN_KEY, "HS256"),
    "algorithm none": lambda p: signed(p["token"], "", "none"),
    "another algorithm": lambda p: signed(p["token"], KEY, "HS512"),
    "truncated": lambda p: str(p["token"])[:-6],
    "cut in half": lambda p: str(p["token"])[: len(p["token"]) // 2],
    "signature missing": lambda p: str(p["token"]).rsplit(".", 1)[0] + ".",
    "payload of another": lambda p: ".".join(
        [
            p["token"].split(".")[0],
            altered(p["token"], sub="999").split(".")[1],
            p["token"].split(".")[2],
        ]
    ),
    "expired": lambda p: altered(p["token"], exp=int(time.time()) - 1),
    "without an expiry": lambda p: altered(p["token"], exp=None),
    "a refresh token": lambda p: str(p["refresh_token"]),
    "of no type": lambda p: altered(p["token"], token_type=None),
    "of another issuer": lambda p: altered(p["token"], iss="another"),
    "without a subject": lambda p: altered(p["token"], sub=None),
    "subject is a name": lambda p: altered(p["token"], sub="victor"),
    "subject is nobody": lambda p: altered(p["token"], sub="987654321"),
    "subject is beyond any key": lambda p: altered(p["token"], sub="9" * 30),
    "without a session": lambda p: altered(p["token"], sid=None),
    "session is no id": lambda p: altered(p["token"], sid="x"),
    "session is unknown": lambda p: altered(p["token"], sid=uuid.uuid4().hex),
    "older than the last change of password": lambda p: altered(p["token"], ver=0),
    "without a version": lambda p: altered(p["token"], ver=None),
    "not a token": lambda _: "abc",
    "three dots": lambda _: "...",
    "an array as payload": lambda _: "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.W10.x",
    "not ASCII": lambda p: p["token"] + "é",
    "two tokens": lambda p: f"{p['token']} {p['token']}",
    "a very long one": lambda _: "a" * 20_000,
}


@pytest.mark.parametrize("make", BAD.values(), ids=BAD.keys())
def test_a_bad_token_is_401_and_one_audit_event(
    make: Callable[[dict[str, Any]], str], pair: dict[str, Any]
) -> None:
    header = f"Bearer {make(pair)}"

    with one_event(event="authentication.failed", outcome="denied", actor_name="anonymous"):
        answer = get_me(header)

    assert_error(answer, 401)
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api"'


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer ", "Basic dmljdG9yOng=", "{token}", "Token x"]
)
def test_another_authorization_header_is_401(header: str, pair: dict[str, Any]) -> None:
    with one_event(event="authentication.failed", outcome="denied"):
        answer = get_me(header.format(token=pair["token"]))

    assert_error(answer, 401)


def test_a_bad_token_starts_nothing(pair: dict[str, Any]) -> None:
    body = {"workspace": "production", "provider": "local", "plan": "small"}
    with nothing_changes(AuditEvent):
        answer = APIClient().post(
            "/v1/servers/create", body, format="json", HTTP_AUTHORIZATION="Bearer x"
        )

    assert_error(answer, 401)


def test_the_token_itself_is_never_in_answer_or_trail(pair: dict[str, Any]) -> None:
    bad = signed(pair["token"], FOREIGN_KEY, "HS256")

    answer = get_me(f"Bearer {bad}")

    assert bad not in answer.content.decode()
    assert bad not in str(list(AuditEvent.objects.values()))


# --- Revocation is felt ------------------------------------------------------------------------


def test_a_deactivated_person_is_refused_within_five_seconds(
    viewer: User, api: Callable[[User | None], APIClient]
) -> None:
    client = api(viewer)
    assert client.get("/v1/servers").status_code == 200
    User.objects.filter(pk=viewer.pk).update(is_active=False)

    authentication.forget_cached_people()

    assert_error(client.get("/v1/servers"), 401)


def test_what_another_process_changed_is_felt_when_the_cache_is_over(
    viewer: User, api: Callable[[User | None], APIClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert authentication.CACHE_SECONDS <= 5
    monkeypatch.setattr(authentication, "CACHE_SECONDS", 0.1)
    client = api(viewer)
    assert client.get("/v1/servers").status_code == 200
    RefreshSession.objects.filter(user=viewer).update(revoked_at="2026-01-01T00:00:00Z")

    time.sleep(0.15)

    assert_error(client.get("/v1/servers"), 401)


def test_a_new_role_is_felt_at_once_where_it_was_given(
    admin: User,
    viewer: User,
    api: Callable[[User | None], APIClient],
    django_capture_on_commit_callbacks: Any,
) -> None:
    client = api(viewer)
    assert_error(client.get("/v1/audit"), 403)

    with django_capture_on_commit_callbacks(execute=True):
        api(admin).post("/v1/role-bindings", {"user": "victor", "role": "Admin"}, format="json")

    assert client.get("/v1/audit").status_code == 200


def test_a_lost_role_is_felt_when_the_cache_is_forgotten(
    operator: User, api: Callable[[User | None], APIClient]
) -> None:
    client = api(operator)
    assert client.get("/v1/servers").status_code == 200
    operator.bindings.all().delete()

    authentication.forget_cached_people()

    assert_error(client.get("/v1/servers"), 403)


def test_the_cache_saves_the_queries_of_a_second_request(
    viewer: User, api: Callable[[User | None], APIClient], django_assert_num_queries: Any
) -> None:
    client = api(viewer)
    client.get("/v1/servers")

    with django_assert_num_queries(1):
        client.get("/v1/servers")


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
@pytest.mark.parametrize(("method", "path"), [("post", "/v1/servers/create"), ("get", "/v1/audit")])
def test_somebody_whom_another_process_deleted_is_401_while_he_is_cached(
    method: str, path: str, api: Callable[[User | None], APIClient]
) -> None:
    operator = make_user("oscar")
    bind(operator, "Operator")
    make_workspace("production")
    client = api(operator)
    client.get("/v1/servers")
    User.objects.filter(pk=operator.pk).delete()
    body = {"workspace": "production", "provider": "local", "plan": "small"}

    with one_event(event="authentication.failed", outcome="denied", actor=None):
        answer = client.generic(method.upper(), path, json.dumps(body), "application/json")

    assert_error(answer, 401)
    assert not Operation.objects.exists()
