"""Servers, taskservs and clusters in the console."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from accounts.actor import Actor
from operations.admin.items import ItemAdmin
from operations.models import Cluster, Operation, Server, Taskserv
from operations.serializers import CreateCluster, CreateServer, CreateTaskserv


@admin.register(Server)
class ServerAdmin(ItemAdmin):
    position = 1
    noun, body = "server", CreateServer
    permissions = {"view": "server_read", "add": "server_create"}
    extra_permissions = {
        "operations_server_refresh": "server_read",
        "operations_server_remove": "server_delete",
    }
    intro = "Machines, as operations have made them and the CLI lists them."
    empty = "Create a server, or let the CLI's own list bring those that are there already."
    list_display = ("what", "state", "workspace", "provider", "plan", "ip_address", "seen", "last")
    list_filter = (*ItemAdmin.list_filter, "provider")
    search_fields = ("hostname", "ip_address", "=uid")
    search_help_text = "Part of a host name or address, or a whole id."
    shown_fields = ("provider", "plan", "zone", "ip_address", "tags")

    def operations_of(self, item: Any) -> list[QuerySet[Operation]]:
        """Those on taskservs that are installed on it, too: they have the server to themselves."""
        on_it = Operation.objects.filter(
            workspace=item.workspace_id, lock=f"server {item.hostname}"
        )
        return [*super().operations_of(item), on_it]

    def more(self, item: Any, actor: Actor) -> dict[str, Any]:
        """What is installed on it, and the way to install more."""
        shown: dict[str, Any] = {}
        if actor.grants.allows("taskserv_read", item.workspace_id):
            rows = Taskserv.objects.filter(workspace=item.workspace_id, server=item.hostname)
            shown["taskservs"] = list(rows.order_by("name")[:50])
        if actor.grants.allows("taskserv_create", item.workspace_id):
            query = urlencode({"workspace": item.workspace.name, "server": item.hostname})
            shown["install_url"] = f"{reverse('admin:operations_taskserv_add')}?{query}"
        return shown


@admin.register(Taskserv)
class TaskservAdmin(ItemAdmin):
    position = 2
    noun, body = "taskserv", CreateTaskserv
    permissions = {"view": "taskserv_read", "add": "taskserv_create"}
    extra_permissions = {
        "operations_taskserv_refresh": "taskserv_read",
        "operations_taskserv_remove": "taskserv_delete",
    }
    intro = "Services that are installed on servers or workspaces."
    empty = "Install a taskserv on a server, for example a container runtime."
    list_display = ("what", "state", "workspace", "on", "version", "seen", "last")
    search_fields = ("name", "server", "=uid")
    search_help_text = "Part of a name or host name, or a whole id."
    shown_fields = ("version", "server")

    @admin.display(description="name", ordering="name")
    def what(self, item: Any) -> SafeString:
        url = self.page_of(item)
        return format_html('<span class="what"><a href="{}">{}</a></span>', url, item.name)

    @admin.display(description="server", ordering="server")
    def on(self, item: Taskserv) -> str:
        return item.server or "-"


@admin.register(Cluster)
class ClusterAdmin(ItemAdmin):
    position = 3
    noun, body = "cluster", CreateCluster
    permissions = {"view": "cluster_read", "add": "cluster_create"}
    extra_permissions = {
        "operations_cluster_refresh": "cluster_read",
        "operations_cluster_remove": "cluster_delete",
    }
    intro = "Clusters, as operations have made them and the CLI lists them."
    empty = "Create a cluster once there are servers for it."
    list_display = ("what", "state", "workspace", "version", "seen", "last")
    search_fields = ("name", "=uid")
    search_help_text = "Part of a name, or a whole id."
    shown_fields = ("version",)
