"""The rows of servers, taskservs and clusters: what results of operations and lists of the CLI write.

Every function works within the transaction of its caller and asks nobody (see `operations.sync`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db.models import CharField
from django.utils import timezone

from accounts.models import Workspace
from operations.models import Cluster, InventoryItem, Operation, Server, Taskserv

# What of a CLI's object becomes a column, and which columns say which item it is.
FIELDS: Mapping[type[InventoryItem], tuple[str, ...]] = {
    Server: ("provider", "plan", "zone", "ip_address", "status"),
    Taskserv: ("version", "status"),
    Cluster: ("version", "status"),
}
KEYS: Mapping[type[InventoryItem], tuple[str, ...]] = {
    Server: ("hostname",),
    Taskserv: ("name", "server"),
    Cluster: ("name",),
}
MODELS: Mapping[str, type[InventoryItem]] = {
    "server": Server,
    "taskserv": Taskserv,
    "cluster": Cluster,
}
UID = re.compile(r"[a-z]{3}-[a-z0-9]{6,40}")


def model_of(kind: str) -> type[InventoryItem] | None:
    """`server_create` -> Server; None for a workflow."""
    return MODELS.get(kind.partition("_")[0])


def note_operation(operation: Operation) -> None:
    """Let an item that exists point to the operation just accepted for it."""
    model = model_of(operation.kind)
    if model is not None and operation.workspace_id:
        rows_of(model, operation.workspace_id, operation.params).update(last_operation=operation)


def apply_result(operation: Operation) -> None:
    """What a completed create or delete changed. A check changes nothing."""
    model = model_of(operation.kind)
    if (
        model is None
        or operation.status != Operation.Status.COMPLETED
        or operation.check_mode
        or operation.workspace_id is None
    ):
        return
    if operation.kind.endswith("_delete"):
        rows_of(model, operation.workspace_id, operation.params).delete()
    else:
        write_item(
            model,
            operation.workspace_id,
            {**operation.params, **(operation.result or {})},
            operation,
        )


def rows_of(model: type[InventoryItem], workspace_id: int, values: Mapping[str, Any]) -> Any:
    keys = {name: column(model, name, values.get(name)) for name in KEYS[model]}
    return model._default_manager.filter(workspace_id=workspace_id, **keys)


def text(value: object, limit: int = 63) -> str:
    return value[:limit] if isinstance(value, str) else ""


def column(model: type[InventoryItem], name: str, value: object) -> str:
    """As much of a text as its column holds: PostgreSQL refuses more."""
    field = model._meta.get_field(name)
    assert isinstance(field, CharField)
    assert field.max_length
    return text(value, field.max_length)


def write_item(
    model: type[InventoryItem],
    workspace_id: int,
    values: Mapping[str, Any],
    operation: Operation | None = None,
) -> InventoryItem | None:
    """Insert or update one item; None for values that do not name one."""
    keys = {name: column(model, name, values.get(name)) for name in KEYS[model]}
    if not keys[KEYS[model][0]]:
        return None
    columns: dict[str, Any] = {
        name: column(model, name, values[name])
        for name in FIELDS[model]
        if isinstance(values.get(name), str)
    }
    columns["seen_at"] = timezone.now()
    if operation is not None:
        columns |= {"last_operation": operation, "status": columns.get("status", "created")}
    if model is Server and isinstance(values.get("tags"), list):
        columns["tags"] = [str(tag)[:63] for tag in values["tags"][:100]]
    item, _ = model._default_manager.update_or_create(
        workspace_id=workspace_id,
        **keys,
        defaults=columns,
        create_defaults=columns | {"uid": _free_uid(model, values.get("id"))},
    )
    return item


def _free_uid(model: type[InventoryItem], wanted: object) -> str:
    """The CLI's own id when it looks like ours and is free, else a new one."""
    if (
        isinstance(wanted, str)
        and UID.fullmatch(wanted)
        and wanted.startswith(model.PREFIX)
        and not model._default_manager.filter(uid=wanted).exists()
    ):
        return wanted
    return model.new_uid()


def store_list(
    model: type[InventoryItem], workspace: Workspace, document: list[Any], asked_at: datetime
) -> tuple[int, list[str]]:
    """Write what was listed, remove what was not - unless it came up after we asked."""
    written = [
        write_item(model, workspace.pk, values) for values in document if isinstance(values, dict)
    ]
    listed = [item.pk for item in written if item]
    gone = model._default_manager.filter(workspace=workspace, seen_at__lt=asked_at).exclude(
        pk__in=listed
    )
    names = [str(item) for item in gone]
    gone.delete()
    return len(listed), names
