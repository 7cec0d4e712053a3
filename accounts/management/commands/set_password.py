from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from accounts import services
from accounts.actor import COMMAND_LINE
from accounts.commands import read_password, refusals_as_one_line, user_named


class Command(BaseCommand):
    help = (
        "Give a user a new password (asked for, or read from standard input). "
        "Every session of the user ends."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")

    def handle(self, *args: Any, **options: Any) -> None:
        user = user_named(options["username"])
        password = read_password()
        with refusals_as_one_line():
            services.set_user_password(user=user, new_password=password, actor=COMMAND_LINE)
        self.stdout.write(f"Changed the password of {user}.")
