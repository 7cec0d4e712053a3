"""Accepting work: one transaction writes the operation, its audit event and the wake."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from accounts import audit
from accounts.actor import Actor
from accounts.models import Workspace
from operations import cli, inventory, wake
from operations.commands import BadValue, Kind
from operations.events import Event
from operations.locks import lock_of
from operations.models import Operation
from operations.services import drain, locking
from provisioning.errors import Invalid


def submit_operation(
    *,
    actor: Actor,
    kind: Kind,
    workspace: Workspace,
    params: Mapping[str, Any],
    check_mode: bool = False,
    timeout_seconds: int | None = None,
    **more: Any,
) -> Operation:
    """Accept one run of the CLI. `more` are further fields, as of a workflow's step.

    Raises Invalid naming the parameter when no command line can be made of it, and Conflict where the
    workspace takes no such work now, and Unavailable while the system is drained.
    """
    check_params(kind, workspace.name, params, check_mode=check_mode)
    lock = lock_of(kind, params, check_mode=check_mode)
    operation = Operation(
        kind=kind,
        workspace=workspace,
        workspace_name=workspace.name,
        params=dict(params),
        check_mode=check_mode,
        lock=lock,
        requested_by=actor.user,
        requested_by_name=actor.name,
        request_id=actor.request_id,
        timeout_seconds=timeout_seconds or settings.OPERATION_TIMEOUT_SECONDS,
        **more,
    )
    with transaction.atomic():
        if operation.workflow_id is None:  # a step came in with its workflow
            drain.refuse_new()
            locking.admit(workspace=workspace, actor=actor, locks=[lock], check_mode=check_mode)
        operation.save(force_insert=True)
        inventory.note_operation(operation)
        record_submitted(operation, actor)
        wake.send()
    return operation


def check_params(
    kind: str, workspace: str, params: Mapping[str, Any], *, check_mode: bool = False
) -> None:
    """Raise Invalid unless an argument list can be built from these parameters."""
    file = Path("settings.json") if params.get("settings") else None
    try:
        cli.command_line(kind, workspace, params, check_mode=check_mode, settings_file=file)
    except BadValue as error:
        raise Invalid(error.rule, field=error.field) from None


def record_submitted(operation: Operation, actor: Actor) -> None:
    """Parameters stay out of the trail but for the name: settings may hold secrets."""
    audit.record(
        Event.OPERATION_SUBMITTED,
        actor=actor,
        target=operation,
        workspace=operation.workspace_name,
        data={"kind": operation.kind, "check_mode": operation.check_mode},
    )
