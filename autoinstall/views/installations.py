"""`/v1/auto-install/installations`, `/attempts` and `/preview`."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

import orjson
from django.db.models import Q
from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.filters import read_filters
from autoinstall.documents import ConfigDocument
from autoinstall.models import Attempt
from autoinstall.services import checks, configs, installing, preview
from autoinstall.services.preview import Question
from autoinstall.shapes import (
    HEAVY,
    AttemptDetail,
    AttemptOut,
    InstallationDetail,
    InstallationOut,
    PreviewOut,
    PreviewRequest,
    attempt_detail,
    attempt_out,
    installation_detail,
    installation_out,
)
from autoinstall.sysinfo import SystemInfo, is_too_deep
from autoinstall.views.manners import if_match, read_shape
from provisioning.api import ApiViewSet
from provisioning.errors import Forbidden, Invalid

FILTERS = {
    "outcome": "outcome",
    "status": "status",
    "answer-id": "config_name",
    "token": "token_name",
    "source": "source",
    "serial": "serial",
    "identity": "identity",
    "product": "product",
    "credential": "credential",
    "request-id": "request_id",
    "since": "received_at__gte",
    "until": "received_at__lt",
}
PARAMETERS = [OpenApiParameter(name, str) for name in FILTERS]


class AttemptViewSet(ApiViewSet):
    """Every request for an answer, whatever became of it."""

    queryset = Attempt.objects.all()
    lookup_value_regex = "[0-9a-f-]{36}"
    newest_first = True
    required_permissions: ClassVar[dict[str, str]] = {
        "list": "installation_read",
        "retrieve": "installation_read",
    }
    filters: ClassVar[dict[str, str]] = FILTERS

    def filter_queryset(self, queryset: Any) -> Any:
        """`timed-out` is read from the deadline, and such a row is not `in-progress` any more."""
        if self.action != "list":
            return queryset
        queryset = queryset.defer(*HEAVY)
        wanted = self.request.query_params.get("status")
        overdue = Q(status=Attempt.Status.IN_PROGRESS, deadline_at__lte=timezone.now())
        if wanted == Attempt.TIMED_OUT:
            given = read_filters(self.request, FILTERS)
            del given["status"]
            return queryset.filter(overdue, **given)
        rows = super().filter_queryset(queryset)
        return rows.exclude(overdue) if wanted == Attempt.Status.IN_PROGRESS else rows

    def find(self, pk: str) -> Attempt:
        row: Attempt | None = self.get_queryset().filter(pk=uuid_of(pk)).first()
        if row is None:
            raise Http404
        return row

    @extend_schema(summary="List attempts", responses=AttemptOut, parameters=PARAMETERS)
    def list(self, request: Request) -> Response:
        return self.answer_page(lambda rows: [attempt_out(row).wire() for row in rows])

    @extend_schema(summary="One attempt", responses=AttemptDetail)
    def retrieve(self, request: Request, pk: str) -> Response:
        return Response(attempt_detail(self.find(pk)).wire())


class InstallationViewSet(AttemptViewSet):
    """The attempts that became an installation, or would have had there been an answer."""

    queryset = Attempt.installations.all()
    required_permissions: ClassVar[dict[str, str]] = {
        "list": "installation_read",
        "retrieve": "installation_read",
        "destroy": "installation_manage",
    }

    @extend_schema(summary="List installations", responses=InstallationOut, parameters=PARAMETERS)
    def list(self, request: Request) -> Response:
        return self.answer_page(lambda rows: [installation_out(row).wire() for row in rows])

    @extend_schema(summary="One installation", responses=InstallationDetail)
    def retrieve(self, request: Request, pk: str) -> Response:
        row = self.find(pk)
        response = Response(installation_detail(row).wire())
        response["ETag"] = state_tag(row)
        return response

    @extend_schema(summary="Delete an installation", responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        installing.delete_installation(
            attempt=self.find(pk),
            actor=self.actor,
            precondition=if_match(request, tag_of=state_tag),
        )
        return Response(status=status.HTTP_204_NO_CONTENT)


def state_tag(row: Attempt) -> str:
    """An installation changes once, when it is finished."""
    return f'"{row.status}"'


def uuid_of(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Http404 from None


class PreviewViewSet(ApiViewSet):
    """What a machine would be answered, and why. Nothing is handed out or recorded."""

    queryset = Attempt.objects.none()
    required_permissions: ClassVar[dict[str, str]] = {"create": "prepared_config_read"}

    @extend_schema(
        summary="Explain which config a machine gets, and show its answer",
        request=PreviewRequest,
        responses={200: PreviewOut},
        examples=[
            OpenApiExample(
                "A past attempt",
                value={"attempt": "0192f0c4-0000-7000-8000-000000000000", "token": "rack-7"},
                request_only=True,
            )
        ],
    )
    def create(self, request: Request) -> Response:
        asked = read_shape(PreviewRequest, request.data)
        if asked.config is not None and not self.person.has_perm("prepared_config_manage"):
            raise Forbidden("A config that is not saved needs prepared_config_manage.")
        if asked.attempt is not None and not self.person.has_perm("installation_read"):
            raise Forbidden("An attempt needs installation_read.")
        question = Question(info=info_of(asked), token=asked.token, draft=draft_of(asked))
        return Response(preview.preview(question))


def info_of(asked: PreviewRequest) -> SystemInfo:
    if (asked.system_info is None) == (asked.attempt is None):
        raise Invalid("give system-info or attempt, one of them", field="system-info")
    if asked.system_info is not None:
        if is_too_deep(asked.system_info):
            raise Invalid("is nested too deeply", field="system-info")
        return preview.info_of_json(orjson.dumps(asked.system_info))
    assert asked.attempt is not None
    return preview.info_of_attempt(asked.attempt)


def draft_of(asked: PreviewRequest) -> ConfigDocument | None:
    """The config as it would be saved; passwords in it do not matter here."""
    if asked.config is None:
        return None
    body = {key: value for key, value in asked.config.items() if not key.startswith("root-pass")}
    document = configs.read_document(body)
    checks.check(document)
    return document
