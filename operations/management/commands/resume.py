from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from accounts.actor import COMMAND_LINE
from operations.services import drain


class Command(BaseCommand):
    help = "End a drain: take and start operations again, on every host."

    def handle(self, *args: Any, **options: Any) -> None:
        was_drained = drain.resume_system(actor=COMMAND_LINE)
        self.stdout.write("Resumed." if was_drained else "It was not drained.")
