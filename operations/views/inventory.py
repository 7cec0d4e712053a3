"""`/v1/servers`, `/v1/taskservs`, `/v1/clusters`: alike but for their words."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    extend_schema,
    extend_schema_view,
)
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from operations import sync
from operations.commands import Kind
from operations.models import Cluster, Server, Taskserv
from operations.serializers import (
    ClusterOut,
    CreateCluster,
    CreateServer,
    CreateTaskserv,
    OperationOut,
    ServerOut,
    TaskservOut,
)
from operations.services.submit import submit_operation
from operations.views.base import IDEMPOTENCY_KEY, PREFER, Launch, WorkspaceScopedViewSet, launching
from provisioning.serializers import StrictSerializer


class InventoryViewSet(WorkspaceScopedViewSet):
    """Read from our tables; create and delete launch operations."""

    lookup_field = "uid"
    lookup_url_kwarg = "id"
    lookup_value_regex = "[a-z]{3}-[a-z0-9]{6,40}"
    create_kind: ClassVar[Kind]
    delete_kind: ClassVar[Kind]
    create_body: ClassVar[type[StrictSerializer]]
    key_fields: ClassVar[tuple[str, ...]]

    @launching
    def create(self, request: Request) -> Launch:
        body = self.read_body(self.create_body)
        workspace = self.workspace_for(request, body.pop("workspace"))
        check_mode = body.pop("check_mode")
        return lambda: submit_operation(
            actor=self.actor,
            kind=self.create_kind,
            workspace=workspace,
            params=body,
            check_mode=check_mode,
        )

    @launching
    def destroy(self, request: Request, id: str) -> Launch:
        item = self.get_object()
        params = {name: value for name in self.key_fields if (value := getattr(item, name))}
        return lambda: submit_operation(
            actor=self.actor, kind=self.delete_kind, workspace=item.workspace, params=params
        )

    @action(detail=True, methods=["get"])
    def status(self, request: Request, id: str) -> Response:
        item, observed_at, source = sync.observe(self.get_object())
        body: dict[str, Any] = dict(self.get_serializer(item).data)
        return Response(body | {"observed_at": observed_at, "source": source})


def permissions_of(noun: str) -> dict[str, str]:
    return {
        "list": f"{noun}_read",
        "retrieve": f"{noun}_read",
        "status": f"{noun}_read",
        "create": f"{noun}_create",
        "destroy": f"{noun}_delete",
    }


def documented(
    noun: str, body: type[StrictSerializer], example: dict[str, Any], filters: Any
) -> Any:
    """The OpenAPI texts of one noun."""
    return extend_schema_view(
        list=extend_schema(
            summary=f"List {noun}s", parameters=[OpenApiParameter(name) for name in filters]
        ),
        retrieve=extend_schema(summary=f"One {noun}"),
        create=extend_schema(
            summary=f"Create a {noun}",
            description="Answers 202 with the operation that does it.",
            parameters=[IDEMPOTENCY_KEY, PREFER],
            request=body,
            responses={202: OperationOut, 200: OperationOut},
            examples=[OpenApiExample(f"A {noun}", value=example, request_only=True)],
        ),
        destroy=extend_schema(
            summary=f"Delete a {noun}",
            description="Answers 202 with the operation that does it.",
            parameters=[IDEMPOTENCY_KEY, PREFER],
            responses={202: OperationOut, 200: OperationOut},
        ),
        status=extend_schema(
            summary=f"A {noun} as it is now",
            description="Asks the CLI, for a short time; `source` says whether it answered.",
        ),
    )


COMMON = {"workspace": "workspace__name", "status": "status"}
SERVER_FILTERS = COMMON | {"hostname": "hostname", "provider": "provider"}
TASKSERV_FILTERS = COMMON | {"name": "name", "server": "server"}
CLUSTER_FILTERS = COMMON | {"name": "name"}


@documented(
    "server",
    CreateServer,
    {"workspace": "production", "provider": "local", "plan": "2xCPU-4GB", "hostname": "web-01"},
    SERVER_FILTERS,
)
class ServerViewSet(InventoryViewSet):
    required_permissions: ClassVar[dict[str, str]] = permissions_of("server")
    read_permission = "server_read"
    filters: ClassVar[dict[str, str]] = SERVER_FILTERS
    serializer_class = ServerOut
    queryset = Server.objects.select_related("workspace")
    create_kind, delete_kind = Kind.SERVER_CREATE, Kind.SERVER_DELETE
    create_body = CreateServer
    key_fields = ("hostname",)


@documented(
    "taskserv",
    CreateTaskserv,
    {"workspace": "production", "name": "containerd", "server": "web-01"},
    TASKSERV_FILTERS,
)
class TaskservViewSet(InventoryViewSet):
    required_permissions: ClassVar[dict[str, str]] = permissions_of("taskserv")
    read_permission = "taskserv_read"
    filters: ClassVar[dict[str, str]] = TASKSERV_FILTERS
    serializer_class = TaskservOut
    queryset = Taskserv.objects.select_related("workspace")
    create_kind, delete_kind = Kind.TASKSERV_CREATE, Kind.TASKSERV_DELETE
    create_body = CreateTaskserv
    key_fields = ("name", "server")


@documented(
    "cluster", CreateCluster, {"workspace": "production", "name": "kubernetes"}, CLUSTER_FILTERS
)
class ClusterViewSet(InventoryViewSet):
    required_permissions: ClassVar[dict[str, str]] = permissions_of("cluster")
    read_permission = "cluster_read"
    filters: ClassVar[dict[str, str]] = CLUSTER_FILTERS
    serializer_class = ClusterOut
    queryset = Cluster.objects.select_related("workspace")
    create_kind, delete_kind = Kind.CLUSTER_CREATE, Kind.CLUSTER_DELETE
    create_body = CreateCluster
    key_fields = ("name",)
