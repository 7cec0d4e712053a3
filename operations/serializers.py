"""Request and response shapes of operations; they know no CLI words."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from operations.commands import CONTROL, STEP_KIND_CHOICES
from operations.models import Cluster, InventoryItem, Operation, Server, Taskserv, WorkspaceLock
from provisioning.serializers import (
    StrictBooleanField,
    StrictCharField,
    StrictIntegerField,
    StrictSerializer,
)

SECRET = "********"  # noqa: S105 - what is shown instead of one
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+/@-]{0,62}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def is_host_name(value: str) -> bool:
    """RFC 1123: labels of letters, digits and '-', at most 253 characters, not an IPv4 address."""
    if not 1 <= len(value) <= 253:
        return False
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return all(LABEL.fullmatch(label) for label in value.lower().split("."))
    return False


class HostNameField(StrictCharField):
    """An RFC 1123 host name, stored in lower case."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=253, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        value = super().to_internal_value(data)
        if not is_host_name(value):
            raise serializers.ValidationError(
                f"{value[:80]!r} is no host name: labels of letters, digits and '-', joined by '.'"
            )
        return value.lower()


class ArgumentField(StrictCharField):
    """Text that may become an argument: one word, no leading '-', no control characters."""

    pattern = WORD
    rule = "must begin with a letter or digit and hold only letters, digits and . _ : + / @ -"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=63, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        value = super().to_internal_value(data)
        if CONTROL.search(value) or not self.pattern.fullmatch(value):
            raise serializers.ValidationError(f"{value[:80]!r} {self.rule}")
        return value


class NameField(ArgumentField):
    pattern = NAME
    rule = "must begin with a letter or digit and hold only letters, digits and . _ -"


class SettingsField(serializers.DictField):
    """Free settings of a taskserv or cluster, as JSON; given to the CLI in a private file."""

    def to_internal_value(self, data: Any) -> Any:
        value = super().to_internal_value(data)
        if depth_of(value) > 32:
            raise serializers.ValidationError("must not be nested deeper than 32 levels")
        return value


def depth_of(value: object) -> int:
    """Levels of nesting; iterative, so that depth costs no stack."""
    deepest, stack = 0, [(value, 1)]
    while stack:
        item, level = stack.pop()
        if isinstance(item, dict | list):
            deepest = max(deepest, level)
            children = item.values() if isinstance(item, dict) else item
            stack += [(child, level + 1) for child in children]
    return deepest


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


class StrictNumberField(serializers.FloatField):
    """A JSON number, not "1.5" and not true."""

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        return float(super().to_internal_value(data))


class RetrySerializer(StrictSerializer):
    max_attempts = StrictIntegerField(min_value=1, max_value=20, default=1)
    delay_seconds = StrictNumberField(min_value=0, max_value=86400, default=0.0)
    backoff = StrictNumberField(min_value=1, max_value=10, default=1.0)


class StepSerializer(StrictSerializer):
    id = NameField()
    kind = serializers.ChoiceField(choices=STEP_KIND_CHOICES)
    params = serializers.DictField(required=False, default=dict)
    depends_on = serializers.ListField(child=StrictCharField(max_length=63), required=False)
    timeout_seconds = StrictIntegerField(min_value=1, max_value=7 * 86400, required=False)
    retry = RetrySerializer(required=False)
    on_failure = serializers.ChoiceField(
        choices=["fail", "continue", "rollback"], required=False, default="fail"
    )

    def to_internal_value(self, data: Any) -> Any:
        """`dependencies` is accepted for `depends_on`; `params` are checked by the step's kind."""
        step = super().to_internal_value(renamed(data, "dependencies", "depends_on"))
        params = PARAMS[step["kind"]](data=step["params"])
        if not params.is_valid():
            raise serializers.ValidationError({"params": params.errors})
        step["params"] = dict(params.validated_data)
        return step


class SubmitWorkflow(StrictSerializer):
    workspace = StrictCharField(max_length=63)
    name = NameField()
    check_mode = StrictBooleanField(required=False, default=False)
    parallel_limit = StrictIntegerField(min_value=1, max_value=1000, required=False)
    steps = StepSerializer(many=True, max_length=500)  # type: ignore[call-arg]  # a ListSerializer's

    def to_internal_value(self, data: Any) -> Any:
        """`operations` is accepted for `steps`."""
        return super().to_internal_value(renamed(data, "operations", "steps"))


def renamed(data: Any, alias: str, name: str) -> Any:
    if isinstance(data, dict) and alias in data:
        if name in data:
            raise serializers.ValidationError({alias: [f"says the same as {name}: give one"]})
        return {name if key == alias else key: value for key, value in data.items()}
    return data


# --- Answers -----------------------------------------------------------------------------------


