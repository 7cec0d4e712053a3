"""`make_*`: rows for tests, with sensible values for what a test does not care about."""

from __future__ import annotations

import functools
import itertools
from typing import Any

from django.contrib.auth.hashers import make_password

from accounts.actor import Actor
from accounts.models import Role, RoleBinding, User, Workspace
from operations.commands import Kind
from operations.models import Operation, Server
from operations.services.submit import submit_operation

PASSWORD = "correct-horse-battery"
_numbers = itertools.count(1)


@functools.cache
def password_hash() -> str:
    """One real Argon2id hash for everybody: making one takes a quarter of a second."""
    return make_password(PASSWORD)


def make_user(username: str | None = None, **fields: Any) -> User:
    name = username or f"user{next(_numbers)}"
    return User.objects.create(username=name, password=password_hash(), **fields)


def make_workspace(name: str | None = None) -> Workspace:
    return Workspace.objects.create(name=name or f"workspace{next(_numbers)}")


def bind(user: User, role: str, workspace: Workspace | None = None) -> RoleBinding:
    return RoleBinding.objects.create(
        user=user, role=Role.objects.get(name=role), workspace=workspace
    )


def make_operation(workspace: Workspace, actor: Actor | None = None, **fields: Any) -> Operation:
    """A pending operation, submitted through the service."""
    params = fields.pop(
        "params", {"hostname": f"host-{next(_numbers)}", "provider": "p", "plan": "q"}
    )
    return submit_operation(
        actor=actor or Actor(name="tester"),
        kind=fields.pop("kind", Kind.SERVER_CREATE),
        workspace=workspace,
        params=params,
        **fields,
    )


def make_server(workspace: Workspace, hostname: str | None = None, **fields: Any) -> Server:
    return Server.objects.create(
        uid=Server.new_uid(),
        workspace=workspace,
        hostname=hostname or f"host-{next(_numbers)}",
        **fields,
    )
