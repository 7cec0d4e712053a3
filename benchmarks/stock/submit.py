"""For every line on standard input, how many and the path of a script, so many tasks with one commit."""

from __future__ import annotations

import sys

import django

django.setup()

from django.db import transaction  # noqa: E402 - needs Django set up
from django_q.tasks import async_task  # noqa: E402

for line in sys.stdin:
    count, script = line.split()
    with transaction.atomic():
        for _ in range(int(count)):
            async_task("subprocess.call", [script])
    print("queued", flush=True)
