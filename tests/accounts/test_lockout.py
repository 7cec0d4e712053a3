"""Repeated wrong passwords: 429, through every door alike."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import AuditEvent, LoginThrottle, RefreshSession, User
from tests.answers import assert_error, last_event, one_event
from tests.factories import PASSWORD

HERE, THERE = "192.0.2.1", "198.51.100.2"


@pytest.fixture(autouse=True)
def _two_failures_lock(settings: Any) -> None:
    settings.LOCKOUT_FAILURES = 2
    settings.LOCKOUT_SECONDS = 900


def log_in(username: str = "victor", password: str = PASSWORD, source: str = HERE) -> Any:
    body = {"username": username, "password": password}
    return APIClient().post("/v1/auth/login", body, format="json", REMOTE_ADDR=source)


def lock(username: str = "victor", source: str = HERE) -> None:
    """As two failures would, without their two hashes."""
    LoginThrottle.objects.create(
        username=username,
        source=source,
        failures=2,
        locked_until=timezone.now() + timedelta(seconds=900),
    )


def test_the_last_allowed_failure_locks_and_the_next_try_is_429(viewer: User) -> None:
    assert_error(log_in(password="wrong"), 401)
    assert_error(log_in(password="wrong"), 401)

    answer = log_in(password="wrong")

    assert_error(answer, 429)
    assert 890 <= int(answer.headers["Retry-After"]) <= 901
    event = AuditEvent.objects.get(event="login.locked")
    assert (event.outcome, event.target_name) == ("denied", "victor")
    assert event.data == {"source": HERE, "seconds": 900}


def test_the_right_password_is_refused_while_locked(viewer: User) -> None:
    lock()

    with one_event(event="login.failed", outcome="denied", data={"reason": "locked"}):
        answer = log_in()

    assert_error(answer, 429)
    assert not RefreshSession.objects.exists()


def test_a_locked_name_costs_no_hash(viewer: User, monkeypatch: pytest.MonkeyPatch) -> None:
    lock()
    monkeypatch.setattr(User, "check_password", lambda *_: pytest.fail("it was hashed"))

    assert_error(log_in(), 429)


def test_the_lock_holds_whatever_the_case_of_the_name(viewer: User) -> None:
    lock()

    assert_error(log_in("VICTOR"), 429)


@pytest.mark.parametrize("name", ["\u017fam", "sam ", " sam", "SAM", "sam\u200b"])
def test_no_spelling_of_a_locked_name_gets_in(name: str, stranger: User) -> None:
    lock("sam")

    assert log_in(name).status_code in (401, 429)


def test_a_name_that_does_not_exist_is_locked_like_one_that_does(db: None) -> None:
    log_in("nobody-here", "wrong")
    log_in("nobody-here", "wrong")

    assert_error(log_in("nobody-here", "wrong"), 429)


def test_failures_are_counted_for_each_source_address(viewer: User) -> None:
    lock(source=HERE)

    assert_error(log_in(source=HERE), 429)
    assert log_in(source=THERE).status_code == 200


def test_failures_are_counted_for_each_name(viewer: User, stranger: User) -> None:
    lock("sam")

    assert log_in("victor").status_code == 200


def test_ten_times_the_limit_from_anywhere_locks_every_address(viewer: User) -> None:
    LoginThrottle.objects.create(username="victor", source="*", failures=19)

    log_in(password="wrong", source=THERE)

    assert_error(log_in(source=HERE), 429)


def test_a_right_password_forgets_the_failures_of_its_address(viewer: User) -> None:
    log_in(password="wrong")
    log_in()
    log_in(password="wrong")

    assert log_in().status_code == 200


def test_failures_of_long_ago_do_not_count(viewer: User) -> None:
    long_ago = timezone.now() - timedelta(seconds=901)
    LoginThrottle.objects.create(
        username="victor", source=HERE, failures=1, first_failure_at=long_ago
    )

    log_in(password="wrong")

    assert LoginThrottle.objects.get(source=HERE).failures == 1
    assert log_in().status_code == 200


def test_a_lock_ends_by_itself(viewer: User) -> None:
    lock()
    LoginThrottle.objects.update(locked_until=timezone.now())

    assert log_in().status_code == 200


def test_an_admin_unlocks(
    admin: User, viewer: User, api: Callable[[User | None], APIClient]
) -> None:
    lock()
    lock(source="*")

    with one_event(event="user.unlocked", actor=admin, target_name="victor", data={"locks": 2}):
        answer = api(admin).post(f"/v1/users/{viewer.pk}/unlock")

    assert answer.status_code == 204
    assert not LoginThrottle.objects.exists()
    assert log_in().status_code == 200


def test_a_wrong_old_password_counts_like_a_failed_login(
    viewer: User, api: Callable[[User | None], APIClient]
) -> None:
    client = api(viewer)
    body = {"old_password": "wrong", "new_password": "another-good-password"}
    for _ in range(2):
        answer = client.post("/v1/auth/password", body, format="json", REMOTE_ADDR=HERE)
        assert_error(answer, 400, field="old_password")

    answer = client.post("/v1/auth/password", body, format="json", REMOTE_ADDR=HERE)

    assert_error(answer, 429)
    assert_error(log_in(source=HERE), 429)


# --- The console's form ------------------------------------------------------------------------


def log_in_to_the_console(password: str = PASSWORD, source: str = HERE) -> Any:
    form = {"username": "victor", "password": password, "next": "/admin/"}
    return Client().post("/admin/login/", form, REMOTE_ADDR=source)


def test_the_console_lets_the_right_password_in(viewer: User) -> None:
    answer = log_in_to_the_console()

    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/")


def test_a_wrong_password_at_the_console_is_recorded_and_counted(viewer: User) -> None:
    with one_event(event="login.failed", outcome="denied", data={"reason": "password"}):
        answer = log_in_to_the_console("wrong")

    assert answer.status_code == 200
    assert "The user name or the password is wrong." in answer.content.decode()
    assert LoginThrottle.objects.get(source=HERE).failures == 1


def test_failures_at_the_console_lock_the_api(viewer: User) -> None:
    log_in_to_the_console("wrong")
    log_in_to_the_console("wrong")

    assert_error(log_in(), 429)


def test_failures_at_the_api_lock_the_console(viewer: User) -> None:
    lock()

    answer = log_in_to_the_console()

    assert answer.status_code == 200
    assert "Too many failed logins" in answer.content.decode()
    last_event(event="login.failed", data={"reason": "locked"})
