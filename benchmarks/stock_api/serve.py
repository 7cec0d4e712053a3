"""`python -m benchmarks.stock_api.serve PORT ROWS`: makes its tables and rows, then serves."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import django
from django.core.management import call_command
from granian import Granian
from granian.constants import Interfaces

THREADS = 32  # web_threads of ours by default


def main(port: int, rows: int) -> None:
    django.setup()
    from django.contrib.auth.models import User
    from django.db import connection

    from benchmarks.stock_api.models import Operation

    call_command("migrate", run_syncdb=True, verbosity=0)
    User.objects.create_user("admin", password="benchmark-password")  # noqa: S106
    now = datetime.now(UTC)
    Operation.objects.bulk_create(
        Operation(
            status="completed",
            kind="server_create",
            created_at=now,
            updated_at=now,
            started_at=now,
            finished_at=now,
            result={"hostname": f"host-{number}", "id": "srv-abc123", "status": "registered"},
            workspace="production",
            requested_by="admin",
            exit_code=0,
            timeout_seconds=300,
            request_id="5100c19a-ede8-4668-9f0d-181b54259f1d",
            params={"hostname": f"host-{number}", "provider": "p", "plan": "q"},
        )
        for number in range(rows)
    )
    connection.close()
    Granian(
        "benchmarks.stock_api.views:application",
        address="127.0.0.1",
        port=port,
        interface=Interfaces.WSGI,
        workers=1,
        blocking_threads=THREADS,
        backlog=2048,
        log_access=False,
        log_enabled=False,
    ).serve()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
