from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction

from accounts import services
from accounts.actor import COMMAND_LINE
from accounts.commands import read_password, refusals_as_one_line, role_named, workspace_named


class Command(BaseCommand):
    help = "Create a user. The password is asked for, or read from standard input."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--email", default="")
        parser.add_argument("--full-name", default="")
        parser.add_argument("--role", help="give this role at once, e.g. Operator")
        parser.add_argument("--workspace", help="only in this workspace (default: everywhere)")

    def handle(self, *args: Any, **options: Any) -> None:
        role = role_named(options["role"]) if options["role"] else None
        workspace = workspace_named(options["workspace"]) if options["workspace"] else None
        password = read_password()
        with refusals_as_one_line(), transaction.atomic():
            user = services.create_user(
                username=options["username"],
                password=password,
                email=options["email"],
                full_name=options["full_name"],
                actor=COMMAND_LINE,
            )
            if role:
                services.create_binding(
                    user=user, role=role, workspace=workspace, actor=COMMAND_LINE
                )
        where = f" in {workspace}" if workspace else " everywhere"
        what = f" as {role}{where}" if role else " without a role"
        self.stdout.write(f"Created the user {user}{what}.")
