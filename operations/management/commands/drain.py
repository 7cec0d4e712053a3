from __future__ import annotations

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.actor import COMMAND_LINE
from operations.services import drain, lifecycle
from provisioning.errors import ProductError


class Command(BaseCommand):
    help = (
        "Take and start no new operations, on every host, until `resume`. What runs finishes, what is "
        "queued waits. A restart changes nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--reason", default="", help="one line that refused requests are told")
        parser.add_argument(
            "--wait",
            type=float,
            default=0.0,
            metavar="SECONDS",
            help="wait so long until nothing runs any more; exit code 1 if something still does",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            drain.drain_system(actor=COMMAND_LINE, reason=options["reason"])
        except ProductError as error:
            raise CommandError(error.message) from None
        deadline = time.monotonic() + options["wait"]
        while (count := lifecycle.running().count()) and time.monotonic() < deadline:
            time.sleep(0.2)
        self.stdout.write(f"Drained; {count} operations still run.")
        if count and options["wait"]:
            raise CommandError(f"{count} operations still run after {options['wait']:g} seconds.")
