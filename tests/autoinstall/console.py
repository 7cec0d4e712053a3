"""What the tests of console pages share: a browser without its window, forged acts, counted queries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEvent, Role, RoleBinding, User
from tests.answers import tables
from tests.factories import make_user

BASE = "/admin/autoinstall"


def logged_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def text_of(user: User, path: str, **query: str) -> str:
    response = logged_in(user).get(f"{BASE}/{path}", query)
    assert response.status_code == 200, response.content[:300]
    text: str = response.content.decode()
    return text


def with_permissions(*names: str) -> User:
    """Somebody with a role of these permissions only."""
    user = make_user("someone")
    role = Role.objects.create(name="Some", permissions=list(names))
    RoleBinding.objects.create(user=user, role=role)
    return user


@contextmanager
def refused(user: User) -> Iterator[None]:
    """Nothing changes within but for one `access.denied` of this person (and when he logged in last)."""
    before = tables(AuditEvent, User)
    denied = AuditEvent.objects.filter(event="access.denied", actor=user)
    count = denied.count()
    yield
    assert tables(AuditEvent, User) == before
    assert denied.count() == count + 1


def queries_of(client: Client, path: str) -> list[dict[str, Any]]:
    client.get(path)  # what is read once in the life of a process
    with CaptureQueriesContext(connection) as queries:
        assert client.get(path).status_code == 200
    return list(queries.captured_queries)
