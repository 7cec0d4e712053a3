"""The cast at the console, and one row of each kind for it to look at."""

from __future__ import annotations

import uuid
from datetime import timedelta

from django.test import Client
from django.utils import timezone

from accounts.models import (
    AuditEvent,
    LoginThrottle,
    RefreshSession,
    Role,
    RoleBinding,
    User,
    Workspace,
)
from autoinstall.models import Attempt
from operations.models import Cluster, Runner, Server, Taskserv, WorkspaceLock
from tests.autoinstall.factories import make_config, make_token
from tests.factories import bind, make_operation, make_server, make_user, make_workspace

CAST = {
    "admin": "Admin",
    "operator": "Operator",
    "developer": "Developer",
    "viewer": "Viewer",
    "stranger": "",
}


def everybody() -> dict[str, User | None]:
    """Each of the cast, and nobody (None) as `anonymous`."""
    people: dict[str, User | None] = {}
    for name, role in CAST.items():
        person = make_user(name)
        if role:
            bind(person, role)
        people[name] = person
    return {**people, "anonymous": None}


def client_of(person: User | None) -> Client:
    client = Client()
    if person:
        client.force_login(person)
    return client


def make_session(user: User, **fields: object) -> RefreshSession:
    values = {"family": uuid.uuid4(), "expires_at": timezone.now() + timedelta(days=1)}
    return RefreshSession.objects.create(user=user, **(values | fields))


def make_rows() -> Workspace:
    """One of each kind of row that has a page, none of them of the cast."""
    workspace = make_workspace("rows")
    someone = make_user("someone")
    role = Role.objects.create(name="Own", permissions=["server_read"])
    RoleBinding.objects.create(user=someone, role=role, workspace=workspace)
    make_session(someone)
    LoginThrottle.objects.create(
        username="someone", failures=5, locked_until=timezone.now() + timedelta(minutes=5)
    )
    AuditEvent.objects.create(event="user.created", actor_name="system", target_name="someone")
    make_server(workspace)
    for kind in (Taskserv, Cluster):
        kind.objects.create(uid=kind.new_uid(), workspace=workspace, name="one")
    make_operation(workspace)
    Runner.objects.create(
        role=Runner.Role.WORKER, host_id="h", host_name="h", boot_id="b", pid=1, pid_started=1
    )
    make_token("row-token")
    make_config(id="row-config")
    Attempt.objects.create(outcome="refused")
    Attempt.objects.create(outcome="no-match", status="no-answer-found")
    WorkspaceLock.objects.create(
        pk=workspace.pk, workspace=workspace, holder=someone, holder_name="someone", reason="racks"
    )
    assert Server.objects.exists()
    return workspace
