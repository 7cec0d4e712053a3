"""`/v1/auto-install/prepared` and `/v1/auto-install/answer-files`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import quote

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from autoinstall.documents import ConfigDocument
from autoinstall.models import PreparedConfig
from autoinstall.services import configs, files
from autoinstall.services.configs import Saved
from autoinstall.shapes import (
    AnswerFileImport,
    ConfigChange,
    ConfigCreate,
    ConfigPatch,
    ConfigSaved,
    token_saved,
)
from autoinstall.views.manners import (
    if_config_matches,
    read_delete,
    read_shape,
    take_secrets,
    with_config_etag,
)
from provisioning.api import ApiViewSet
from provisioning.errors import Invalid

EXAMPLE = OpenApiExample(
    "A mirrored pair of disks, an address by number",
    value={
        "id": "rack-7",
        "authorized-tokens": ["rack-7"],
        "target-filter": {"/dmi/system/name": "PowerEdge R6*"},
        "country": "at",
        "fqdn": "pve{{ installation_nr }}.example.com",
        "keyboard": "de",
        "mailto": "ops@example.com",
        "timezone": "Europe/Vienna",
        "root-password": "a-long-password",
        "use-dhcp-network": False,
        "cidr": "10.7.0.{{ installation_nr + 10 }}/24",
        "gateway": "10.7.0.1",
        "dns": "10.7.0.1",
        "netdev-filter": {"ID_NET_NAME": "eno1*"},
        "filesystem": {"filesystem": "zfs", "raid": "RAID1"},
        "disk-mode": "fixed",
        "disk-list": ["sda", "sdb"],
        "post-hook-base-url": "https://provisioning.example.com",
        "template-counters": {"installation_nr": 1},
    },
    request_only=True,
)


def saved_out(saved: Saved) -> dict[str, Any]:
    return ConfigSaved(
        config=configs.wire_of(saved.config),
        token=token_saved(saved.token, saved.secret) if saved.token else None,
        warnings=saved.warnings,
    ).wire()


class PreparedConfigViewSet(ApiViewSet):
    """Prepared configs: which machine gets which answer."""

    queryset = PreparedConfig.objects.all()
    lookup_field = "name"
    lookup_value_regex = ".+"
    required_permissions: ClassVar[dict[str, str]] = {
        "list": "prepared_config_read",
        "retrieve": "prepared_config_read",
        "create": "prepared_config_manage",
        "update": "prepared_config_manage",
        "partial_update": "prepared_config_manage",
        "destroy": "prepared_config_manage",
    }
    filters: ClassVar[dict[str, str]] = {"id": "name", "token": "authorized_tokens__name"}

    @extend_schema(
        summary="List prepared configs",
        responses=ConfigDocument,
        parameters=[OpenApiParameter("id"), OpenApiParameter("token")],
    )
    def list(self, request: Request) -> Response:
        return self.answer_page(configs.wires_of)

    @extend_schema(summary="One prepared config", responses=ConfigDocument)
    def retrieve(self, request: Request, name: str) -> Response:
        config = configs.find_config(name)
        return with_config_etag(Response(configs.wire_of(config)), config)

    @extend_schema(
        summary="Create a prepared config, and a token for it when it names none",
        request=ConfigCreate,
        responses={201: ConfigSaved},
        examples=[EXAMPLE],
    )
    def create(self, request: Request) -> Response:
        body, secrets = take_secrets(request.data)
        saved = configs.create_config(
            document=configs.read_document(body), secrets=secrets, actor=self.actor
        )
        return created(request, saved)

    @extend_schema(summary="Change a prepared config", request=ConfigChange, responses=ConfigSaved)
    def update(self, request: Request, name: str) -> Response:
        body, secrets = take_secrets(request.data)
        if body.pop("id", name) != name:
            raise Invalid("cannot be changed: create another config", field="id")
        delete = read_delete(body)
        sets_counters = "template-counters" in body or "template-counters" in delete
        saved = configs.change_config(
            name=name,
            delete=delete,
            values=body,
            secrets=secrets,
            actor=self.actor,
            precondition=if_config_matches(request, sets_counters=sets_counters),
        )
        return with_config_etag(Response(saved_out(saved)), saved.config)

    @extend_schema(summary="Change a prepared config", request=ConfigPatch, responses=ConfigSaved)
    def partial_update(self, request: Request, name: str) -> Response:
        return self.update(request, name)

    @extend_schema(summary="Delete a prepared config", responses={204: None})
    def destroy(self, request: Request, name: str) -> Response:
        configs.delete_config(
            name=name,
            actor=self.actor,
            precondition=if_config_matches(request, sets_counters=False),
        )
        return Response(status=status.HTTP_204_NO_CONTENT)


def created(request: Request, saved: Saved) -> Response:
    response = Response(saved_out(saved), status=status.HTTP_201_CREATED)
    response["Location"] = f"/v1/auto-install/prepared/{quote(saved.config.name)}"
    return with_config_etag(response, saved.config)


class AnswerFileViewSet(ApiViewSet):
    """Prepared configs as the `answer.toml` that the installer and its tools read."""

    queryset = PreparedConfig.objects.all()
    lookup_field = "name"
    lookup_value_regex = ".+"
    required_permissions: ClassVar[dict[str, str]] = {
        "retrieve": "prepared_config_read",
        "create": "prepared_config_manage",
    }

    @extend_schema(
        summary="Export a prepared config as answer.toml, without its password",
        responses={(200, "application/toml"): OpenApiTypes.STR},
    )
    def retrieve(self, request: Request, name: str) -> HttpResponse:
        return HttpResponse(
            files.export_config(name=name, actor=self.actor),
            content_type="application/toml",
        )

    @extend_schema(
        summary="Import an answer.toml as a prepared config",
        request=AnswerFileImport,
        responses={201: ConfigSaved},
    )
    def create(self, request: Request) -> Response:
        wanted = read_shape(AnswerFileImport, request.data)
        more: Mapping[str, Any] = wanted.config
        saved = files.import_config(text=wanted.answer_file, more=more, actor=self.actor)
        return created(request, saved)
