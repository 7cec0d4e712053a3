"""Workflows: a graph of steps in, the workflow with its steps out."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from operations.commands import STEP_KIND_CHOICES
from operations.models import Operation
from operations.serializers.fields import NameField
from operations.serializers.inventory import PARAMS
from operations.serializers.operation import OperationOut, shown
from provisioning.serializers import (
    StrictBooleanField,
    StrictCharField,
    StrictIntegerField,
    StrictSerializer,
)


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
