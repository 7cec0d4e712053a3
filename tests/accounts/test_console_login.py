"""Coming in and going out at the console: login, lockout, timeouts, logout, passwords, problem pages."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.test import Client

from accounts.console import timeouts
from accounts.models import AuditEvent, RoleBinding, User
from tests.accounts.people import client_of
from tests.factories import PASSWORD

BROWSER = {"accept": "text/html,application/xhtml+xml"}


def log_in(username: str, password: str = PASSWORD, **form: str) -> tuple[Client, Any]:
    client = Client()
    given = {"username": username, "password": password, **form}
    return client, client.post("/admin/login/", given)


def text_of(response: Any) -> str:
    return str(response.content.decode())


def age(client: Client, key: str, seconds: float) -> None:
    """Make the session older by this much."""
    session = client.session
    session[key] = int(time.time() - seconds)
    session.save()


# --- Login and logout ----------------------------------------------------------------------------


def test_a_login_at_the_console_is_noted_on_the_user_and_in_the_trail(viewer: User) -> None:
    log_in("victor")

    viewer.refresh_from_db()
    event = AuditEvent.objects.get(event="login.succeeded")
    assert viewer.last_login
    assert (event.actor, event.data) == (viewer, {"session": "console"})


def test_a_logout_is_noted_and_says_so(viewer: User) -> None:
    client, _ = log_in("victor")

    page = client.post("/admin/logout/")

    assert "You are logged out" in text_of(page)
    assert AuditEvent.objects.get(event="session.revoked").actor == viewer
    assert client.get("/admin/").status_code == 302


def test_a_locked_name_is_told_how_many_seconds_to_wait(viewer: User, settings: Any) -> None:
    for _ in range(settings.LOCKOUT_FAILURES):
        log_in("victor", "wrong")

    _, page = log_in("victor")

    assert f"try again in {settings.LOCKOUT_SECONDS} seconds" in text_of(page)
    assert not AuditEvent.objects.filter(event="login.succeeded").exists()


def test_who_holds_no_role_is_told_so_once_the_password_is_right(stranger: User) -> None:
    client, page = log_in("sam")
    _, wrong = log_in("sam", "wrong")

    assert "you hold no role" in text_of(page)
    assert "The user name or the password is wrong." in text_of(wrong)
    assert client.get("/admin/").status_code == 302


def test_a_login_leads_back_to_the_page_but_never_to_another_server(viewer: User) -> None:
    _, back = log_in("victor", next="/admin/operations/operation/")
    _, away = log_in("victor", next="https://elsewhere.example/admin/")

    assert back["Location"] == "/admin/operations/operation/"
    assert away["Location"] == "/admin/"


# --- Timeouts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "setting", "reason", "sentence"),
    [
        (timeouts.SEEN, "CONSOLE_IDLE_SECONDS", "idle", "Nothing was done for 1 h"),
        (timeouts.BEGAN, "CONSOLE_SESSION_SECONDS", "too-long", "A login lasts 12 h"),
    ],
)
def test_a_session_ends_says_why_and_leads_back(
    viewer: User, settings: Any, key: str, setting: str, reason: str, sentence: str
) -> None:
    client, _ = log_in("victor")
    age(client, key, getattr(settings, setting) - 5)
    assert client.get("/admin/").status_code == 200
    age(client, key, getattr(settings, setting) + 5)

    response = client.get("/admin/operations/operation/?status=failed")
    page = text_of(client.get(response["Location"]))

    where = "next=%2Fadmin%2Foperations%2Foperation%2F%3Fstatus%3Dfailed"
    assert response["Location"] == f"/admin/login/?{where}&ended={reason}"
    assert sentence in page
    assert 'value="/admin/operations/operation/?status=failed"' in page
    assert client.get("/admin/").status_code == 302


def test_opening_pages_keeps_a_session_alive_but_a_page_that_asks_by_itself_does_not(
    viewer: User, settings: Any
) -> None:
    client, _ = log_in("victor")
    age(client, timeouts.SEEN, settings.CONSOLE_IDLE_SECONDS - 60)

    client.get("/admin/operations/operation/", HTTP_SEC_FETCH_MODE="cors")
    by_itself = time.time() - client.session[timeouts.SEEN]
    client.get("/admin/operations/operation/", HTTP_SEC_FETCH_MODE="navigate")
    by_person = time.time() - client.session[timeouts.SEEN]

    assert by_itself >= settings.CONSOLE_IDLE_SECONDS - 60
    assert by_person < 60


def test_a_form_that_comes_too_late_leads_back_to_its_page_and_changes_nothing(
    admin: User, viewer: User, settings: Any
) -> None:
    client, _ = log_in("alice")
    age(client, timeouts.SEEN, settings.CONSOLE_IDLE_SECONDS + 5)
    page = f"/admin/accounts/user/{viewer.pk}/change/"

    response = client.post(
        f"/admin/accounts/user/{viewer.pk}/deactivate/", HTTP_REFERER=f"http://testserver{page}"
    )

    assert response["Location"].startswith(f"/admin/login/?next={page.replace('/', '%2F')}&")
    assert User.objects.get(pk=viewer.pk).is_active


def test_an_unknown_reason_says_nothing(db: None) -> None:
    page = text_of(Client().get("/admin/login/?ended=<b>you+were+hacked</b>"))

    assert "login-note" not in page
    assert "hacked</b>" not in page


# --- Passwords -----------------------------------------------------------------------------------


def test_the_password_page_says_that_other_sessions_end_and_names_the_broken_rule(
    viewer: User,
) -> None:
    client = client_of(viewer)
    form = {"old_password": PASSWORD, "new_password1": "short", "new_password2": "short"}

    page = text_of(client.get("/admin/password_change/"))
    refused = text_of(client.post("/admin/password_change/", form))

    assert "Every other session of yours ends" in page
    assert "too short" in refused
    assert User.objects.get(pk=viewer.pk).check_password(PASSWORD)


# --- What the console answers instead of a page ---------------------------------------------------


def test_a_browser_gets_a_page_for_what_is_not_there_and_a_script_gets_json(viewer: User) -> None:
    client = client_of(viewer)

    page = client.get("/admin/nothing/", headers=BROWSER)
    script = client.get("/admin/nothing/")
    api = client.get("/v1/nothing", headers=BROWSER)

    assert (page.status_code, script.status_code, api.status_code) == (404, 404, 404)
    assert "<h1>Not found</h1>" in text_of(page)
    assert 'aria-label="Console"' in text_of(page)
    assert script.json()["error"] == api.json()["error"] == "NOT_FOUND"


def test_a_browser_gets_a_page_for_what_is_not_allowed(viewer: User) -> None:
    page = client_of(viewer).get("/admin/accounts/user/", headers=BROWSER)

    assert page.status_code == 403
    assert "<h1>Not allowed</h1>" in text_of(page)
    assert AuditEvent.objects.filter(event="access.denied").count() == 1


def test_an_outdated_form_gets_a_page_that_leads_back(admin: User, viewer: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin)
    here = f"/admin/accounts/user/{viewer.pk}/change/"

    page = client.post(
        f"/admin/accounts/user/{viewer.pk}/deactivate/",
        headers={"referer": f"http://testserver{here}", **BROWSER},
    )

    assert page.status_code == 403
    assert "<h1>The page is out of date</h1>" in text_of(page)
    assert f'href="{here}"' in text_of(page)
    assert User.objects.get(pk=viewer.pk).is_active


def test_a_stranger_who_is_refused_sees_the_bare_page(stranger: User) -> None:
    page = client_of(stranger).post("/admin/accounts/user/add/", headers=BROWSER)

    assert page.status_code == 403
    assert 'aria-label="Console"' not in text_of(page)


@pytest.mark.parametrize("path", ["/admin/", "/admin/login/", "/admin/accounts/user/", "/admin/x/"])
def test_no_page_of_the_console_is_kept_by_the_browser(admin: User, path: str) -> None:
    response = client_of(admin).get(path, headers=BROWSER)

    assert "no-store" in response["Cache-Control"]


def test_who_loses_his_last_role_is_out(viewer: User) -> None:
    client = client_of(viewer)
    RoleBinding.objects.filter(user=viewer).delete()

    page = client.get("/admin/", follow=True)

    assert "You are logged in as victor, who holds no role." in text_of(page)
