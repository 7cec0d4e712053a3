from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.actor import COMMAND_LINE
from operations import sync


class Command(BaseCommand):
    help = "Bring servers, taskservs and clusters up to date with the CLI's lists, now."

    def handle(self, *args: Any, **options: Any) -> None:
        counts = sync.sync_all(actor=COMMAND_LINE)
        self.stdout.write(
            f"{counts['seen']} items seen, {counts['removed']} removed, "
            f"{counts['failed']} lists not usable."
        )
        if counts["failed"]:
            raise CommandError("Some lists of the CLI were not usable; the log says why.")
