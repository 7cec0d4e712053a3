"""`POST /v1/auth/refresh` and `/logout`: the life of a session."""

from __future__ import annotations

import uuid
from threading import Event as Flag
from threading import Thread
from typing import Any

import jwt
import pytest
from django.conf import settings
from django.db import connections, transaction
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import authentication, sessions
from accounts.actor import Actor
from accounts.models import AuditEvent, RefreshSession, User
from accounts.sessions import _open_session
from accounts.tokens import issue_pair
from provisioning.errors import Unauthorized
from tests.answers import assert_error, last_event, nothing_changes, one_event
from tests.concurrently import at_once
from tests.factories import make_user

KEY = str(settings.SIMPLE_JWT["SIGNING_KEY"])
ACTOR = Actor(name="anonymous", source="192.0.2.7")


def new_pair(user: User) -> dict[str, Any]:
    """As a login makes it, without the quarter of a second for the password."""
    return issue_pair(_open_session(user, uuid.uuid4(), Actor(name=user.username)))


@pytest.fixture
def pair(viewer: User) -> dict[str, Any]:
    return new_pair(viewer)


def refresh(token: object) -> Any:
    return APIClient().post("/v1/auth/refresh", {"refresh_token": token}, format="json")


def opens_the_api(token: str) -> bool:
    authentication.forget_cached_people()
    answer = APIClient().get("/v1/auth/me", HTTP_AUTHORIZATION=f"Bearer {token}")
    assert answer.status_code in (200, 401)
    return answer.status_code == 200


def test_a_refresh_answers_the_same_three_keys_and_a_token_that_works(pair: dict[str, Any]) -> None:
    answer = refresh(pair["refresh_token"])

    assert answer.status_code == 200
    assert set(answer.json()) == {"token", "refresh_token", "expires_in"}
    assert answer.json()["expires_in"] == 86400
    assert answer.json()["refresh_token"] != pair["refresh_token"]
    assert opens_the_api(answer.json()["token"])


def test_a_refresh_spends_the_row_and_opens_the_next_of_its_family(
    viewer: User, pair: dict[str, Any]
) -> None:
    spent = RefreshSession.objects.get()

    with one_event(event="session.refreshed", outcome="success", actor=viewer):
        refresh(pair["refresh_token"])

    spent.refresh_from_db()
    assert spent.spent_at is not None
    following = RefreshSession.objects.exclude(pk=spent.pk).get()
    assert (following.family, following.spent_at) == (spent.family, None)


def test_a_chain_of_refreshes_works(pair: dict[str, Any]) -> None:
    for _ in range(3):
        answer = refresh(pair["refresh_token"])
        assert answer.status_code == 200
        pair = answer.json()


def test_the_second_use_is_refused_and_revokes_the_whole_family(
    viewer: User, pair: dict[str, Any]
) -> None:
    following = refresh(pair["refresh_token"]).json()
    assert opens_the_api(following["token"])

    with one_event(event="session.reused", outcome="denied", actor=viewer):
        answer = refresh(pair["refresh_token"])

    assert_error(answer, 401)
    assert not RefreshSession.objects.filter(revoked_at=None).exists()
    assert_error(refresh(following["refresh_token"]), 401)
    assert not opens_the_api(following["token"])
    assert not opens_the_api(pair["token"])


def test_a_reuse_leaves_the_other_logins_of_the_person_alone(
    viewer: User, pair: dict[str, Any]
) -> None:
    other = new_pair(viewer)
    refresh(pair["refresh_token"])

    refresh(pair["refresh_token"])

    assert opens_the_api(other["token"])
    assert refresh(other["refresh_token"]).status_code == 200


@pytest.mark.parametrize(
    "make",
    [
        lambda p: p["token"],
        lambda p: p["refresh_token"][:-5],
        lambda p: "abc",
        lambda p: jwt.encode(
            jwt.decode(p["refresh_token"], options={"verify_signature": False}),
            "another-servers-key-" + "x" * 64,
            "HS256",
        ),
        lambda p: jwt.encode(
            jwt.decode(p["refresh_token"], options={"verify_signature": False}) | {"jti": "x"},
            KEY,
            "HS256",
        ),
        lambda p: jwt.encode(
            jwt.decode(p["refresh_token"], options={"verify_signature": False})
            | {"jti": uuid.uuid4().hex},
            KEY,
            "HS256",
        ),
    ],
    ids=["an access token", "truncated", "no token", "foreign key", "no session id", "unknown row"],
)
def test_a_bad_refresh_token_is_401_and_one_audit_event(make: Any, pair: dict[str, Any]) -> None:
    token = make(pair)

    with (
        nothing_changes(AuditEvent),
        one_event(event="session.refused", outcome="denied", actor=None),
    ):
        answer = refresh(token)

    assert_error(answer, 401)


