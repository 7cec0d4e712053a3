"""`/v1/system/drain`: finish what runs, take nothing new."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from operations.services import drain, lifecycle
from provisioning.api import ApiViewSet
from provisioning.serializers import StrictCharField, StrictSerializer


class DrainSystem(StrictSerializer):
    reason = StrictCharField(
        max_length=drain.MAX_REASON,
        required=False,
        allow_blank=True,
        default="",
        help_text="One line; everybody whose request is refused reads it.",
    )


class DrainOut(serializers.Serializer[Any]):
    is_drained = serializers.BooleanField()
    reason = serializers.CharField(allow_null=True)
    drained_by = serializers.CharField(allow_null=True)
    drained_at = serializers.DateTimeField(allow_null=True)
    running = serializers.IntegerField(help_text="Operations that still run, on all hosts.")
    queued = serializers.IntegerField(help_text="Operations that wait to be started.")


def state() -> dict[str, Any]:
    found = drain.find()
    return {
        "is_drained": found is not None,
        "reason": found.reason if found else None,
        "drained_by": found.changed_by_name if found else None,
        "drained_at": found.changed_at if found else None,
        "running": lifecycle.running().count(),
        "queued": lifecycle.claimable().count(),
    }


class DrainViewSet(ApiViewSet):
    """One state for all hosts of the database; it survives restarts."""

    required_permissions: ClassVar[dict[str, str]] = {
        "retrieve": "system_admin",
        "update": "system_admin",
        "destroy": "system_admin",
    }
    serializer_class = DrainOut
    pagination_class = None

    @extend_schema(
        summary="Whether the system is drained",
        description="When it is drained and `running` is 0, the server can be taken down.",
    )
    def retrieve(self, request: Request) -> Response:
        return Response(DrainOut(state()).data)

    @extend_schema(
        summary="Drain the system",
        description="What runs finishes, what is queued waits, what is new is refused with 503 and "
        "`Retry-After`, until resumed. Doing it again changes the reason.",
        request=DrainSystem,
        responses=DrainOut,
        examples=[
            OpenApiExample("An upgrade", value={"reason": "Upgrade at 18:00"}, request_only=True)
        ],
    )
    def update(self, request: Request) -> Response:
        drain.drain_system(actor=self.actor, reason=self.read_body(DrainSystem)["reason"])
        return Response(DrainOut(state()).data)

    @extend_schema(
        summary="Resume the system",
        description="Take and start operations again. 204 as well when it was not drained.",
        responses={204: None},
    )
    def destroy(self, request: Request) -> Response:
        drain.resume_system(actor=self.actor)
        return Response(status=status.HTTP_204_NO_CONTENT)
