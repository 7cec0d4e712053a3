"""The rows of servers, taskservs and clusters: what results of operations and lists of the CLI write.

Every function but `store_list` works within the transaction of its caller; none asks the CLI (see
`operations.sync`).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import CharField
from django.utils import timezone

from accounts import audit
from accounts.actor import SYSTEM, Actor
from accounts.models import Workspace
from operations.events import Event
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
Key = tuple[str, ...]

BATCH_ROWS = 500
UID = re.compile(r"[a-z]{3}-[a-z0-9]{6,40}")


def model_of(kind: str) -> type[InventoryItem] | None:
    """`server_create` -> Server; None for a workflow."""
    return MODELS.get(kind.partition("_")[0])


def note_operation(operation: Operation) -> None:
    """Let an item that exists point to the operation just accepted for it."""
    model = model_of(operation.kind)
    if model is not None and operation.workspace_id:
        rows_of(model, operation.workspace_id, operation.params).update(last_operation=operation)


def apply_results(operations: Sequence[Operation]) -> None:
    """What completed creates and deletes changed. A check changes nothing."""
    made: dict[type[InventoryItem], list[Operation]] = defaultdict(list)
    for operation in operations:
        model = model_of(operation.kind)
        if (
            model is None
            or operation.status != Operation.Status.COMPLETED
            or operation.check_mode
            or operation.workspace_id is None
        ):
            continue
        if operation.kind.endswith("_delete"):
            rows_of(model, operation.workspace_id, operation.params).delete()
        else:
            made[model].append(operation)
    for model, creates in made.items():
        write_items(model, creates)


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


def keys_of(model: type[InventoryItem], values: Mapping[str, Any]) -> Key | None:
    """What says which item these values mean; None for values that do not name one."""
    keys = tuple(column(model, name, values.get(name)) for name in KEYS[model])
    return keys if keys[0] else None


def columns_of(model: type[InventoryItem], values: Mapping[str, Any]) -> dict[str, Any]:
    """As much of a CLI's object as its columns hold; what it does not tell is left out."""
    columns: dict[str, Any] = {
        name: column(model, name, values[name])
        for name in FIELDS[model]
        if isinstance(values.get(name), str)
    }
    if model is Server and isinstance(values.get("tags"), list):
        columns["tags"] = [str(tag)[:63] for tag in values["tags"][:100]]
    return columns


def write_items(model: type[InventoryItem], operations: Sequence[Operation]) -> None:
    """Insert or update the items that these operations have made; of two that made the same, the later
    one tells."""
    made = {}
    for operation in operations:
        values = {**operation.params, **(operation.result or {})}
        keys = keys_of(model, values)
        if keys is not None and operation.workspace_id is not None:
            made[operation.workspace_id, keys] = operation, values
    uids = _free_uids(model, [values.get("id") for _, values in made.values()])
    # One statement for those of which the same is told.
    alike: dict[tuple[str, ...], list[InventoryItem]] = defaultdict(list)
    for uid, ((workspace_id, key), (operation, values)) in zip(uids, made.items(), strict=True):
        columns = {"status": "created"} | columns_of(model, values)
        columns |= {"seen_at": timezone.now(), "last_operation": operation}
        names: dict[str, Any] = dict(zip(KEYS[model], key, strict=True))
        item = model(uid=uid, workspace_id=workspace_id, **names, **columns)
        alike[tuple(columns)].append(item)
    for told, items in alike.items():
        model._default_manager.bulk_create(
            items,
            update_conflicts=True,
            unique_fields=("workspace", *KEYS[model]),
            update_fields=told,
        )


def _free_uids(model: type[InventoryItem], wanted: Sequence[object]) -> list[str]:
    """For each the CLI's own id when it looks like ours and is free, else a new one."""
    ours = [uid if isinstance(uid, str) and _is_uid(model, uid) else None for uid in wanted]
    named = [uid for uid in ours if uid]
    taken = set(model._default_manager.filter(uid__in=named).values_list("uid", flat=True))
    uids = []
    for uid in ours:
        uids.append(model.new_uid() if uid is None or uid in taken else uid)
        taken.add(uids[-1])
    return uids


def _is_uid(model: type[InventoryItem], text: str) -> bool:
    return UID.fullmatch(text) is not None and text.startswith(model.PREFIX)


# --- Lists of the CLI --------------------------------------------------------------------------


@dataclass
class Listed:
    """One item of a list: the CLI's id for it and the columns it tells."""

    uid: object
    columns: dict[str, Any]


