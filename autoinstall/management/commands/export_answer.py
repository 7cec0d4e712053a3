from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from accounts.actor import COMMAND_LINE
from accounts.commands import refusals_as_one_line
from autoinstall.services import files


class Command(BaseCommand):
    help = (
        "Print a prepared config as an answer.toml. Lines that begin with '#:' hold what only this "
        "server knows; an import reads them back."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("config", help="id of the prepared config")
        parser.add_argument(
            "--with-password-hash",
            action="store_true",
            help="add the root password's hash, which is a secret: mind where the output goes",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with refusals_as_one_line():
            text = files.export_config(
                name=options["config"], actor=COMMAND_LINE, with_hash=options["with_password_hash"]
            )
        self.stdout.write(text.rstrip("\n"))
