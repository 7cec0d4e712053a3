from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from granian import Granian
from granian.constants import Interfaces

from operations import following
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
        granian = Granian(
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
        )
        granian.on_startup(end_held_requests_at_a_stop)
        try:
            granian.serve()
        finally:
            following.stop_file(os.getpid()).unlink(missing_ok=True)


def end_held_requests_at_a_stop() -> None:
    """Granian waits for open requests and kills what is still open after ten seconds: tell those that
    wait for something. Called after it has set its signal handlers."""
    stop_file = following.stop_file(os.getpid())
    stop_file.unlink(missing_ok=True)  # of a server that was killed and had this pid
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, announcing(stop_file, signal.getsignal(number)))


def announcing(stop_file: Path, handler: Any) -> Callable[..., None]:
    def on_signal(*args: Any) -> None:
        with contextlib.suppress(OSError):
            stop_file.touch()
        handler(*args)

    return on_signal
