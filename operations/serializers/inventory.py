"""Servers, taskservs and clusters: what they are made of, and how they are shown."""

from __future__ import annotations

from rest_framework import serializers

from operations.models import Cluster, InventoryItem, Server, Taskserv
from operations.serializers.fields import ArgumentField, HostNameField, NameField, SettingsField
from provisioning.serializers import StrictBooleanField, StrictCharField, StrictSerializer

# --- Requests: the parameters alone (steps of workflows use them), then with a workspace ---------


class ServerCreateParams(StrictSerializer):
    provider = ArgumentField(help_text="Who provides the machine, e.g. `local`")
    plan = ArgumentField(help_text="Size, in the provider's words, e.g. `2xCPU-4GB`")
    hostname = HostNameField(required=False, help_text="Left out: the CLI picks one")
    zone = ArgumentField(required=False)
    tags = serializers.ListField(child=NameField(), required=False, max_length=50)


class ServerDeleteParams(StrictSerializer):
    hostname = HostNameField()


class TaskservCreateParams(StrictSerializer):
    name = NameField(help_text="Which taskserv, e.g. `containerd`")
    server = HostNameField(required=False, help_text="Host name of the server to install it on")
    version = ArgumentField(required=False)
    settings = SettingsField(required=False, help_text="Given to the CLI in a private file")


class TaskservDeleteParams(StrictSerializer):
    name = NameField()
    server = HostNameField(required=False)


class ClusterCreateParams(StrictSerializer):
    name = NameField()
    version = ArgumentField(required=False)
    settings = SettingsField(required=False, help_text="Given to the CLI in a private file")


class ClusterDeleteParams(StrictSerializer):
    name = NameField()


class InWorkspace(StrictSerializer):
    workspace = StrictCharField(max_length=63, help_text="Name of a workspace")
    check_mode = StrictBooleanField(required=False, default=False, help_text="Change nothing")


class CreateServer(InWorkspace, ServerCreateParams):
    pass


class CreateTaskserv(InWorkspace, TaskservCreateParams):
    pass


class CreateCluster(InWorkspace, ClusterCreateParams):
    pass


PARAMS: dict[str, type[StrictSerializer]] = {
    "server_create": ServerCreateParams,
    "server_delete": ServerDeleteParams,
    "taskserv_create": TaskservCreateParams,
    "taskserv_delete": TaskservDeleteParams,
    "cluster_create": ClusterCreateParams,
    "cluster_delete": ClusterDeleteParams,
}


# --- Answers -----------------------------------------------------------------------------------


class ItemOut(serializers.ModelSerializer[InventoryItem]):
    id = serializers.CharField(source="uid")
    workspace = serializers.CharField(source="workspace.name")
    last_operation = serializers.CharField(
        source="last_operation_id", allow_null=True, help_text="Id of an operation"
    )


class ServerOut(ItemOut):
    class Meta:
        model = Server
        fields = (
            "id",
            "hostname",
            "provider",
            "plan",
            "zone",
            "ip_address",
            "status",
            "created_at",
            "workspace",
            "tags",
            "last_operation",
        )
        read_only_fields = fields


class TaskservOut(ItemOut):
    class Meta:
        model = Taskserv
        fields = (
            "id",
            "name",
            "version",
            "server",
            "workspace",
            "status",
            "created_at",
            "last_operation",
        )
        read_only_fields = fields


class ClusterOut(ItemOut):
    class Meta:
        model = Cluster
        fields = ("id", "name", "version", "workspace", "status", "created_at", "last_operation")
        read_only_fields = fields


class Freshness(StrictSerializer):
    """Added to an item by its status route."""

    observed_at = serializers.DateTimeField()
    source = serializers.ChoiceField(choices=["live", "stored"])  # type: ignore[assignment]  # a field of that name
