"""Liveness and readiness. Neither needs a token; neither tells a secret."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any, ClassVar

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.permissions import PUBLIC
from operations import cli
from operations.models import Runner
from operations.services import drain
from operations.services.workers import worker_states
from provisioning import __version__

MIN_FREE_BYTES = 100 * 1024 * 1024


class HealthOut(serializers.Serializer[Any]):
    status = serializers.CharField()
    version = serializers.CharField()


class WorkerOut(serializers.Serializer[Any]):
    started_at = serializers.DateTimeField()
    heartbeat_seconds = serializers.FloatField(help_text="Age of its last sign of life.")
    operations_running = serializers.IntegerField()


class ReadyOut(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=["ready", "unavailable"])
    checks = serializers.DictField(
        child=serializers.CharField(), help_text="`ok`, or a sentence that says what is wrong."
    )
    is_drained = serializers.BooleanField(
        help_text="New operations are refused and queued ones wait; everything else is answered."
    )
    workers = WorkerOut(many=True)


class PublicView(APIView):
    """Whatever the Authorization header says is not looked at."""

    http_method_names: ClassVar[list[str]] = ["get", "head"]  # type: ignore[misc]
    authentication_classes = ()
    required_permissions: ClassVar[dict[str, str]] = {"get": PUBLIC}


class LiveView(PublicView):
    """Healthy while this process answers; it looks at nothing else."""

    @extend_schema(summary="Liveness", responses=HealthOut, auth=[])
    def get(self, request: Request) -> Response:
        return Response({"status": "healthy", "version": __version__})


class ReadyView(PublicView):
    """200 when work would be done (or is held back by a drain), 503 with the reasons when not."""

    @extend_schema(summary="Readiness", responses={200: ReadyOut, 503: ReadyOut}, auth=[])
    def get(self, request: Request) -> Response:
        checks = {name: check() or "ok" for name, check in CHECKS.items()}
        is_ready = set(checks.values()) == {"ok"}
        return Response(
            {
                "status": "ready" if is_ready else "unavailable",
                "checks": checks,
                **details(),
            },
            status=200 if is_ready else 503,
        )


def details() -> dict[str, Any]:
    """What is no reason to turn traffic away. A drained server still answers people and installers.
    Nobody has logged in here: hosts, pids and the drain's reason stay out of it."""
    try:
        return {
            "is_drained": drain.find() is not None,
            "workers": [
                {
                    "started_at": state.worker.started_at,
                    "heartbeat_seconds": round(state.heartbeat_seconds, 1),
                    "operations_running": state.running,
                }
                for state in worker_states()
            ],
        }
    except DatabaseError:
        return {"is_drained": False, "workers": []}


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
