from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from accounts.actor import COMMAND_LINE
from autoinstall.services.installing import prunable, prune_installations


class Command(BaseCommand):
    help = (
        "Delete attempts and installations older than so many days. Those that still await their "
        "report stay, and so do the counter values that machines hold."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--days", type=int, default=365, help="default 365")
        parser.add_argument("--dry-run", action="store_true", help="only count")

    def handle(self, *args: Any, **options: Any) -> None:
        days = options["days"]
        if not 0 <= days <= 36500:
            raise CommandError(f"--days is {days}: it must be from 0 to 36500.")
        before = timezone.now() - timedelta(days=days)
        if options["dry_run"]:
            self.stdout.write(f"Would delete {prunable(before).count()} attempts.")
            return
        count = prune_installations(before=before, actor=COMMAND_LINE)
        self.stdout.write(f"Deleted {count} attempts.")
