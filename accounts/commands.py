"""What the management commands share: rows by name, refusals as one line."""

from __future__ import annotations

import contextlib
import getpass
import sys
from collections.abc import Iterator

from django.core.management.base import CommandError

from accounts.models import Role, User, Workspace
from provisioning.errors import ProductError


@contextlib.contextmanager
def refusals_as_one_line() -> Iterator[None]:
    """A service's refusal ends the command with its sentence and exit code 1."""
    try:
        yield
    except ProductError as error:
        raise CommandError(error.message) from None


def user_named(name: str) -> User:
    user = User.objects.filter(username__iexact=name).first()
    if user is None:
        raise CommandError(f"There is no user named {name!r}.")
    return user


def role_named(name: str) -> Role:
    role = Role.objects.filter(name__iexact=name).first()
    if role is None:
        known = ", ".join(Role.objects.values_list("name", flat=True))
        raise CommandError(f"There is no role named {name!r} (known: {known}).")
    return role


def workspace_named(name: str) -> Workspace:
    workspace = Workspace.objects.filter(name=name).first()
    if workspace is None:
        known = ", ".join(Workspace.objects.values_list("name", flat=True)) or "none"
        raise CommandError(f"There is no workspace named {name!r} (known: {known}).")
    return workspace


def read_password() -> str:
    """From the terminal, typed twice; else the first line of standard input. Never from argv."""
    if not sys.stdin.isatty():
        password = sys.stdin.readline().rstrip("\n")
        if not password:
            raise CommandError("Give the password on standard input.")
        return password
    password = getpass.getpass("Password: ")
    if getpass.getpass("Password again: ") != password:
        raise CommandError("The two passwords differ.")
    return password
