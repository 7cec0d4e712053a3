"""A refresh that has not committed yet does not survive the end of its session."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable

import pytest
from django.db import connection, transaction

from accounts import sessions
from accounts.actor import Actor
from accounts.models import RefreshSession, User
from provisioning.errors import Unauthorized
from tests.factories import PASSWORD, make_user

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)

ACTOR = Actor(name="tester")


def while_a_refresh_is_in_flight(session: RefreshSession, act: Callable[[], object]) -> None:
    """Rotate in a transaction of another thread, act before it commits, let both end."""
    has_rotated = threading.Event()

    def rotate_slowly() -> None:
        try:
            with transaction.atomic():
                assert sessions._rotate(session.pk, ACTOR)
                has_rotated.set()
                time.sleep(0.5)
        finally:
            connection.close()

    thread = threading.Thread(target=rotate_slowly)
    thread.start()
    assert has_rotated.wait(5)
    act()
    thread.join()


def live(user: User) -> int:
    return RefreshSession.objects.filter(user=user, spent_at=None, revoked_at=None).count()


def test_logout_ends_a_session_that_is_being_refreshed() -> None:
    user = make_user()
    session = sessions._open_session(user, uuid.uuid4(), ACTOR)
    me = Actor(name=user.username, user=user)

    while_a_refresh_is_in_flight(session, lambda: sessions.log_out(family=session.family, actor=me))

    assert live(user) == 0


def test_a_new_password_ends_a_session_that_is_being_refreshed() -> None:
    user = make_user()
    session = sessions._open_session(user, uuid.uuid4(), ACTOR)

    while_a_refresh_is_in_flight(
        session,
        lambda: sessions.set_password(user=user, new_password="another-one", actor=ACTOR),
    )

    assert live(user) == 0


def test_reuse_ends_a_family_that_is_being_refreshed() -> None:
    user = make_user()
    spent = sessions._open_session(user, uuid.uuid4(), ACTOR)
    with transaction.atomic():
        sessions._rotate(spent.pk, ACTOR)
    present = RefreshSession.objects.get(user=user, spent_at=None)

    def reuse() -> None:
        with transaction.atomic():
            assert sessions._rotate(spent.pk, ACTOR) is None

    while_a_refresh_is_in_flight(present, reuse)

    assert live(user) == 0


def test_a_login_whose_password_is_changed_meanwhile_opens_no_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    user = make_user("late")
    verify = sessions.verify_login

    def verify_and_change(**arguments: object) -> User:
        verified = verify(**arguments)  # type: ignore[arg-type]
        sessions.set_password(user=user, new_password="another-one", actor=ACTOR)
        return verified

    monkeypatch.setattr(sessions, "verify_login", verify_and_change)

    with pytest.raises(Unauthorized):
        sessions.log_in(username="late", password=PASSWORD, actor=ACTOR)
    assert live(user) == 0
