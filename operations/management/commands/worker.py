from __future__ import annotations

import os
import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from operations.worker import Worker
from provisioning.processes import die_with_parent


class Command(BaseCommand):
    help = "Run operations: supervises django-q2's cluster until SIGTERM or Ctrl-C."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--supervised-by", type=int, metavar="PID", help="end when that parent process ends"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if parent := options["supervised_by"]:
            die_with_parent(expected_parent=parent)
        # Every process that django-q2 forks dies with its parent, so that none is left behind when
        # one of them is killed. The CLI is started by vfork, which does not pass here.
        os.register_at_fork(after_in_child=lambda: die_with_parent(signal.SIGKILL))
        Worker().run()
