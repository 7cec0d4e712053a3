from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.actor import COMMAND_LINE
from accounts.commands import refusals_as_one_line
from autoinstall.commands import read_text
from autoinstall.services import files


class Command(BaseCommand):
    help = (
        "Import an answer.toml (kebab-case or the older snake_case) as a prepared config. What the file "
        "cannot say is given by options. Nothing is imported in part."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="the answer file; - for stdin")
        parser.add_argument("--id", help="id of the prepared config")
        parser.add_argument(
            "--default", action="store_true", help="for machines that match nothing"
        )
        parser.add_argument(
            "--token",
            action="append",
            default=[],
            help="an answer token that may fetch it; repeatable",
        )
        parser.add_argument(
            "--filter",
            action="append",
            default=[],
            metavar="POINTER=GLOB",
            help="a target filter such as /dmi/system/serial=SN-1*; repeatable",
        )
        parser.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="KEY=JSON",
            help='any other field, such as template-counters={"n":1}; repeatable',
        )

    def handle(self, *args: Any, **options: Any) -> None:
        given = dict(pair("--set", text) for text in options["set"])
        more: dict[str, Any] = {key: read_json(key, text) for key, text in given.items()}
        if options["id"]:
            more["id"] = options["id"]
        if options["default"]:
            more["is-default"] = True
        if options["token"]:
            more["authorized-tokens"] = options["token"]
        if options["filter"]:
            more["target-filter"] = dict(pair("--filter", text) for text in options["filter"])
        with refusals_as_one_line():
            saved = files.import_config(
                text=read_text(options["file"]), more=more, actor=COMMAND_LINE
            )
        for warning in saved.warnings:
            self.stderr.write(f"Warning: {warning}")
        self.stdout.write(f"Imported as {saved.config.name}.")
        if saved.token:
            self.stdout.write(f"Its new answer token: {saved.token.name}:{saved.secret}")


def pair(flag: str, text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign:
        raise CommandError(f"{flag} {text!r} has no '='.")
    return key, value


def read_json(key: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise CommandError(f"--set {key}: {text!r} is not JSON (a text needs quotes).") from None
