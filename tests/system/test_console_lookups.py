"""What the query string of a list may ask: what its filters ask, and nothing that the page does not show."""

from __future__ import annotations

import html
import re
from datetime import timedelta

import pytest
from django.contrib import admin as django_admin
from django.utils import timezone

from accounts.console import ConsoleAdmin
from accounts.console.days import SPANS
from accounts.models import Role, User, Workspace
from operations.models import Operation
from tests.accounts.people import client_of, make_rows
from tests.factories import make_operation

PAGES = [
    f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
    for model, page in django_admin.site._registry.items()
    if isinstance(page, ConsoleAdmin)
]


@pytest.mark.parametrize(
    "asked",
    [
        "autoinstall/preparedconfig/?root_password_hash__startswith=$6$",
        "autoinstall/preparedconfig/?root_password_hash__regex=^(a+)+$",
        "autoinstall/preparedconfig/?document__mailto=x",
        "autoinstall/answertoken/?secret_digest__startswith=a",
        "autoinstall/attempt/?hook_digest__startswith=a",
        "operations/operation/?params__settings__password__startswith=h",
        "operations/operation/?error__regex=(",
        "operations/operation/?requested_by=99999999999999999999",
        "operations/server/?id__in=1,2",
    ],
)
def test_no_hidden_column_can_be_guessed_by_a_query(viewer: User, asked: str) -> None:
    make_rows()

    assert client_of(viewer).get(f"/admin/{asked}").status_code == 400


def test_nobody_guesses_a_password_hash_by_a_query(admin: User) -> None:
    assert client_of(admin).get("/admin/accounts/user/?password__startswith=a").status_code == 400


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_every_filter_opens(admin: User, page: str) -> None:
    make_rows()
    client = client_of(admin)
    shown = client.get(page).content.decode()
    links = {html.unescape(link) for link in re.findall(r'href="(\?[^"]+)"', shown)}

    for link in links:
        response = client.get(page + link)
        assert response.status_code == 200, link


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("name", ["q", "status__exact", "who", "workspace", "state"])
def test_a_null_character_is_refused_and_breaks_nothing(admin: User, page: str, name: str) -> None:
    response = client_of(admin).get(page, {name: "a\x00b"})

    assert response.status_code in (200, 302, 400)


@pytest.mark.parametrize("since", ["1960-01-01", "0001-01-01", "9999-12-31"])
def test_any_day_can_be_asked_for(viewer: User, since: str) -> None:
    for page in ("operations/operation", "autoinstall/attempt"):
        assert client_of(viewer).get(f"/admin/{page}/?since={since}").status_code == 200


def test_a_column_of_the_chart_of_durations_leads_to_the_operations_that_it_counts(
    viewer: User, workspace: Workspace
) -> None:
    now = timezone.now()
    for seconds in (0.5, 3, 4, 5, 100, 5000):
        operation = make_operation(workspace)
        Operation.objects.filter(pk=operation.pk).update(
            status="completed", started_at=now - timedelta(seconds=seconds), finished_at=now
        )
    client = client_of(viewer)
    home = client.get("/admin/").content.decode()
    found = {}
    for link in re.findall(r'href="(/admin/operations/operation/\?[^"]*took=[^"]*)"', home):
        shown = client.get(html.unescape(link))
        found[link.rpartition("took=")[2]] = shown.context["cl"].result_count

    assert found == {"0-1": 1, "1-5": 3, "60-300": 1, "3600-": 1}
    assert set(found) <= set(SPANS)


def test_a_form_that_was_overtaken_changes_nothing_and_says_so(admin: User) -> None:
    role = Role.objects.create(name="Registrar", permissions=["server_read", "user_manage"])
    client = client_of(admin)
    page = f"/admin/accounts/role/{role.pk}/change/"
    seen = re.search(r'name="_seen" value="([^"]+)"', client.get(page).content.decode())
    assert seen
    role.permissions = ["server_read"]
    role.save()

    form = {"name": "Registrar", "description": "new", "_seen": html.unescape(seen[1])}
    answer = client.post(page, {**form, "permissions": ["server_read", "user_manage"]})

    assert "Somebody changed this meanwhile" in answer.content.decode()
    role.refresh_from_db()
    assert (role.permissions, role.description) == (["server_read"], "")


def test_who_may_not_see_workers_has_their_number_without_a_link(viewer: User) -> None:
    home = client_of(viewer).get("/admin/").content.decode()

    assert re.search(r'<div class="figure [a-z]*"><span class="value">0</span>', home)
    assert "/admin/operations/runner/" not in home
