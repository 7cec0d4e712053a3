"""An operation as it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from operations.models import Operation
from operations.rows import Row

SECRET = "********"  # noqa: S105 - what is shown instead of one


class OperationOut(serializers.ModelSerializer[Operation]):
    """The first six keys are fixed by the contract.

    The fields describe the shape for OpenAPI. Written it is by hand, and read (`operations.rows`), as every
    client polls it: DRF's way was measured at three quarters of a list's cost.
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


def shown(operation: Operation | Row) -> dict[str, Any]:
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


def links_of(operation: Operation | Row) -> dict[str, str]:
    me = f"/v1/operations/{operation.pk}"
    links = {name: f"{me}/{name}" for name in ("log", "cancel", "rerun")} | {"self": me}
    if operation.kind == "workflow":
        links["workflow"] = f"/v1/workflows/{operation.pk}"
    return links
