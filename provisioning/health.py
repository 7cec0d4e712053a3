"""Liveness and readiness. Neither needs a token; neither tells a secret."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from operations import cli
from operations.models import Runner
from provisioning import __version__

MIN_FREE_BYTES = 100 * 1024 * 1024


@require_safe
def live(request: HttpRequest) -> JsonResponse:
    """`{"status": "healthy"}` while this process answers; it looks at nothing else."""
    return JsonResponse({"status": "healthy", "version": __version__})


@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """200 when work would be done, 503 with the reasons when not."""
    checks = {name: check() for name, check in CHECKS.items()}
    problems = {name: problem for name, problem in checks.items() if problem}
    body = {
        "status": "unavailable" if problems else "ready",
        "checks": {name: problem or "ok" for name, problem in checks.items()},
    }
    return JsonResponse(body, status=503 if problems else 200)


def database_problem() -> str | None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return "The database does not answer."
    return None


def worker_problem() -> str | None:
    """No worker has given a sign of life within the lease."""
    try:
        alive = Runner.objects.filter(
            role=Runner.Role.WORKER, heartbeat_at__gt=timezone.now() - Runner.LEASE
        ).exists()
    except DatabaseError:
        return "The database does not answer."
    return None if alive else "No worker is alive: start one with `manage.py worker`."


def disk_problem() -> str | None:
    free = shutil.disk_usage(settings.STATE_DIR).free
    if free >= MIN_FREE_BYTES:
        return None
    return f"Only {free // (1024 * 1024)} MiB are free in the state directory."


CHECKS: dict[str, Callable[[], str | None]] = {
    "database": database_problem,
    "worker": worker_problem,
    "cli": cli.problem,
    "disk": disk_problem,
}
