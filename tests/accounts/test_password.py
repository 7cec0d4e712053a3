"""`POST /v1/auth/password`: a person changes his own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts import authentication
from accounts.models import AuditEvent, RefreshSession, User
from tests.answers import assert_error, one_event
from tests.factories import PASSWORD

Api = Callable[[User | None], APIClient]
NEW = "another-good-password"


def change(client: APIClient, **body: Any) -> Any:
    return client.post(
        "/v1/auth/password", {"old_password": PASSWORD, "new_password": NEW} | body, format="json"
    )


def test_the_new_password_works_and_the_old_one_does_not(viewer: User, api: Api) -> None:
    with one_event(event="password.changed", outcome="success", actor=viewer):
        answer = change(api(viewer))

    assert answer.status_code == 204
    viewer.refresh_from_db()
    assert viewer.check_password(NEW)
    assert not viewer.check_password(PASSWORD)
    assert viewer.password.startswith("argon2$argon2id$")


def test_every_session_ends(viewer: User, api: Api) -> None:
    here, elsewhere = api(viewer), api(viewer)

    change(here)
    authentication.forget_cached_people()

    assert not RefreshSession.objects.filter(revoked_at=None).exists()
    assert_error(here.get("/v1/auth/me"), 401)
    assert_error(elsewhere.get("/v1/auth/me"), 401)


def test_a_wrong_old_password_is_400_and_recorded(viewer: User, api: Api) -> None:
    with one_event(event="login.failed", outcome="denied", target_name="victor"):
        answer = change(api(viewer), old_password="wrong")

    assert_error(answer, 400, field="old_password")
    viewer.refresh_from_db()
    assert viewer.check_password(PASSWORD)


@pytest.mark.parametrize("weak", ["short", "password123", "victor1234", "x" * 1025, "", 5, None])
def test_a_weak_new_password_is_400_and_changes_nothing(
    weak: object, viewer: User, api: Api
) -> None:
    answer = change(api(viewer), new_password=weak)

    assert_error(answer, 400, field="new_password")
    viewer.refresh_from_db()
    assert viewer.check_password(PASSWORD)
    assert viewer.token_version == 1


def test_passwords_keep_their_spaces(viewer: User, api: Api) -> None:
    change(api(viewer), new_password="  spaces around it  ")

    viewer.refresh_from_db()
    assert viewer.check_password("  spaces around it  ")


def test_no_password_is_in_the_trail(viewer: User, api: Api) -> None:
    change(api(viewer), old_password="a-secret-i-mistyped")

    change(api(viewer))

    trail = str(list(AuditEvent.objects.values()))
    assert not [secret for secret in (NEW, PASSWORD, "a-secret-i-mistyped") if secret in trail]
