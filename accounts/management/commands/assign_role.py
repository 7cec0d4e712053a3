from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import services
from accounts.actor import COMMAND_LINE
from accounts.commands import refusals_as_one_line, role_named, user_named, workspace_named
from accounts.models import RoleBinding


class Command(BaseCommand):
    help = "Give a user a role, everywhere or in one workspace; --remove takes it away."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("role", help="e.g. Admin, Operator, Developer, Viewer")
        parser.add_argument("--workspace", help="only in this workspace (default: everywhere)")
        parser.add_argument("--remove", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        user = user_named(options["username"])
        role = role_named(options["role"])
        workspace = workspace_named(options["workspace"]) if options["workspace"] else None
        with refusals_as_one_line():
            if options["remove"]:
                binding = RoleBinding.objects.filter(
                    user=user, role=role, workspace=workspace
                ).first()
                if binding is None:
                    where = f"in {workspace}" if workspace else "everywhere"
                    raise CommandError(f"{user} is not {role} {where}.")
                services.delete_binding(binding=binding, actor=COMMAND_LINE)
                self.stdout.write(f"{user} is {role} no more.")
                return
            made = services.create_binding(
                user=user, role=role, workspace=workspace, actor=COMMAND_LINE
            )
        self.stdout.write(f"{made}.")
