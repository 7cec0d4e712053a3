"""An operation as it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from operations.models import Operation

SECRET = "********"  # noqa: S105 - what is shown instead of one


class OperationOut(serializers.ModelSerializer[Operation]):
    """The first six keys are fixed by the contract.

    The fields describe the shape for OpenAPI. Written it is by hand: DRF's way was measured at three
    quarters of a list's cost.
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
        return links_of(str(operation.pk), operation.kind)

    def to_representation(self, instance: Operation) -> dict[str, Any]:
        return shown(instance)


# The columns that are shown as they are: name on the wire -> of the model.
COLUMNS = {
    "id": "id",
    "status": "status",
    "created_at": "created_at",
    "updated_at": "updated_at",
    "result": "result",
    "error": "error",
    "kind": "kind",
    "workspace": "workspace_name",
    "check_mode": "check_mode",
    "requested_by": "requested_by_name",
    "reason": "reason",
    "exit_code": "exit_code",
    "started_at": "started_at",
    "finished_at": "finished_at",
    "timeout_seconds": "timeout_seconds",
    "cancel_requested_at": "cancel_requested_at",
    "request_id": "request_id",
    "workflow": "workflow_id",
    "rerun_of": "rerun_of_id",
    "lock": "lock",
}


def shown(operation: Operation) -> dict[str, Any]:
    """An operation on the wire; the renderer knows instants and UUIDs. (Of many, or of one that is only
    read, the database writes it: `operations.rows`.)"""
    return {
        **{name: getattr(operation, column) for name, column in COLUMNS.items()},
        "parameters": shown_params(operation.params),
        "links": links_of(str(operation.pk), operation.kind),
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


def links_of(key: str, kind: str) -> dict[str, str]:
    me = f"/v1/operations/{key}"
    links = {name: f"{me}/{name}" for name in ("log", "cancel", "rerun")} | {"self": me}
    if kind == "workflow":
        links["workflow"] = f"/v1/workflows/{key}"
    return links
