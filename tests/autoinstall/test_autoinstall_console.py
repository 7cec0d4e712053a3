"""The console pages of auto-install: to look at by permission, to delete through the service."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from accounts.models import AuditEvent, User
from autoinstall.models import AnswerToken, Attempt, PreparedConfig
from tests.answers import nothing_changes, one_event
from tests.autoinstall.factories import ask, make_config, password_hash, system_info

Made = tuple[AnswerToken, str]

BASE = "/admin/autoinstall"
PAGES = ("answertoken", "preparedconfig", "attempt")
MODELS = {"answertoken": AnswerToken, "preparedconfig": PreparedConfig, "attempt": Attempt}
EVENTS = {
    "answertoken": "answer-token.deleted",
    "preparedconfig": "prepared-config.deleted",
    "attempt": "installation.deleted",
}


@pytest.fixture
def rows(token: Made) -> dict[str, Any]:
    """One row of each page; the token is not in use."""
    config = make_config(id="rack", subscription_key="pve1c-0123456789").config
    ask("rack-7:wrong-secret")
    return {"answertoken": token[0], "preparedconfig": config, "attempt": Attempt.objects.get()}


def logged_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def change_page(page: str, rows: dict[str, Any]) -> str:
    return f"{BASE}/{page}/{rows[page].pk}/change/"


def delete(client: Client, page: str, rows: dict[str, Any]) -> Any:
    return client.post(f"{BASE}/{page}/{rows[page].pk}/delete/", {"post": "yes"}, follow=True)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("who", ["admin", "operator", "developer", "viewer"])
def test_every_role_looks_at_every_page(
    who: str, page: str, request: pytest.FixtureRequest, rows: dict[str, Any]
) -> None:
    client = logged_in(request.getfixturevalue(who))

    assert client.get(f"{BASE}/{page}/").status_code == 200
    assert client.get(change_page(page, rows)).status_code == 200


READ_ONLY = [page for page in PAGES if page not in ("answertoken", "preparedconfig")]


@pytest.mark.parametrize("page", READ_ONLY)
def test_nobody_adds_or_changes_by_the_console(
    page: str, admin: User, rows: dict[str, Any]
) -> None:
    client = logged_in(admin)

    with nothing_changes(AuditEvent):
        assert client.get(f"{BASE}/{page}/add/").status_code == 403
        assert client.post(f"{BASE}/{page}/add/", {"name": "x"}).status_code == 403
        assert client.post(change_page(page, rows), {"name": "x"}).status_code == 403


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("who", ["admin", "operator"])
def test_who_manages_deletes(
    who: str, page: str, request: pytest.FixtureRequest, rows: dict[str, Any]
) -> None:
    user = request.getfixturevalue(who)
    client = logged_in(user)

    with one_event(event=EVENTS[page], actor=user):
        delete(client, page, rows)

    assert not MODELS[page]._default_manager.filter(pk=rows[page].pk).exists()


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("who", ["developer", "viewer"])
def test_who_only_reads_does_not_delete(
    who: str, page: str, request: pytest.FixtureRequest, rows: dict[str, Any]
) -> None:
    client = logged_in(request.getfixturevalue(who))

    with nothing_changes(AuditEvent):
        assert delete(client, page, rows).status_code == 403


@pytest.mark.parametrize("page", PAGES)
def test_djangos_own_bulk_deletion_which_passes_the_service_by_is_not_offered(
    page: str, admin: User, rows: dict[str, Any]
) -> None:
    client = logged_in(admin)
    form = {
        "action": "delete_selected",
        "_selected_action": [str(rows[page].pk)],
        "post": "yes",
    }

    with nothing_changes(AuditEvent):
        assert client.post(f"{BASE}/{page}/", form).status_code == 403

    assert AuditEvent.objects.filter(event="access.denied", actor=admin).count() == 1
    assert "delete_selected" not in client.get(f"{BASE}/{page}/").content.decode()


def test_a_token_that_is_in_use_is_kept_and_the_console_says_why(admin: User, token: Made) -> None:
    make_config(id="rack", authorized_tokens=["rack-7"])
    client = logged_in(admin)

    response = delete(client, "answertoken", {"answertoken": token[0]})

    assert AnswerToken.objects.filter(name="rack-7").exists()
    assert "rack" in response.content.decode()
    assert not AuditEvent.objects.filter(event="answer-token.deleted").exists()


@pytest.mark.parametrize("page", PAGES)
def test_no_page_shows_a_secret(page: str, admin: User, token: Made, rows: dict[str, Any]) -> None:
    client = logged_in(admin)

    text = client.get(f"{BASE}/{page}/").content.decode()
    text += client.get(change_page(page, rows)).content.decode()

    for secret in (
        token[1].partition(":")[2],
        token[0].secret_digest,
        password_hash(),
        "pve1c-0123456789",
        "wrong-secret",
    ):
        assert secret not in text


def test_what_a_machine_says_of_itself_cannot_inject_html(admin: User, token: Made) -> None:
    make_config(authorized_tokens=["rack-7"])
    ask(token[1], system_info(serial="<script>evil</script>"))
    client = logged_in(admin)

    for path in ("attempt/", f"attempt/{Attempt.objects.get().pk}/change/"):
        page = client.get(f"{BASE}/{path}").content.decode()
        assert "<script>evil" not in page
        assert "&lt;script&gt;evil" in page


@pytest.mark.parametrize(
    ("page", "query", "found"),
    [
        ("answertoken", "rack-7", True),
        ("answertoken", "nobody", False),
        ("preparedconfig", "rack", True),
        ("preparedconfig", "nobody", False),
        ("attempt", "SN-0001", True),
        ("attempt", "SN-0002", False),
    ],
)
def test_a_page_is_searched(page: str, query: str, found: bool, admin: User, token: Made) -> None:
    make_config(id="rack", authorized_tokens=["rack-7"])
    ask(token[1])

    text = logged_in(admin).get(f"{BASE}/{page}/", {"q": query}).content.decode()

    assert ("0 results" not in text) is found
