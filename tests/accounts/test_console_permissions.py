"""The permissions of the console are the API's: every URL of every page, by everybody.

Pages and URLs are found, not listed: a new page is walked by being registered, and one with URLs of its
own fails until it says in `extra_permissions` what each of them needs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin as django_admin
from django.db.models import Model
from django.test import Client
from django.urls import URLPattern, reverse

from accounts.console import ConsoleAdmin
from accounts.models import AuditEvent, LoginThrottle, Role, RoleBinding, User, Workspace
from operations.models import Operation, Server
from tests.accounts.people import CAST, client_of, everybody, make_rows
from tests.factories import bind, make_user, make_workspace

SITE = django_admin.site
PAGES = [
    pytest.param(model, page, id=str(model._meta.model_name))
    for model, page in SITE._registry.items()
    if isinstance(page, ConsoleAdmin)
]
# What Django's own URLs of a page need, by the act in `permissions`: to look, and to send.
OWN = {
    "changelist": ("view", "view"),
    "add": ("add", "add"),
    "history": ("view", "view"),
    "delete": ("delete", "delete"),
    "change": ("view", "change"),
}
OF_THE_SITE = {
    *("index", "login", "logout", "password_change", "password_change_done", "autocomplete"),
    *("jsi18n", "view_on_site", "app_list"),
}
UNKNOWN = "nobody holds this"


@dataclass(frozen=True)
class Door:
    """A URL of a page, and the permissions that looking at it and sending to it need."""

    url: str
    look: str
    send: str


def names_of(model: type[Model], page: ConsoleAdmin) -> dict[str, URLPattern]:
    """The named URLs of a page, without the prefix that Django gives them."""
    prefix = f"{model._meta.app_label}_{model._meta.model_name}_"
    patterns = [one for one in page.get_urls() if one.name]
    return {str(one.name).removeprefix(prefix): one for one in patterns}


def doors_of(model: type[Model], page: ConsoleAdmin) -> Iterator[Door]:
    row = model._default_manager.order_by("-pk").first()
    assert row is not None, f"make a {model.__name__} in tests/accounts/people.py"
    prefix = f"{model._meta.app_label}_{model._meta.model_name}_"
    for name, pattern in names_of(model, page).items():
        wanted = set(pattern.pattern.converters)
        assert len(wanted) <= 1, f"{name}: say here what {wanted} are"
        url = reverse(f"admin:{pattern.name}", kwargs=dict.fromkeys(wanted, row.pk))
        if name in OWN:
            look, send = (page.permissions.get(act, UNKNOWN) for act in OWN[name])
        else:
            look = send = page.extra_permissions[prefix + name]
        yield Door(url, look, send)


def looked_at(client: Client, url: str) -> Any:
    """The answer; one that streams is hung up on, or it would keep its place for ever."""
    response: Any = client.get(url)
    if response.streaming:
        pieces = response._iterator  # Django's test client closes what has been begun
        next(pieces, None)
        pieces.close()
    return response


def everything() -> dict[str, list[Any]]:
    """All rows that a person could change, the trail apart."""
    return {
        model.__name__: list(model._default_manager.order_by("pk").values())
        for app in ("accounts", "autoinstall", "operations")
        for model in apps.get_app_config(app).get_models()
        if model is not AuditEvent
    }


@pytest.mark.parametrize(("model", "page"), PAGES)
def test_every_url_of_a_page_says_what_it_needs(model: type[Model], page: ConsoleAdmin) -> None:
    prefix = f"{model._meta.app_label}_{model._meta.model_name}_"
    extra = {prefix + name for name in names_of(model, page) if name not in OWN}

    assert extra == set(page.extra_permissions)


def test_the_site_has_no_url_that_nobody_knows() -> None:
    names = {one.name for one in SITE.get_urls() if isinstance(one, URLPattern) and one.name}

    assert names <= OF_THE_SITE


def test_what_libraries_register_is_closed_to_everybody(admin: User) -> None:
    foreign = [
        model for model, page in SITE._registry.items() if not isinstance(page, ConsoleAdmin)
    ]
    client = client_of(admin)

    for model in foreign:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        assert client.get(reverse(f"{name}_changelist")).status_code == 403
        assert client.post(reverse(f"{name}_add")).status_code == 403


@pytest.mark.parametrize(("model", "page"), PAGES)
def test_who_may_look_looks_and_who_may_not_is_refused(
    db: None, model: type[Model], page: ConsoleAdmin
) -> None:
    people = everybody()
    make_rows()
    clients = {name: client_of(person) for name, person in people.items()}
    for door in doors_of(model, page):
        for name, person in people.items():
            response = looked_at(clients[name], door.url)
            if person is None or person.grants.is_empty:
                assert response["Location"].startswith("/admin/login/"), (name, door)
            elif person.has_perm(door.look):
                assert response.status_code in (200, 302, 404, 405), (name, door)
            else:
                assert response.status_code == 403, (name, door)


@pytest.mark.parametrize(("model", "page"), PAGES)
def test_a_forged_request_is_refused_changes_nothing_and_is_remembered(
    db: None, model: type[Model], page: ConsoleAdmin
) -> None:
    people = everybody()
    make_rows()
    clients = {name: client_of(person) for name, person in people.items()}
    before = everything()
    for door in doors_of(model, page):
        for name, person in people.items():
            if person and person.has_perm(door.send):
                continue
            denied = AuditEvent.objects.filter(event="access.denied", actor=person).count()
            response = clients[name].post(door.url, {"post": "yes", "name": "forged"})
            after = AuditEvent.objects.filter(event="access.denied", actor=person).count()
            if person is None:
                assert response["Location"].startswith("/admin/login/"), (name, door)
            else:
                assert (response.status_code, after) == (403, denied + 1), (name, door)
    assert everything() == before


@pytest.mark.parametrize(("model", "page"), PAGES)
def test_an_action_that_is_not_offered_is_refused(
    db: None, rf: Any, model: type[Model], page: ConsoleAdmin
) -> None:
    people = everybody()
    make_rows()
    url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    keys = [str(row.pk) for row in model._default_manager.all()]
    clients = {name: client_of(person) for name, person in people.items()}
    before = everything()
    for name, person in people.items():
        if person is None or not person.is_staff:
            continue
        request = rf.get(url)
        request.user = person
        offered = page.get_actions(request)
        for action in [*(page.actions or ()), "delete_selected"]:
            if action in offered:
                continue
            response = clients[name].post(url, {"action": action, "_selected_action": keys})
            assert response.status_code == 403, (name, action)
    assert everything() == before


class Links(HTMLParser):
    """Where a page leads to, and where its forms and buttons send."""

    def __init__(self) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.sends: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "a":
            self.links.add(given.get("href", ""))
        if tag == "form" and given.get("method", "").lower() == "post" and given.get("action"):
            self.sends.add(given["action"])
        if given.get("formaction"):
            self.sends.add(given["formaction"])


@pytest.mark.parametrize("name", [name for name in CAST if name != "stranger"])
def test_no_page_links_to_what_the_person_may_not_open_or_send(db: None, name: str) -> None:
    person = everybody()[name]
    assert person
    make_rows()
    needed = {
        re.sub(r"\?.*", "", door.url): door
        for param in PAGES
        for door in doors_of(*param.values)  # type: ignore[arg-type]
    }
    client, seen, waiting = client_of(person), set(), ["/admin/"]
    while waiting:
        url = waiting.pop()
        response = looked_at(client, url)
        assert response.status_code < 400, (name, url)
        if "text/html" not in response.get("Content-Type", "") or response.status_code != 200:
            continue
        found = Links()
        found.feed(response.content.decode())
        for sent in found.sends:
            door = needed.get(re.sub(r"\?.*", "", sent))
            assert door is None or person.has_perm(door.send), (name, url, sent)
        for link in found.links:
            path = re.sub(r"[?#].*", "", link)
            shape = re.sub(r"[0-9a-f-]{36}|\d+", "N", path)
            if path.startswith("/admin/") and shape not in seen:
                seen.add(shape)
                waiting.append(link)
    assert len(seen) > 5


def test_a_manager_of_people_who_is_no_admin_cannot_become_one(admin: User) -> None:
    role = Role.objects.create(name="Registrar", permissions=["user_manage"])
    manager = User.objects.create(username="maya")
    RoleBinding.objects.create(user=manager, role=role)
    client = client_of(manager)
    everywhere = {"role": str(Role.objects.get(name="Admin").pk), "workspace": ""}

    bound = client.post(f"/admin/accounts/user/{manager.pk}/bind/", everywhere)
    taken = client.post(
        f"/admin/accounts/user/{admin.pk}/password/", {"password": "a-new-password"}
    )

    assert (bound.status_code, taken.status_code) == (403, 403)
    assert RoleBinding.objects.filter(user=manager).count() == 1
    assert User.objects.get(pk=admin.pk).password == admin.password
    assert AuditEvent.objects.filter(event="access.denied", actor=manager).count() == 2


def test_a_get_changes_nothing(admin: User, workspace: Workspace) -> None:
    LoginThrottle.objects.create(username="root", failures=3)
    make_rows()
    client: Client = client_of(admin)
    before = everything()

    for param in PAGES:
        for door in doors_of(*param.values):  # type: ignore[arg-type]
            looked_at(client, door.url)

    assert everything() == before


def test_an_act_upon_what_one_may_not_see_is_remembered(db: None) -> None:
    theirs = make_rows()
    guest = make_user("guest")
    bind(guest, "Operator", make_workspace("mine"))
    client = client_of(guest)
    before = everything()
    operation, server = Operation.objects.get(), Server.objects.get()

    for url in (
        f"/admin/operations/operation/{operation.pk}/cancel/",
        f"/admin/operations/operation/{operation.pk}/rerun/",
        f"/admin/operations/server/{server.pk}/remove/",
        f"/admin/operations/workspacelock/{theirs.pk}/unlock/",
    ):
        assert client.post(url).status_code == 404, url
        refused = AuditEvent.objects.filter(event="access.denied", actor=guest)
        assert refused.order_by("-pk").first().target_name == f"POST {url}"  # type: ignore[union-attr]

    assert everything() == before
