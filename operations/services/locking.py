"""Who may change what at the same time: policies of workspaces, and locks by hand."""

from __future__ import annotations

import functools
from collections.abc import Collection
from datetime import datetime

from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from accounts import audit
from accounts.actor import Actor
from accounts.models import Workspace
from operations import wake
from operations.events import Event
from operations.models import Operation, WorkspaceLock
from operations.services.ending import Ending, end
from provisioning.errors import Conflict, NotFound
from provisioning.statements import Prepared

Status = Operation.Status
Policy = Workspace.ConcurrencyPolicy
OPEN = (Status.PENDING, Status.RUNNING)


def startable(now: datetime) -> Q:
    """What nothing stands in the way of: nobody has its lock, nobody came before, nobody else keeps its
    workspace."""
    same = Operation.objects.filter(workspace=OuterRef("workspace"), lock=OuterRef("lock"))
    kept = WorkspaceLock.objects.filter(workspace=OuterRef("workspace")).exclude(
        holder_name=OuterRef("requested_by_name")
    )
    earlier = same.filter(
        ~Exists(kept),  # what the holder of the workspace keeps waiting does not make him wait
        status=Status.PENDING,
        is_ready=True,
        eligible_at__lte=now,
        pk__lt=OuterRef("pk"),
    )
    is_free = Q(~Exists(same.filter(status=Status.RUNNING))) & Q(~Exists(earlier))
    return (Q(lock="") | is_free) & (Q(check_mode=True) | Q(~Exists(kept)))


def admit(*, workspace: Workspace, actor: Actor, locks: Collection[str], check_mode: bool) -> None:
    """Ask the workspace whether it takes work on these locks now. Called within the transaction that
    writes the work. Raises Conflict; under `supersede` cancels what is queued for them."""
    if check_mode:
        return
    refuse_locked(workspace, actor)
    wanted = [lock for lock in locks if lock]
    if not wanted or workspace.concurrency_policy == Policy.QUEUE:
        return
    # One at a time, or two would not see each other.
    Workspace.objects.select_for_update(no_key=True).get(pk=workspace.pk)
    rows = Operation.objects.filter(workspace=workspace, lock__in=wanted).order_by("id")
    if workspace.concurrency_policy == Policy.REJECT:
        refuse_busy(rows.filter(status__in=OPEN).first())
        return
    for operation in rows.filter(status=Status.PENDING, workflow=None):
        end(operation, SUPERSEDED, leaving=Status.PENDING, actor=actor)


SUPERSEDED = Ending(
    Status.CANCELLED,
    Operation.Reason.SUPERSEDED,
    error="A newer operation took its place before it started.",
)


def refuse_busy(operation: Operation | None) -> None:
    if operation is not None:
        raise Conflict(
            f"The {operation.lock} is busy: operation {operation.pk} ({operation.kind}) is "
            f"{operation.status}, and this workspace takes no second one."
        )


def refuse_locked(workspace: Workspace, actor: Actor) -> None:
    lock = next(iter(_lock_of()(workspace.pk)), None)
    if lock is not None and lock.holder_name != actor.name:
        raise Conflict(
            f"The workspace {workspace.name} is locked by {lock.holder_name}: {lock.reason}"
        )


@functools.cache
def _lock_of() -> Prepared[WorkspaceLock]:
    """Asked at every submission."""
    return Prepared(WorkspaceLock.objects.filter(workspace_id=-1), -1)


# --- By hand -----------------------------------------------------------------------------------


def find_lock(workspace: Workspace) -> WorkspaceLock:
    """Raises NotFound."""
    lock = WorkspaceLock.objects.filter(workspace=workspace).first()
    if lock is None:
        raise NotFound(f"The workspace {workspace.name} is not locked.")
    return lock


def lock_workspace(*, workspace: Workspace, reason: str, actor: Actor) -> WorkspaceLock:
    """Keep the workspace for the actor. The holder may give another reason; raises Conflict for anybody
    else."""
    with transaction.atomic():
        Workspace.objects.select_for_update(no_key=True).get(pk=workspace.pk)
        refuse_locked(workspace, actor)
        lock, _ = WorkspaceLock.objects.update_or_create(
            workspace=workspace,
            defaults={"holder": actor.user, "holder_name": actor.name, "reason": reason},
        )
        _record(Event.WORKSPACE_LOCKED, lock, actor)
    return lock


def unlock_workspace(*, workspace: Workspace, actor: Actor, force: bool = False) -> None:
    """Give it back; what was queued goes on. Raises NotFound, and Conflict for a lock of somebody else's
    unless it is forced."""
    with transaction.atomic():
        Workspace.objects.select_for_update(no_key=True).get(pk=workspace.pk)
        lock = find_lock(workspace)
        is_own = lock.holder_name == actor.name
        if not is_own and not force:
            raise Conflict(
                f"The workspace {workspace.name} is locked by {lock.holder_name}, not by you: "
                "to take the lock away all the same, force it."
            )
        _record(Event.WORKSPACE_UNLOCKED if is_own else Event.WORKSPACE_UNLOCK_FORCED, lock, actor)
        lock.delete()
        wake.send()


def _record(event: Event, lock: WorkspaceLock, actor: Actor) -> None:
    audit.record(
        event,
        actor=actor,
        target=lock.workspace,
        workspace=lock.workspace.name,
        data={"holder": lock.holder_name, "reason": lock.reason},
    )
