"""The lock by which a person keeps a workspace."""

from __future__ import annotations

from rest_framework import serializers

from operations.models import WorkspaceLock
from provisioning.serializers import StrictCharField, StrictSerializer


class LockWorkspace(StrictSerializer):
    reason = StrictCharField(max_length=255, help_text="Shown to whoever is refused")


class WorkspaceLockOut(serializers.ModelSerializer[WorkspaceLock]):
    workspace = serializers.CharField(source="workspace.name")
    holder = serializers.CharField(source="holder_name")

    class Meta:
        model = WorkspaceLock
        fields = ("workspace", "holder", "reason", "locked_at")
        read_only_fields = fields
