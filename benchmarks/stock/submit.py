"""Enqueues one task for every line on standard input: the path of the script to start."""

from __future__ import annotations

import sys

import django

django.setup()

from django_q.tasks import async_task  # noqa: E402 - needs Django set up

for line in sys.stdin:
    async_task("subprocess.call", [line.strip()])
    print("queued", flush=True)
