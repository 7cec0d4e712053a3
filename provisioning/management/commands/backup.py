from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection


class Command(BaseCommand):
    help = (
        "Write a consistent copy of the SQLite database to FILE (mode 0600) while the server runs. "
        "For PostgreSQL use pg_dump. Keep the directory secrets/ of the state directory with it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--force", action="store_true", help="replace FILE when it exists")

    def handle(self, *args: Any, **options: Any) -> None:
        target: Path = options["file"]
        if connection.vendor != "sqlite":
            raise CommandError("The database is PostgreSQL: use pg_dump.")
        if target.exists() and not options["force"]:
            raise CommandError(f"{target} exists: choose another name, or give --force.")
        part = target.with_name(f"{target.name}.part")
        try:
            copy_database(part)
            part.replace(target)
        except OSError as error:
            raise CommandError(f"{target} cannot be written: {error.strerror}.") from None
        finally:
            part.unlink(missing_ok=True)
        self.stdout.write(f"Wrote {target} ({target.stat().st_size} bytes, checked).")


def copy_database(target: Path) -> None:
    """SQLite's online backup into a new private file, then its own integrity check of the copy."""
    target.unlink(missing_ok=True)
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    connection.ensure_connection()
    with contextlib.closing(sqlite3.connect(target)) as copy:
        connection.connection.backup(copy)
        close_open_operations(copy)
        copy.execute("PRAGMA journal_mode=DELETE")
        verdict = copy.execute("PRAGMA integrity_check").fetchone()[0]
    if verdict != "ok":
        raise CommandError(f"The copy is damaged: {verdict}.")
    with target.open("rb") as file:
        os.fsync(file.fileno())


def close_open_operations(copy: sqlite3.Connection) -> None:
    """Let no operation of the copy be open: by the time it is restored they have ended here, and a
    server started on it would run them a second time."""
    with copy:
        copy.execute(
            """
            UPDATE operations_operation
            SET status = 'failed', reason = 'lost', finished_at = CURRENT_TIMESTAMP,
                updated_at = CURRENT_TIMESTAMP,
                error = 'It was not finished when this backup was made: look what became of it '
                        || 'before you submit it again.'
            WHERE status IN ('pending', 'running')
            """
        )
