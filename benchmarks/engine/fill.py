"""`python -m benchmarks.engine.fill ROWS`: so many ended operations, by SQL, and the ids of some."""

from __future__ import annotations

import sys
import uuid
from typing import Any

import django

django.setup()

from django.db import connection  # noqa: E402 - needs Django set up
from django.utils import timezone  # noqa: E402

from accounts.models import User, Workspace  # noqa: E402
from operations.models import Operation  # noqa: E402

BATCH = 20_000


def main(rows: int) -> None:
    workspace, person = Workspace.objects.get(name="production"), User.objects.get()
    now = timezone.now()

    def make(number: int) -> Operation:
        return Operation(
            id=uuid.UUID(int=(0x0190 << 112) | (0x7 << 76) | (number << 80) | (0x2 << 62) | number),
            kind="server_create",
            status="completed",
            workspace=workspace,
            workspace_name="production",
            params={"hostname": f"host-{number}", "provider": "p", "plan": "q"},
            requested_by=person,
            requested_by_name="admin",
            request_id="5100c19a-ede8-4668-9f0d-181b54259f1d",
            timeout_seconds=300,
            created_at=now,
            updated_at=now,
            started_at=now,
            finished_at=now,
            exit_code=0,
            result={"hostname": f"host-{number}", "id": "srv-abc123", "status": "registered"},
        )

    for begin in range(0, rows, BATCH):
        Operation.objects.bulk_create(map(make, range(begin, min(begin + BATCH, rows))))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    print_at(rows)


def print_at(rows: int) -> None:
    """The id of a row in the middle, and of the one that 9/10 of all come before in the list."""
    ids: Any = Operation.objects.order_by("-id").values_list("pk", flat=True)
    print(ids[rows // 2], ids[rows * 9 // 10])


if __name__ == "__main__":
    main(int(sys.argv[1]))