def store_list(
    model: type[InventoryItem],
    workspace: Workspace,
    document: list[Any],
    asked_at: datetime,
    actor: Actor = SYSTEM,
) -> tuple[int, list[str]]:
    """Write what was listed, remove what was not - unless it came up after we asked: `(items seen,
    names removed)`.

    In transactions of some hundred rows: SQLite has one write lock, and a login waits for it. Ends
    early when an operation has written what the list may be too old to know; the next list will do.
    """
    listed = _read_list(model, document)
    rows = {
        tuple(getattr(row, name) for name in KEYS[model]): row
        for row in model._default_manager.filter(workspace=workspace)
    }
    seen = 0
    items = list(listed.items())
    for begin in range(0, len(items), BATCH_ROWS):
        batch = dict(items[begin : begin + BATCH_ROWS])
        with transaction.atomic():
            if has_changed_since(model, workspace, asked_at):
                return seen, []
            _write_batch(model, workspace, batch, rows, asked_at)
        seen += len(batch)
    with transaction.atomic():
        if has_changed_since(model, workspace, asked_at):
            return seen, []
        return seen, _remove_unseen(model, workspace, asked_at, seen, actor)


def has_changed_since(model: type[InventoryItem], workspace: Workspace, instant: datetime) -> bool:
    """Whether an operation on such items has ended since."""
    return Operation.objects.filter(
        workspace=workspace, kind__startswith=f"{model.__name__.lower()}_", finished_at__gte=instant
    ).exists()


def _read_list(model: type[InventoryItem], document: list[Any]) -> dict[Key, Listed]:
    """Each item once, what is told later replacing what was told before."""
    listed: dict[Key, Listed] = {}
    for values in document:
        keys = keys_of(model, values) if isinstance(values, dict) else None
        if keys is not None:
            item = listed.setdefault(keys, Listed(values.get("id"), {}))
            item.columns |= columns_of(model, values)
    return listed


def _write_batch(
    model: type[InventoryItem],
    workspace: Workspace,
    batch: Mapping[Key, Listed],
    rows: Mapping[Key, InventoryItem],
    asked_at: datetime,
) -> None:
    # Not before the question, whatever the clock does: what is older is removed in the end.
    now = max(timezone.now(), asked_at)
    known = {keys: rows[keys] for keys in batch if keys in rows}
    model._default_manager.filter(pk__in=[row.pk for row in known.values()]).update(seen_at=now)
    _update_rows(model, [(row, batch[keys].columns) for keys, row in known.items()])
    _insert_rows(
        model, workspace, {keys: item for keys, item in batch.items() if keys not in known}, now
    )


def _update_rows(
    model: type[InventoryItem], told: Sequence[tuple[InventoryItem, Mapping[str, Any]]]
) -> None:
    """Write those rows of which something else is told than they hold."""
    differing = []
    names: set[str] = set()
    for row, columns in told:
        news = {name: value for name, value in columns.items() if getattr(row, name) != value}
        if news:
            differing.append(row)
            names |= news.keys()
        for name, value in news.items():
            setattr(row, name, value)
    if differing:
        model._default_manager.bulk_update(differing, sorted(names))


def _insert_rows(
    model: type[InventoryItem],
    workspace: Workspace,
    items: Mapping[Key, Listed],
    now: datetime,
) -> None:
    """Add rows. One that somebody else has added meanwhile is his; the next list will find it."""
    if not items:
        return
    uids = _free_uids(model, [item.uid for item in items.values()])
    model._default_manager.bulk_create(
        [
            model(
                workspace=workspace,
                uid=uid,
                seen_at=now,
                **dict(zip(KEYS[model], keys, strict=True)),
                **item.columns,
            )
            for (keys, item), uid in zip(items.items(), uids, strict=True)
        ],
        ignore_conflicts=True,
    )


def _remove_unseen(
    model: type[InventoryItem], workspace: Workspace, asked_at: datetime, seen: int, actor: Actor
) -> list[str]:
    """Remove what nobody has seen since the question; every row of the list has been by now."""
    gone = model._default_manager.filter(workspace=workspace, seen_at__lt=asked_at)
    names = [str(item) for item in gone]
    if names:
        gone.delete()
        audit.record(
            Event.INVENTORY_SYNCED,
            actor=actor,
            target=workspace,
            workspace=workspace.name,
            data={"list": model.__name__.lower(), "seen": seen, "removed": names},
        )
    return names
