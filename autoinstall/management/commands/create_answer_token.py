from __future__ import annotations

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.actor import COMMAND_LINE
from accounts.commands import refusals_as_one_line
from autoinstall.commands import read_text
from autoinstall.documents import TokenCreate
from autoinstall.services import tokens
from autoinstall.views.manners import read_shape


class Command(BaseCommand):
    help = "Create an answer token. Prints `id:secret` once; nobody can read the secret again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", help="3 to 64 letters, digits, '.', '_' and '-'")
        parser.add_argument("--comment")
        parser.add_argument(
            "--secret-file",
            help="a file with the secret that images hold already; - for stdin (never in argv)",
        )
        parser.add_argument("--expires-days", type=int, help="default: never")
        parser.add_argument("--max-uses", type=int, help="how many answers it may fetch")
        parser.add_argument(
            "--source-cidr", action="append", default=[], help="only from this network; repeatable"
        )
        parser.add_argument(
            "--allow-in-path", action="store_true", help="for installers that send no header"
        )
        parser.add_argument(
            "--allow-without-secret", action="store_true", help="from the source networks"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        wanted = {
            "id": options["id"],
            "comment": options["comment"],
            "secret": secret_in(options["secret_file"]),
            "expire-at": expiry(options["expires_days"]),
            "max-uses": options["max_uses"],
            "source-cidrs": options["source_cidr"],
            "allow-in-path": options["allow_in_path"],
            "allow-without-secret": options["allow_without_secret"],
        }
        given = {key: value for key, value in wanted.items() if value is not None}
        with refusals_as_one_line():
            token, secret = tokens.create_token(
                wanted=read_shape(TokenCreate, given), actor=COMMAND_LINE
            )
        self.stdout.write(f"{token.name}:{secret}")


def expiry(days: int | None) -> int | None:
    if days is None:
        return None
    if not 1 <= days <= 36500:
        raise CommandError(f"--expires-days is {days}: it must be from 1 to 36500.")
    return int(time.time()) + days * 86400


def secret_in(name: str | None) -> str | None:
    """An empty file is a secret that is too short, not none."""
    return None if name is None else read_text(name).strip()
