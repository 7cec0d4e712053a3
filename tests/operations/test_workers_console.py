"""Workers, draining and workspace locks in the console."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import AuditEvent, User, Workspace
from operations.models import Operation, Runner, WorkspaceLock
from operations.services import drain, locking
from tests.factories import bind, make_operation, make_user, make_workspace
from tests.operations.test_operations_console import denials, html, logged_in, queries_of

RUNNERS = "/admin/operations/runner/"
LOCKS = "/admin/operations/workspacelock/"


def make_runner(role: str = "worker", **fields: Any) -> Runner:
    values = {"host_id": str(uuid.uuid4()), "host_name": "host-a", "boot_id": "b", "pid": 1}
    return Runner.objects.create(role=role, pid_started=1, **(values | fields))


def run(operation: Operation, runner: Runner) -> None:
    Operation.objects.filter(pk=operation.pk).update(
        status="running", started_at=timezone.now(), runner=runner.pk, host_id=runner.host_id
    )


# --- Workers -----------------------------------------------------------------------------------


def test_the_list_of_workers_asks_as_often_for_200_as_for_one(
    admin: User, workspace: Workspace
) -> None:
    client = logged_in(admin)
    run(make_operation(workspace), make_runner())
    few = queries_of(client, RUNNERS)
    for _ in range(199):
        run(make_operation(workspace), make_runner())

    assert queries_of(client, RUNNERS) == few


def test_workers_show_life_and_what_runs_at_their_host(admin: User, workspace: Workspace) -> None:
    worker = make_runner()
    turn = make_runner("turn", host_id=worker.host_id)
    make_runner(heartbeat_at=timezone.now() - timedelta(minutes=5))
    operation = make_operation(workspace)
    run(operation, turn)

    shown = html(logged_in(admin), RUNNERS)

    assert shown.count(f"/operation/{operation.pk}/change/") == 2
    assert shown.count(">alive</span>") == 2
    assert shown.count(">silent</span>") == 1
    assert "5 min ago" in shown


def test_an_admin_drains_and_resumes(admin: User) -> None:
    client = logged_in(admin)

    drained = client.post(f"{RUNNERS}drain/", {"reason": "Upgrade at 18:00"}, follow=True)
    found = drain.find()
    resumed = client.post(f"{RUNNERS}resume/", follow=True)

    assert found is not None
    assert found.reason == "Upgrade at 18:00"
    assert "Upgrade at 18:00" in drained.content.decode()
    assert f"{RUNNERS}resume/" in drained.content.decode()
    assert drain.find() is None
    assert f"{RUNNERS}drain/" in resumed.content.decode()
    events = AuditEvent.objects.filter(event__startswith="system.", actor=admin)
    assert [one.event for one in events.order_by("id")] == ["system.drained", "system.resumed"]


def test_a_reason_of_many_lines_is_a_sentence_and_drains_nothing(admin: User) -> None:
    answer = logged_in(admin).post(f"{RUNNERS}drain/", {"reason": "a\nb"}, follow=True)

    assert "must be one line" in answer.content.decode()
    assert drain.find() is None


@pytest.mark.parametrize("act", ["drain", "resume"])
def test_only_an_admin_drains(operator: User, admin: User, act: str) -> None:
    if act == "resume":
        drain.drain_system(actor=Actor(name=admin.username, user=admin))

    assert logged_in(operator).post(f"{RUNNERS}{act}/").status_code == 403
    assert denials(operator) == 1
    assert (drain.find() is not None) == (act == "resume")


# --- Locks -------------------------------------------------------------------------------------


def lock(workspace: Workspace, user: User, reason: str = "moving racks") -> None:
    actor = Actor(name=user.username, user=user)
    locking.lock_workspace(workspace=workspace, reason=reason, actor=actor)


def test_the_list_of_locks_asks_as_often_for_50_workspaces_as_for_one(
    operator: User, workspace: Workspace
) -> None:
    client = logged_in(operator)
    lock(workspace, operator)
    few = queries_of(client, LOCKS)
    for _ in range(60):
        lock(make_workspace(), operator)

    # One more: that there is a second page is counted only where the first is full.
    assert queries_of(client, LOCKS) <= few + 1


def test_an_operator_keeps_a_workspace_and_gives_it_back(
    operator: User, workspace: Workspace
) -> None:
    client = logged_in(operator)

    kept = client.post(f"{LOCKS}{workspace.pk}/lock/", {"reason": "moving racks"}, follow=True)
    holder = WorkspaceLock.objects.get().holder
    free = client.post(f"{LOCKS}{workspace.pk}/unlock/", follow=True)

    assert "kept by you" in kept.content.decode()
    assert "moving racks" in kept.content.decode()
    assert holder == operator
    assert "The workspace production is free again." in free.content.decode()
    assert not WorkspaceLock.objects.exists()
    assert AuditEvent.objects.filter(event="workspace.locked", actor=operator).count() == 1


def test_keeping_needs_a_reason(operator: User, workspace: Workspace) -> None:
    path = f"{LOCKS}{workspace.pk}/lock/"

    answer = logged_in(operator).post(path, {"reason": ""}, follow=True)

    assert "reason: This field may not be blank." in answer.content.decode()
    assert not WorkspaceLock.objects.exists()


def test_a_lock_of_somebody_else_is_taken_away_by_an_admin_only(
    operator: User, admin: User, viewer: User, workspace: Workspace
) -> None:
    holder = make_user("holger")
    bind(holder, "Operator")
    lock(workspace, holder)
    path = f"{LOCKS}{workspace.pk}/unlock/"

    assert path not in html(logged_in(operator), LOCKS)
    assert logged_in(operator).post(path, {"force": "1"}).status_code == 403
    sentence = logged_in(operator).post(path, follow=True).content.decode()
    assert "locked by holger, not by you" in sentence
    assert path not in html(logged_in(viewer), LOCKS)
    assert logged_in(viewer).post(path).status_code == 403
    assert WorkspaceLock.objects.exists()

    assert "Take the lock away" in html(logged_in(admin), LOCKS)
    logged_in(admin).post(path, {"force": "1"})

    assert not WorkspaceLock.objects.exists()
    assert AuditEvent.objects.filter(event="workspace.unlock-forced", actor=admin).count() == 1


def test_a_viewer_sees_who_keeps_what_and_may_not_keep(
    viewer: User, operator: User, workspace: Workspace
) -> None:
    lock(workspace, operator)
    client = logged_in(viewer)

    shown = html(client, LOCKS)

    assert "kept by oscar" in shown
    assert "Queue: wait for the other to end" in shown
    assert "/lock/" not in shown
    assert client.post(f"{LOCKS}{workspace.pk}/lock/", {"reason": "x"}).status_code == 403
    assert denials(viewer) == 1


def test_other_workspaces_are_not_there(workspace: Workspace) -> None:
    other = make_workspace("hidden-place")
    guest = make_user("guest")
    bind(guest, "Operator", workspace)
    client = logged_in(guest)

    assert "hidden-place" not in html(client, LOCKS)
    assert client.post(f"{LOCKS}{other.pk}/lock/", {"reason": "x"}).status_code == 404
    assert client.get(f"{LOCKS}add/").status_code == 403
