"""The first start: tables, the first admin, the workspace of the published examples."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator

from django.core.management import call_command
from django.db import connection, transaction

from accounts import services
from accounts.actor import SYSTEM
from accounts.models import Role, User, Workspace
from accounts.roles import ADMIN
from provisioning.config import ConfigError
from provisioning.errors import ProductError

ADMIN_NAME = "admin"
FIRST_WORKSPACE = "production"
MIGRATION_LOCK = 7_201_884


def migrate() -> None:
    """Bring the tables up to date; several hosts that start at once do it in turn."""
    with one_at_a_time():
        call_command("migrate", interactive=False, verbosity=0, stdout=io.StringIO())


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """On SQLite every migration is a transaction that waits for the others by itself."""
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [MIGRATION_LOCK])


def create_first_admin(password: str) -> bool:
    """On an installation without users: the user `admin` and the workspace `production`.

    False when there are users already. Raises ConfigError for a password that breaks the rules.
    """
    with one_at_a_time(), transaction.atomic():
        if User.objects.exists():
            return False
        try:
            user = services.create_user(username=ADMIN_NAME, password=password, actor=SYSTEM)
        except ProductError as error:
            raise ConfigError(f"PROVISIONING_ADMIN_PASSWORD: {error.message}") from None
        services.create_binding(user=user, role=Role.objects.get(name=ADMIN), actor=SYSTEM)
        if not Workspace.objects.exists():
            services.create_workspace(
                name=FIRST_WORKSPACE,
                description="The workspace of the examples in the documentation.",
                actor=SYSTEM,
            )
    return True