@pytest.mark.parametrize("token", [None, 5, "", ["x"], {"a": "b"}, "x" * 4097])
def test_a_malformed_refresh_is_400(token: object, pair: dict[str, Any]) -> None:
    with nothing_changes():
        assert_error(refresh(token), 400, field="refresh_token")


def test_an_expired_session_is_401(viewer: User, pair: dict[str, Any]) -> None:
    RefreshSession.objects.update(expires_at=timezone.now())

    with one_event(event="session.refused", outcome="denied", actor=viewer):
        assert_error(refresh(pair["refresh_token"]), 401)

    assert not RefreshSession.objects.exclude(spent_at=None).exists()


def test_a_deactivated_person_cannot_refresh(viewer: User, pair: dict[str, Any]) -> None:
    User.objects.filter(pk=viewer.pk).update(is_active=False)

    with one_event(event="session.refused", outcome="denied", actor=viewer):
        assert_error(refresh(pair["refresh_token"]), 401)


def test_every_way_to_be_refused_by_the_database_has_one_sentence(
    viewer: User, pair: dict[str, Any]
) -> None:
    spent, revoked, expired = pair, new_pair(viewer), new_pair(viewer)
    refresh(spent["refresh_token"])
    newest = RefreshSession.objects.order_by("-created_at")
    for values, token in (
        ({"revoked_at": timezone.now()}, revoked),
        ({"expires_at": timezone.now()}, expired),
    ):
        jti = jwt.decode(token["refresh_token"], options={"verify_signature": False})["jti"]
        newest.filter(pk=uuid.UUID(jti)).update(**values)

    messages = {
        assert_error(refresh(token["refresh_token"]), 401)["message"]
        for token in (spent, revoked, expired)
    }

    assert len(messages) == 1


# --- Logout ------------------------------------------------------------------------------------


def log_out(token: str) -> Any:
    return APIClient().post("/v1/auth/logout", HTTP_AUTHORIZATION=f"Bearer {token}")


def test_logout_ends_both_tokens_of_the_session(viewer: User, pair: dict[str, Any]) -> None:
    with one_event(event="session.revoked", outcome="success", actor=viewer):
        answer = log_out(pair["token"])

    assert (answer.status_code, answer.content) == (204, b"")
    assert RefreshSession.objects.get().revoked_at is not None
    assert not opens_the_api(pair["token"])
    assert_error(refresh(pair["refresh_token"]), 401)
    last_event(event="session.refused")


def test_logout_ends_no_other_session(viewer: User, pair: dict[str, Any]) -> None:
    other = new_pair(viewer)

    log_out(pair["token"])

    assert opens_the_api(other["token"])


# --- At the same time --------------------------------------------------------------------------

concurrent = pytest.mark.django_db(transaction=True, serialized_rollback=True)


@concurrent
def test_of_eight_refreshes_at_once_exactly_one_succeeds() -> None:
    pair = new_pair(make_user("victor"))

    statuses = at_once([lambda: refresh(pair["refresh_token"]).status_code] * 8)

    assert sorted(statuses) == [200] + [401] * 7
    assert RefreshSession.objects.count() == 2
    assert AuditEvent.objects.filter(event="session.refreshed").count() == 1
    assert AuditEvent.objects.filter(event="session.reused").count() == 7
    assert not RefreshSession.objects.filter(revoked_at=None).exists()


@concurrent
def test_a_refresh_that_waited_for_another_of_the_same_token_is_refused() -> None:
    """The second has read the live row before the first commits."""
    pair = new_pair(make_user("victor"))
    has_spent, may_commit = Flag(), Flag()
    outcomes: list[str] = []

    def first() -> None:
        try:
            with transaction.atomic():
                sessions.refresh(refresh_token=pair["refresh_token"], actor=ACTOR)
                has_spent.set()
                may_commit.wait(10)
            outcomes.append("first")
        finally:
            connections.close_all()

    def second() -> None:
        try:
            has_spent.wait(10)
            sessions.refresh(refresh_token=pair["refresh_token"], actor=ACTOR)
            outcomes.append("second")
        except Unauthorized:
            outcomes.append("refused")
        finally:
            connections.close_all()

    threads = [Thread(target=first), Thread(target=second)]
    for thread in threads:
        thread.start()
    threads[1].join(0.5)
    may_commit.set()
    for thread in threads:
        thread.join(20)

    # In any order: the second may hear of the commit before the first has written down that it made it.
    assert sorted(outcomes) == ["first", "refused"]
