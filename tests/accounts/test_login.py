"""`POST /v1/auth/login` and `GET /v1/auth/me`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import AuditEvent, LoginThrottle, RefreshSession, User, Workspace
from tests.answers import assert_error, last_event, nothing_changes, one_event
from tests.factories import PASSWORD, bind, make_workspace

WRONG = "The user name or the password is wrong."


def log_in(username: str, password: str = PASSWORD, **extra: Any) -> Any:
    body = {"username": username, "password": password}
    return APIClient().post("/v1/auth/login", body, format="json", **extra)


def test_a_login_answers_exactly_the_three_keys_of_the_contract(viewer: User) -> None:
    answer = log_in("victor")

    assert answer.status_code == 200
    assert set(answer.json()) == {"token", "refresh_token", "expires_in"}
    assert answer.json()["expires_in"] == 86400


def test_the_token_of_a_login_opens_the_api(viewer: User) -> None:
    token = log_in("victor").json()["token"]

    answer = APIClient().get("/v1/auth/me", HTTP_AUTHORIZATION=f"Bearer {token}")

    assert (answer.status_code, answer.json()["username"]) == (200, "victor")


def test_a_login_opens_one_session_and_is_recorded(viewer: User) -> None:
    with one_event(event="login.succeeded", outcome="success", actor=viewer, source="192.0.2.9"):
        log_in("victor", REMOTE_ADDR="192.0.2.9", HTTP_USER_AGENT="curl/8")

    session = RefreshSession.objects.get(user=viewer)
    assert (session.source, session.user_agent) == ("192.0.2.9", "curl/8")
    assert (session.spent_at, session.revoked_at) == (None, None)
    viewer.refresh_from_db()
    assert viewer.last_login
    assert (timezone.now() - viewer.last_login).total_seconds() < 60


def test_the_case_of_a_name_does_not_matter(viewer: User) -> None:
    assert log_in("VICTOR").status_code == 200


def test_an_outdated_token_beside_a_login_does_not_refuse_it(viewer: User) -> None:
    assert log_in("victor", HTTP_AUTHORIZATION="Bearer outdated").status_code == 200


def test_a_wrong_password_is_401_and_recorded_without_the_password(viewer: User) -> None:
    with one_event(event="login.failed", outcome="denied", actor=None, target_name="victor"):
        answer = log_in("victor", "not-the-password")

    assert assert_error(answer, 401)["message"] == WRONG
    assert not RefreshSession.objects.exists()
    assert "not-the-password" not in str(list(AuditEvent.objects.values()))


def test_wrong_name_wrong_password_and_locked_out_person_are_answered_alike(
    viewer: User, stranger: User
) -> None:
    stranger.is_active = False
    stranger.save()

    answers = [
        log_in(name, password, HTTP_X_REQUEST_ID="same")
        for name, password in (
            ("victor", "not-the-password"),
            ("nobody-here", PASSWORD),
            ("sam", PASSWORD),
        )
    ]

    assert [answer.status_code for answer in answers] == [401, 401, 401]
    assert len({answer.content for answer in answers}) == 1
    assert len({str(sorted(answer.headers.items())) for answer in answers}) == 1


@pytest.mark.parametrize("name", ["victor", "nobody-here", "sam", "\u017fam", "sam\u200b"])
def test_every_wrong_login_costs_one_hash(
    name: str, viewer: User, stranger: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    User.objects.filter(pk=stranger.pk).update(is_active=False)
    hashed: list[str] = []
    encode, verify = Argon2PasswordHasher.encode, Argon2PasswordHasher.verify

    def counted_encode(self: Any, *args: Any) -> Any:
        hashed.append("encode")
        return encode(self, *args)

    def counted_verify(self: Any, *args: Any) -> Any:
        hashed.append("verify")
        return verify(self, *args)

    monkeypatch.setattr(Argon2PasswordHasher, "encode", counted_encode)
    monkeypatch.setattr(Argon2PasswordHasher, "verify", counted_verify)

    log_in(name, "not-the-password")

    assert len(hashed) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "username"),
        ({"username": "victor"}, "password"),
        ({"username": "victor", "password": 5}, "password"),
        ({"username": "victor", "password": ["x"]}, "password"),
        ({"username": True, "password": "x"}, "username"),
        ({"username": "victor", "password": ""}, "password"),
        ({"username": "v" * 151, "password": "x"}, "username"),
        ({"username": "victor", "password": "x" * 1025}, "password"),
        ({"username": "victor", "password": "x", "remember": True}, "remember"),
        ({"username": "vic\x00tor", "password": "x"}, "username"),
    ],
)
def test_a_malformed_login_is_400_and_tries_nothing(
    body: dict[str, Any], field: str, viewer: User
) -> None:
    with nothing_changes():
        answer = APIClient().post("/v1/auth/login", body, format="json")

    assert_error(answer, 400, field=field)
    assert not LoginThrottle.objects.exists()


def test_me_tells_roles_and_permissions_by_place(
    stranger: User, workspace: Workspace, api: Callable[[User | None], APIClient]
) -> None:
    bind(stranger, "Viewer")
    bind(stranger, "Operator", workspace)
    make_workspace("elsewhere")

    body = api(stranger).get("/v1/auth/me").json()

    assert set(body) == {
        "id",
        "username",
        "email",
        "full_name",
        "roles",
        "permissions",
        "workspace_permissions",
    }
    assert body["roles"] == [
        {"role": "Viewer", "workspace": None},
        {"role": "Operator", "workspace": "production"},
    ]
    assert "server_read" in body["permissions"]
    assert "server_create" not in body["permissions"]
    assert list(body["workspace_permissions"]) == ["production"]
    assert "server_create" in body["workspace_permissions"]["production"]


def test_somebody_without_any_role_may_still_ask_who_he_is(
    stranger: User, api: Callable[[User | None], APIClient]
) -> None:
    body = api(stranger).get("/v1/auth/me").json()

    assert (body["roles"], body["permissions"]) == ([], [])


def test_a_deactivated_person_cannot_log_in(viewer: User) -> None:
    User.objects.filter(pk=viewer.pk).update(is_active=False)

    assert_error(log_in("victor"), 401)
    last_event(event="login.failed", data={"reason": "password"})
