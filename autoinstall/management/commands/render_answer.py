from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.commands import refusals_as_one_line
from autoinstall.commands import read_info
from autoinstall.services import preview


class Command(BaseCommand):
    help = (
        "Print the answer that one prepared config gives a machine, whether its filters match or not. "
        "Secrets are masked; no counter moves."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("config", help="id of the prepared config")
        parser.add_argument("file", help="system information as JSON; - for stdin")
        parser.add_argument("--format", choices=("toml", "json"), default="toml")

    def handle(self, *args: Any, **options: Any) -> None:
        with refusals_as_one_line():
            answer = preview.rendered(name=options["config"], info=read_info(options["file"]))
        if answer["error"] and answer[options["format"]] is None:
            raise CommandError(answer["error"])
        for one in answer["rejected"]:
            self.stderr.write(f"The installer would refuse {one['path']}: {one['reason']}")
        text = answer["toml"]
        if options["format"] == "json":
            text = json.dumps(answer["json"], indent=2)
        self.stdout.write(text.rstrip("\n"))
