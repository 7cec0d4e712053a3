"""`python -m benchmarks.engine.backlog COUNT`: so many operations that wait, all with one commit."""

from __future__ import annotations

import sys
import uuid

import django

django.setup()

from django.db import transaction  # noqa: E402 - needs Django set up

from accounts.actor import Actor  # noqa: E402
from accounts.models import Workspace  # noqa: E402
from operations.commands import Kind  # noqa: E402
from operations.services.submit import submit_operation  # noqa: E402


def main(count: int) -> None:
    workspace = Workspace.objects.get(name="production")
    with transaction.atomic():
        for _ in range(count):
            submit_operation(
                actor=Actor(name="bench"),
                kind=Kind.SERVER_CREATE,
                workspace=workspace,
                params={"hostname": f"h-{uuid.uuid4()}", "provider": "p", "plan": "q"},
            )


main(int(sys.argv[1]))
