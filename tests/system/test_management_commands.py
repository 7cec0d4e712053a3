"""The management commands: what they change, what they print, how they refuse."""

from __future__ import annotations

import io
import os
import sqlite3
import stat
import sys
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.core.management import (
    CommandError,
    call_command,
    get_commands,
    load_command_class,
)
from django.db import connection
from django.utils import timezone
from django_q.models import Schedule

from accounts.actor import COMMAND_LINE, SYSTEM
from accounts.models import (
    AuditEvent,
    LoginThrottle,
    RefreshSession,
    RoleBinding,
    User,
    Workspace,
)
from operations import tasks, worker
from operations.models import Operation, Server
from operations.services import drain, lifecycle
from operations.services.ending import Ending, end
from tests.factories import bind, make_operation, make_user
from tests.operations.harness import Background
from tests.processes import wait_until


def run(*arguments: object, monkeypatch: pytest.MonkeyPatch | None = None, stdin: str = "") -> str:
    if monkeypatch:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
    out = io.StringIO()
    call_command(*[str(argument) for argument in arguments], stdout=out)
    return out.getvalue().strip()


def test_create_user_makes_a_user_with_a_role(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = run(
        "create_user",
        "bob",
        "--role",
        "operator",
        "--workspace",
        "production",
        monkeypatch=monkeypatch,
        stdin="a-long-password\n",
    )

    assert said == "Created the user bob as Operator in production."
    assert User.objects.get(username="bob").check_password("a-long-password")
    assert RoleBinding.objects.get(user__username="bob").workspace == workspace
    assert AuditEvent.objects.get(event="user.created").actor_name == "command-line"


@pytest.mark.parametrize(
    ("arguments", "stdin", "sentence"),
    [
        (("create_user", ".bob"), "a-long-password\n", "username: must begin with"),
        (("create_user", "bob"), "short\n", "password: This password is too short."),
        (("create_user", "bob"), "", "Give the password on standard input."),
        (("create_user", "bob", "--role", "King"), "a-long-password\n", "no role named 'King'"),
        (("create_user", "VICTOR"), "a-long-password\n", "exists"),
        (("set_password", "nobody"), "a-long-password\n", "There is no user named 'nobody'."),
        (("assign_role", "victor", "Viewer"), "", "victor is Viewer everywhere already."),
        (("assign_role", "victor", "Admin", "--remove"), "", "victor is not Admin everywhere."),
        (("assign_role", "victor", "Admin", "--workspace", "x"), "", "no workspace named 'x'"),
        (("prune", "--operations-days", "-1"), "", "--operations-days is -1"),
        (("prune", "--keep-operations", "-1"), "", "--keep-operations is -1"),
        (("run_operation", "server_create", "--workspace", "none"), "", "no workspace named"),
    ],
)
def test_a_refusal_is_one_sentence_and_changes_nothing(
    viewer: User,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    stdin: str,
    sentence: str,
) -> None:
    before = (User.objects.count(), RoleBinding.objects.count())

    with pytest.raises((CommandError, SystemExit)) as refused:
        run(*arguments, monkeypatch=monkeypatch, stdin=stdin)

    assert sentence in str(refused.value)
    assert (User.objects.count(), RoleBinding.objects.count()) == before


def test_set_password_ends_the_sessions(viewer: User, monkeypatch: pytest.MonkeyPatch) -> None:
    run("set_password", "victor", monkeypatch=monkeypatch, stdin="another-password\n")

    user = User.objects.get(pk=viewer.pk)
    assert user.check_password("another-password")
    assert user.token_version == viewer.token_version + 1


def test_set_password_ends_the_lockouts(viewer: User, monkeypatch: pytest.MonkeyPatch) -> None:
    LoginThrottle.objects.create(username="victor", source="192.0.2.1", failures=5)

    run("set_password", "victor", monkeypatch=monkeypatch, stdin="another-password\n")

    assert not LoginThrottle.objects.exists()


def test_assign_role_gives_and_takes(viewer: User) -> None:
    assert run("assign_role", "victor", "operator") == "victor is Operator everywhere."
    assert run("assign_role", "victor", "Operator", "--remove") == "victor is Operator no more."

    assert [b.role.name for b in RoleBinding.objects.filter(user=viewer)] == ["Viewer"]


def test_assign_role_keeps_the_last_admin(admin: User) -> None:
    with pytest.raises(CommandError, match="last active Admin"):
        run("assign_role", "alice", "Admin", "--remove")


def ended(workspace: Workspace, days: int) -> Operation:
    operation = make_operation(workspace)
    end(operation, Ending("failed", "exit", 1), leaving="pending")
    Operation.objects.filter(pk=operation.pk).update(
        finished_at=timezone.now() - timedelta(days=days)
    )
    return operation


def test_prune_deletes_what_is_old_and_nothing_else(workspace: Workspace) -> None:
    old, young, waiting = ended(workspace, 91), ended(workspace, 89), make_operation(workspace)
    old.log.create(stream="stdout", offset=0, stream_offset=0, data=b"x")
    AuditEvent.objects.update(occurred_at=timezone.now() - timedelta(days=366))
    events = AuditEvent.objects.count()

    dry = run("prune", "--dry-run")
    said = run("prune")

    assert dry == f"Would delete 1 operations, {events} audit events, 0 expired sessions."
    assert said == f"Deleted 1 operations, {events} audit events, 0 expired sessions."
    assert set(Operation.objects.all()) == {young, waiting}
    assert {event.event for event in AuditEvent.objects.all()} == {
        "operation.pruned",
        "audit.pruned",
    }


def logged(workspace: Workspace, size: int, **fields: Any) -> Operation:
    operation = make_operation(workspace, **fields)
    operation.log.create(stream="stdout", offset=0, stream_offset=0, data=b"x" * size)
    return operation


def mark_ended(*operations: Operation) -> None:
    Operation.objects.filter(pk__in=[operation.pk for operation in operations]).update(
        status="completed", finished_at=timezone.now()
    )


def test_prune_keeps_the_newest_of_what_has_ended(workspace: Workspace) -> None:
    waiting = make_operation(workspace)
    done = [make_operation(workspace) for _ in range(4)]
    mark_ended(*done)

    assert "Would delete 2 operations" in run("prune", "--keep-operations", "2", "--dry-run")
    assert "Deleted 2 operations" in run("prune", "--keep-operations", "2")

    assert set(Operation.objects.all()) == {waiting, *done[2:]}
    data = AuditEvent.objects.get(event="operation.pruned").data
    assert (data["count"], data["kept"]) == (2, 2)


def test_prune_keeps_so_many_bytes_of_logs(workspace: Workspace) -> None:
    old, silent, middle, new = (logged(workspace, size) for size in (30, 0, 40, 50))
    waiting = logged(workspace, 20)
    mark_ended(old, silent, middle, new)

    assert "Deleted 1 operations" in run("prune", "--keep-log-bytes", "110")
    assert set(Operation.objects.all()) == {silent, middle, new, waiting}
    assert "Deleted 0 operations" in run("prune", "--keep-log-bytes", "110")
    assert "Deleted 2 operations" in run("prune", "--keep-log-bytes", "0")
    assert set(Operation.objects.all()) == {silent, waiting}


def test_the_logs_of_steps_count_for_their_workflow(workspace: Workspace) -> None:
    workflow = make_operation(workspace)
    step = logged(workspace, 100)
    Operation.objects.filter(pk=step.pk).update(workflow=workflow)
    mark_ended(step, workflow)

    assert "Deleted 0 operations" in run("prune", "--keep-log-bytes", "100")
    assert "Deleted 1 operations" in run("prune", "--keep-log-bytes", "99")
    assert not Operation.objects.exists()


def test_the_worker_forgets_what_the_configuration_does_not_keep(
    workspace: Workspace, settings: Any
) -> None:
    old, young = ended(workspace, 31), ended(workspace, 29)
    settings.RETENTION_DAYS = 30
    worker.schedule_tasks()
    assert Schedule.objects.get(name="prune operations").func == "operations.tasks.prune_operations"

    tasks.prune_operations()

    assert set(Operation.objects.all()) == {young}, old
    assert AuditEvent.objects.get(event="operation.pruned").actor_name == "system"
    settings.RETENTION_DAYS = 0
    worker.schedule_tasks()
    assert not Schedule.objects.filter(name="prune operations").exists()


def test_prune_keeps_a_workflow_until_it_has_ended(workspace: Workspace) -> None:
    workflow = make_operation(workspace)
    step = ended(workspace, 100)
    Operation.objects.filter(pk=step.pk).update(workflow=workflow)

    run("prune")

    assert Operation.objects.filter(pk=step.pk).exists()


def test_prune_forgets_expired_sessions(viewer: User) -> None:
    gone = timezone.now() - timedelta(seconds=1)
    RefreshSession.objects.create(user=viewer, family=os.urandom(16).hex(), expires_at=gone)
    Session.objects.create(session_key="of-the-console", expire_date=gone)
    Session.objects.create(session_key="alive", expire_date=gone + timedelta(minutes=1))

    assert run("prune", "--dry-run").endswith("2 expired sessions.")
    assert run("prune").endswith("2 expired sessions.")
    assert Session.objects.get().session_key == "alive"
    assert not RefreshSession.objects.exists()


def test_every_command_of_ours_explains_itself() -> None:
    ours = {
        name
        for name, app in get_commands().items()
        if app in ("accounts", "autoinstall", "operations", "provisioning")
    }

    assert ours >= {
        *("create_answer_token", "render_answer", "explain_answer", "import_answer"),
        *("export_answer", "prune_installations", "create_user", "prune", "show_config"),
    }
    for name in ours:
        assert load_command_class(str(get_commands()[name]), name).help, name


def test_show_config_masks_secrets_and_says_where_values_come_from() -> None:
    rows = {line.split()[0]: line for line in run("show_config").splitlines()}

    assert "default" in rows["server.port"]
    assert "8083" in rows["server.port"]
    assert "environment PROVISIONING_STATE_DIR" in rows["state_dir"]


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
@pytest.mark.skipif(connection.vendor != "sqlite", reason="NOT RUN on PostgreSQL: pg_dump does it")
def test_backup_is_a_complete_private_copy(tmp_path: Path) -> None:
    make_user("in-the-backup")
    target = tmp_path / "copy.sqlite3"

    said = run("backup", target)

    assert said.startswith(f"Wrote {target} (")
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    with sqlite3.connect(target) as copy:
        names = [row[0] for row in copy.execute("SELECT username FROM accounts_user")]
    assert names == ["in-the-backup"]
    with pytest.raises(CommandError, match="exists"):
        run("backup", target)


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
@pytest.mark.skipif(connection.vendor != "sqlite", reason="NOT RUN on PostgreSQL: pg_dump does it")
def test_a_restored_backup_runs_nothing_a_second_time(fake_cli: Path, tmp_path: Path) -> None:
    place = Workspace.objects.create(name="production")
    waiting, running = make_operation(place), make_operation(place)
    Operation.objects.filter(pk=running.pk).update(status="running", started_at=timezone.now())

    run("backup", tmp_path / "copy.sqlite3")

    with sqlite3.connect(tmp_path / "copy.sqlite3") as copy:
        rows = copy.execute("SELECT status, reason, finished_at FROM operations_operation")
        assert {row[:2] for row in rows} == {("failed", "lost")}
    assert [op.status for op in Operation.objects.order_by("id")] == ["pending", "running"]
    assert waiting.pk != running.pk


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_run_operation_runs_here_and_ends_with_the_clis_exit_code(
    fake_cli: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    Workspace.objects.create(name="production")
    arguments = ["run_operation", "server_create", "--workspace", "production", "--param", "plan=p"]
    arguments += ["--param", "provider=q", "--param"]

    call_command(*arguments, "hostname=ok-1")
    assert "working on ok-1" in capfd.readouterr().out
    with pytest.raises(SystemExit) as failed:
        call_command(*arguments, "hostname=fail-42-x")

    assert failed.value.code == 42
    assert "half way" in capfd.readouterr().out
    assert [op.status for op in Operation.objects.order_by("id")] == ["completed", "failed"]
    assert Server.objects.get().hostname == "ok-1"


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_run_operation_says_what_it_waits_for(fake_cli: Path) -> None:
    workspace = Workspace.objects.create(name="production")
    params = {"hostname": "ok-1", "provider": "p", "plan": "q"}
    first = make_operation(workspace, params=params)
    Operation.objects.filter(pk=first.pk).update(
        status="running", started_at=timezone.now(), host_id="elsewhere", runner=uuid.uuid4()
    )
    said = io.StringIO()
    command = ["run_operation", "server_create", "--workspace", "production"]
    command += [word for name, value in params.items() for word in ("--param", f"{name}={value}")]
    waiting = Background(lambda: exits_with_1(*command, stderr=said))

    wait_until(lambda: "waiting: others come first" in said.getvalue(), "it tells of the first")
    drain.drain_system(actor=COMMAND_LINE, reason="tonight")
    wait_until(lambda: "waiting: the system is drained: tonight" in said.getvalue(), "and of this")
    [operation] = Operation.objects.filter(status="pending")
    lifecycle.cancel_operation(operation=operation, actor=COMMAND_LINE)

    waiting.join()
    assert said.getvalue().count("waiting: ") == 2


def exits_with_1(*command: str, stderr: io.StringIO) -> None:
    with pytest.raises(SystemExit) as ended:
        call_command(*command, stderr=stderr)
    assert ended.value.code == 1


def test_run_operation_checks_its_parameters(workspace: Workspace) -> None:
    with pytest.raises(CommandError, match="hostname: '-x' is no host name"):
        call_command(
            "run_operation", "server_delete", "--workspace", "production", "--param", "hostname=-x"
        )
    assert not Operation.objects.exists()


def test_run_operation_takes_no_json_that_the_api_would_refuse(workspace: Workspace) -> None:
    command = ["run_operation", "taskserv_create", "--workspace", "production"]
    with pytest.raises(CommandError, match="is not JSON"):
        call_command(*command, "--param", "name=dns", "--param", 'settings={"a": "\\ud800"}')
    assert not Operation.objects.exists()


def test_sync_inventory_reports_what_it_saw(fake_cli: Path, workspace: Workspace) -> None:
    assert run("sync_inventory") == "0 items seen, 0 removed, 0 lists not usable."


def test_sync_inventory_fails_loudly_without_a_cli(
    settings: pytest.FixtureRequest, workspace: Workspace
) -> None:
    settings.CLI_PATH = "/nonexistent"  # type: ignore[attr-defined]

    with pytest.raises(CommandError, match="not usable"):
        run("sync_inventory")


def test_the_system_acts_without_a_user(workspace: Workspace) -> None:
    make_operation(workspace, SYSTEM)
    bind(make_user(), "Viewer")

    assert AuditEvent.objects.get(event="operation.submitted").actor is None
