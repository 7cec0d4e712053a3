from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from granian import Granian
from granian.constants import Interfaces

from provisioning import config
from provisioning.processes import die_with_parent


class Command(BaseCommand):
    help = "Serve the API and the console (Granian); `manage.py worker` runs the operations."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--supervised-by", type=int, metavar="PID", help="end when that parent process ends"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if parent := options["supervised_by"]:
            die_with_parent(expected_parent=parent)
        server = config.current().values.server
        Granian(
            "provisioning.wsgi:application",
            address=server.host,
            port=server.port,
            interface=Interfaces.WSGI,
            workers=server.web_processes,
            blocking_threads=server.web_threads,
            respawn_failed_workers=True,
            workers_kill_timeout=10,
            backlog=2048,
            ssl_cert=server.tls_cert,
            ssl_key=server.tls_key,
            ssl_ca=server.client_ca,
            ssl_client_verify=server.client_ca is not None,
            log_access=False,
            log_enabled=False,
        ).serve()
