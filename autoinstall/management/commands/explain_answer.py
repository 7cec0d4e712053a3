from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.commands import refusals_as_one_line
from autoinstall.commands import read_info
from autoinstall.services import preview


class Command(BaseCommand):
    help = (
        "Explain which prepared config a machine gets and why: each filter with the value found, the "
        "answer with secrets masked, and what its installer would refuse. Hands out nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", nargs="?", help="system information as JSON; - for stdin")
        parser.add_argument("--attempt", help="a past attempt instead of a file")
        parser.add_argument("--token", help="only what this answer token may fetch")
        parser.add_argument("--json", action="store_true", help="everything, as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        if bool(options["file"]) == bool(options["attempt"]):
            raise CommandError("Give a file or --attempt, one of them.")
        with refusals_as_one_line():
            info = (
                read_info(options["file"])
                if options["file"]
                else preview.info_of_attempt(options["attempt"])
            )
            found = preview.preview(preview.Question(info=info, token=options["token"]))
        text = json.dumps(found, indent=2) if options["json"] else "\n".join(told(found))
        self.stdout.write(text)


def told(found: dict[str, Any]) -> list[str]:
    """The explanation as lines for a person."""
    machine = found["machine"]
    lines = [
        "Machine: {} ({} {}, installer {})".format(
            machine["identity"] or "without identity",
            *(machine[key] for key in ("product", "release", "installer")),
        ),
        "",
    ]
    for config in found["configs"]:
        verdict = "matches" if config["matches"] else "no match"
        if config["is-default"]:
            verdict = "default"
        note = "" if config["authorized"] else " (not for this token)"
        lines.append(f"{config['id']}: {verdict}{note}")
        for one in config["filters"]:
            sign = "+" if one["matches"] else "-"
            lines.append(f"  {sign} {one['pointer']} = {one['pattern']}: {one['reason']}")
    if found["configs-left-out"]:
        lines.append(f"... and {found['configs-left-out']} more configs that match less")
    lines += ["", found["why"]]
    if answer := found["answer"]:
        lines += [f"Would be refused: {one['path']}: {one['reason']}" for one in answer["rejected"]]
        lines += [f"Left out for this installer: {path}" for path in answer["omitted"]]
        lines += ["", answer["error"] or answer["toml"] or ""]
    return lines
