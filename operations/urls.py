"""Routes of operations under `/v1`; a create has its verb in the path, as the original has it."""

from __future__ import annotations

from typing import ClassVar

from django.urls import path
from rest_framework.routers import DynamicRoute, Route, SimpleRouter

from operations.views.inventory import ClusterViewSet, ServerViewSet, TaskservViewSet
from operations.views.locks import WorkspaceLockViewSet
from operations.views.operations import OperationViewSet
from operations.views.system import DrainViewSet
from operations.views.workflows import WorkflowViewSet


class VerbRouter(SimpleRouter):
    """`POST /servers/create` instead of `POST /servers`."""

    routes: ClassVar[list[Route | DynamicRoute]] = [  # type: ignore[misc]
        Route(r"^{prefix}$", {"get": "list"}, "{basename}-list", False, {}),
        Route(r"^{prefix}/create$", {"post": "create"}, "{basename}-create", False, {}),
        DynamicRoute(r"^{prefix}/{url_path}$", "{basename}-{url_name}", False, {}),
        Route(
            r"^{prefix}/{lookup}$",
            {"get": "retrieve", "delete": "destroy"},
            "{basename}-detail",
            True,
            {},
        ),
        DynamicRoute(r"^{prefix}/{lookup}/{url_path}$", "{basename}-{url_name}", True, {}),
    ]


router = VerbRouter(trailing_slash=False)
router.register("operations", OperationViewSet, basename="operation")
router.register("servers", ServerViewSet, basename="server")
router.register("taskservs", TaskservViewSet, basename="taskserv")
router.register("clusters", ClusterViewSet, basename="cluster")
router.register("workflows", WorkflowViewSet, basename="workflow")

lock = WorkspaceLockViewSet.as_view({"get": "retrieve", "put": "update", "delete": "destroy"})
drain = DrainViewSet.as_view({"get": "retrieve", "put": "update", "delete": "destroy"})

urlpatterns = [
    *router.urls,
    path("workspaces/<int:pk>/lock", lock, name="workspace-lock"),
    path("system/drain", drain, name="system-drain"),
]