class OperationOut(serializers.ModelSerializer[Operation]):
    """The first six keys are fixed by the contract.

    The fields describe the shape for OpenAPI. Written it is by hand, as every client polls it: DRF's way
    was measured at three quarters of a list's cost.
    """

    workspace = serializers.CharField(source="workspace_name")
    requested_by = serializers.CharField(source="requested_by_name")
    workflow = serializers.CharField(source="workflow_id", allow_null=True)
    rerun_of = serializers.CharField(source="rerun_of_id", allow_null=True)
    parameters = serializers.SerializerMethodField()
    links = serializers.SerializerMethodField()

    class Meta:
        model = Operation
        fields = (
            "id",
            "status",
            "created_at",
            "updated_at",
            "result",
            "error",
            "kind",
            "workspace",
            "check_mode",
            "requested_by",
            "reason",
            "exit_code",
            "started_at",
            "finished_at",
            "timeout_seconds",
            "cancel_requested_at",
            "request_id",
            "workflow",
            "rerun_of",
            "lock",
            "parameters",
            "links",
        )
        read_only_fields = fields

    def get_parameters(self, operation: Operation) -> dict[str, Any]:
        return shown_params(operation.params)

    def get_links(self, operation: Operation) -> dict[str, str]:
        return links_of(operation)

    def to_representation(self, instance: Operation) -> dict[str, Any]:
        return shown(instance)


def shown(operation: Operation) -> dict[str, Any]:
    """An operation on the wire; the renderer knows instants and UUIDs."""
    return {
        "id": operation.pk,
        "status": operation.status,
        "created_at": operation.created_at,
        "updated_at": operation.updated_at,
        "result": operation.result,
        "error": operation.error,
        "kind": operation.kind,
        "workspace": operation.workspace_name,
        "check_mode": operation.check_mode,
        "requested_by": operation.requested_by_name,
        "reason": operation.reason,
        "exit_code": operation.exit_code,
        "started_at": operation.started_at,
        "finished_at": operation.finished_at,
        "timeout_seconds": operation.timeout_seconds,
        "cancel_requested_at": operation.cancel_requested_at,
        "request_id": operation.request_id,
        "workflow": operation.workflow_id,
        "rerun_of": operation.rerun_of_id,
        "lock": operation.lock,
        "parameters": shown_params(operation.params),
        "links": links_of(operation),
    }


def shown_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """The recorded parameters, with the values of settings masked: they may be secrets."""
    shown = dict(params)
    if isinstance(shown.get("settings"), dict):
        shown["settings"] = dict.fromkeys(shown["settings"], SECRET)
    if isinstance(shown.get("steps"), list):
        shown["steps"] = [
            {**step, "params": shown_params(step.get("params", {}))} for step in shown["steps"]
        ]
    return shown


def links_of(operation: Operation) -> dict[str, str]:
    me = f"/v1/operations/{operation.pk}"
    links = {name: f"{me}/{name}" for name in ("log", "cancel", "rerun")} | {"self": me}
    if operation.kind == "workflow":
        links["workflow"] = f"/v1/workflows/{operation.pk}"
    return links


class StepOut(serializers.ModelSerializer[Operation]):
    """One attempt of a step, as an operation in short."""

    step = serializers.CharField(source="step_id")
    operation = serializers.CharField(source="pk")

    class Meta:
        model = Operation
        fields = (
            "step",
            "operation",
            "kind",
            "status",
            "reason",
            "error",
            "attempt",
            "is_rollback",
            "started_at",
            "finished_at",
        )
        read_only_fields = fields


class WorkflowOut(OperationOut):
    name = serializers.CharField(source="params.name")
    steps = StepOut(many=True, source="step_runs")

    def to_representation(self, instance: Operation) -> dict[str, Any]:
        steps = StepOut(instance.step_runs, many=True).data  # type: ignore[attr-defined]
        return shown(instance) | {"name": instance.params.get("name"), "steps": steps}

    class Meta:
        model = Operation
        fields = (*OperationOut.Meta.fields, "name", "steps")
        read_only_fields = fields


class ProgressOut(StrictSerializer):
    total = serializers.IntegerField()
    pending = serializers.IntegerField()
    running = serializers.IntegerField()
    completed = serializers.IntegerField()
    failed = serializers.IntegerField()
    cancelled = serializers.IntegerField()
    percent = serializers.IntegerField()


class WorkflowStatusOut(OperationOut):
    progress = ProgressOut()

    def to_representation(self, instance: Operation) -> dict[str, Any]:
        return shown(instance) | {"progress": instance.progress}  # type: ignore[attr-defined]

    class Meta:
        model = Operation
        fields = (*OperationOut.Meta.fields, "progress")
        read_only_fields = fields


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


class LockWorkspace(StrictSerializer):
    reason = StrictCharField(max_length=255, help_text="Shown to whoever is refused")


class WorkspaceLockOut(serializers.ModelSerializer[WorkspaceLock]):
    workspace = serializers.CharField(source="workspace.name")
    holder = serializers.CharField(source="holder_name")

    class Meta:
        model = WorkspaceLock
        fields = ("workspace", "holder", "reason", "locked_at")
        read_only_fields = fields
