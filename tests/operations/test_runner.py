"""The runner with real processes: every way a CLI can end, and what it is given."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from accounts.actor import Actor
from accounts.models import AuditEvent, Workspace
from operations import runner
from operations.commands import Kind
from operations.models import Operation, OperationTally, Server, Taskserv
from operations.runner import call, files
from tests.factories import make_operation
from tests.operations.harness import assert_nothing_left, events_of, outcome_of
from tests.processes import starts_of

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)

SECRET = "s3cr3t-of-the-settings"


def run(workspace: Workspace, hostname: str, **fields: Any) -> Operation:
    """One server_create from submission to its end."""
    params = {"hostname": hostname, "provider": "p", "plan": "q"}
    operation = make_operation(workspace, params=params, **fields)
    runner.run_turn()
    operation.refresh_from_db()
    return operation


def run_taskserv(workspace: Workspace, name: str, **params: Any) -> Operation:
    operation = make_operation(
        workspace, kind=Kind.TASKSERV_CREATE, params={"name": name, **params}
    )
    runner.run_turn()
    operation.refresh_from_db()
    return operation


def test_an_operation_runs_and_its_result_becomes_a_server(
    journal: Path, workspace: Workspace
) -> None:
    operation = run(workspace, "ok-1")
    assert (operation.status, operation.exit_code, operation.error) == ("completed", 0, None)
    assert operation.result is not None
    assert operation.result["ip_address"] == "192.0.2.1"
    server = Server.objects.get(hostname="ok-1")
    assert (server.status, server.last_operation_id) == ("running", operation.pk)
    assert events_of(operation) == ["submitted", "started", "completed"]
    assert starts_of(journal, operation) == 1
    assert_nothing_left(operation)


def test_times_of_an_operation_are_in_order(journal: Path, workspace: Workspace) -> None:
    operation = run(workspace, "ok-1")
    assert operation.started_at
    assert operation.finished_at
    assert operation.created_at <= operation.started_at <= operation.finished_at


def test_a_failure_keeps_the_exit_code_and_the_last_sentence_without_colours(
    journal: Path, workspace: Workspace
) -> None:
    operation = run(workspace, "fail-7-x")
    assert outcome_of(operation) == ("failed", "exit", 7)
    assert operation.error == "the cloud refused fail-7-x"
    assert events_of(operation) == ["submitted", "started", "failed"]
    assert not Server.objects.exists()
    assert_nothing_left(operation)


def test_a_silent_failure_gets_a_sentence(journal: Path, workspace: Workspace) -> None:
    operation = run(workspace, "silent-1")
    assert outcome_of(operation) == ("failed", "exit", 1)
    assert operation.error == "The CLI ended with exit code 1 and said nothing."


def test_a_success_without_json_has_no_result_and_still_makes_a_server(
    journal: Path, workspace: Workspace
) -> None:
    operation = run(workspace, "plain-1")
    assert outcome_of(operation) == ("completed", None, 0)
    assert operation.result is None
    assert Server.objects.get(hostname="plain-1").status == "created"


def test_a_cli_that_reports_failure_with_exit_code_0_has_failed(
    journal: Path, workspace: Workspace
) -> None:
    operation = run(workspace, "liar-1")
    assert outcome_of(operation) == ("failed", "bad_output", 0)
    assert operation.error == "the disk is full"
    assert not Server.objects.exists()


def test_a_result_that_is_nested_too_deep_is_no_result(journal: Path, workspace: Workspace) -> None:
    operation = run(workspace, "deep-1")
    assert outcome_of(operation) == ("completed", None, 0)
    assert operation.result is None


def test_output_that_is_no_text_and_a_result_with_a_null_are_stored(
    journal: Path, workspace: Workspace
) -> None:
    operation = run(workspace, "null-1")
    assert outcome_of(operation) == ("completed", None, 0)
    assert operation.result == {"hostname": "null-1", "note": "a\ufffdb"}


def test_a_name_too_long_for_its_column_does_not_keep_the_operation_running(
    journal: Path, workspace: Workspace, settings: Any
) -> None:
    settings.CLI_COMMANDS = {"taskserv_create": ["taskserv", "create", "ok-" + "x" * 100]}
    operation = run_taskserv(workspace, "ok-1")
    assert outcome_of(operation) == ("completed", None, 0)
    assert Taskserv.objects.get().name == ("ok-" + "x" * 100)[:63]


# --- The CLI that cannot be started ------------------------------------------------------------


def test_a_missing_cli_fails_the_operation(
    journal: Path, workspace: Workspace, settings: Any
) -> None:
    settings.CLI_PATH = "/nowhere/provisioning"
    operation = run(workspace, "ok-1")
    assert outcome_of(operation) == ("failed", "spawn_failed", None)
    assert operation.error == (
        "The CLI /nowhere/provisioning does not exist: set provisioning.cli_path."
    )
    assert events_of(operation) == ["submitted", "started", "failed"]
    assert_nothing_left(operation)


def test_a_cli_that_is_not_executable_fails_the_operation(
    journal: Path, workspace: Workspace, settings: Any, tmp_path: Path
) -> None:
    script = tmp_path / "not-executable"
    script.write_text("#!/bin/sh\n")
    settings.CLI_PATH = str(script)
    operation = run(workspace, "ok-1")
    assert outcome_of(operation) == ("failed", "spawn_failed", None)
    assert operation.error == f"The CLI {script} is not executable."


def test_a_state_directory_that_cannot_be_used_fails_the_operation(
    journal: Path, workspace: Workspace
) -> None:
    operation = make_operation(workspace)
    files.directory_of(operation.pk).write_text("in the way")
    runner.run_turn()
    assert outcome_of(operation) == ("failed", "spawn_failed", None)
    assert Operation.objects.get(pk=operation.pk).argv is None, "the CLI was not called"
    files.directory_of(operation.pk).unlink()


# --- What the CLI is given ---------------------------------------------------------------------


def test_the_environment_is_exactly_what_the_contract_says(
    journal: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("JWT_SECRET", "PROVISIONING_AUTH__JWT_SECRET", "PROVISIONING_ADMIN_PASSWORD"):
        monkeypatch.setenv(name, "must-not-be-seen")
    operation = run(workspace, "env-1", actor=Actor(name="oscar", request_id="request-9"))
    assert operation.result is not None
    seen = operation.result["env"]
    given = {key: value for key, value in seen.items() if key.startswith("PROVISIONING_")}
    assert given.pop("PROVISIONING_WORKSPACE_ROOT").endswith("/workspaces")
    assert given == {
        "PROVISIONING_OPERATION_ID": str(operation.pk),
        "PROVISIONING_REQUEST_ID": "request-9",
        "PROVISIONING_WORKSPACE": "production",
        "PROVISIONING_ACTOR": "oscar",
    }
    ours = {"PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "SSH_AUTH_SOCK"}
    # PWD, OLDPWD and _ are the launching shell's; LC_CTYPE is Python's own doing.
    others = {"PWD", "OLDPWD", "_", "SHLVL", "FAKE_CLI_JOURNAL"}
    rest = {name for name in seen if name not in given and not name.startswith("LC_")}
    assert rest - ours - others == {"PROVISIONING_WORKSPACE_ROOT"}
    assert "must-not-be-seen" not in str(seen)


def test_no_variable_of_the_server_reaches_the_cli(journal: Path, workspace: Workspace) -> None:
    operation = run(workspace, "env-1")
    assert operation.result is not None
    for name in operation.result["env"]:
        assert not name.startswith(("DJANGO", "JWT", "PROMETHEUS", "PROVISIONING_DATABASE"))


def test_the_parameters_come_by_stdin_as_one_document(journal: Path, workspace: Workspace) -> None:
    operation = run(workspace, "stdin-1")
    assert operation.result is not None
    assert operation.result["stdin"] == {
        "kind": "server_create",
        "workspace": "production",
        "check_mode": False,
        "params": {"hostname": "stdin-1", "provider": "p", "plan": "q"},
    }


def test_settings_come_by_stdin_and_a_private_file_but_never_as_an_argument(
    journal: Path, workspace: Workspace
) -> None:
    operation = run_taskserv(workspace, "tell-1", settings={"greeting": SECRET})
    told = operation.result
    assert told is not None
    assert told["content"] == told["stdin"]["params"]["settings"] == {"greeting": SECRET}
    assert told["mode"] == "0o100600"
    assert SECRET not in told["cmdline"]
    assert SECRET not in told["launcher"]


def test_settings_are_gone_from_the_disk_when_the_operation_has_ended(
    journal: Path, workspace: Workspace
) -> None:
    operation = run_taskserv(workspace, "tell-1", settings={"password": SECRET})
    assert operation.result is not None
    assert not os.path.exists(operation.result["file"])
    assert_nothing_left(operation)


def test_settings_are_not_in_the_audit_trail(journal: Path, workspace: Workspace) -> None:
    operation = run_taskserv(workspace, "tell-1", settings={"password": SECRET})
    assert events_of(operation) == ["submitted", "started", "completed"]
    for event in AuditEvent.objects.all():
        assert SECRET not in str(event.data) + event.target_name


def test_the_directory_of_an_operation_is_private(journal: Path, workspace: Workspace) -> None:
    operation = make_operation(workspace)
    directory = files.prepare_directory(operation, [])
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / "input.json").stat().st_mode & 0o777 == 0o600
    files.remove_directory(operation.pk)


def test_what_a_killed_runner_left_of_an_ended_operation_is_removed_by_the_next_turn(
    journal: Path, workspace: Workspace
) -> None:
    ended = run_taskserv(workspace, "ok-1", settings={"password": SECRET})
    files.prepare_directory(ended, [])  # as if its runner had died between the end and the removal
    runner.run_turn()
    assert_nothing_left(ended)


def test_check_mode_is_an_argument_and_changes_no_inventory(
    journal: Path, workspace: Workspace
) -> None:
    operation = run(workspace, "env-1", check_mode=True)
    assert operation.result is not None
    assert operation.result["argv"][-1] == "--check"
    assert not Server.objects.exists()


def test_the_tally_counts_every_end_once(journal: Path, workspace: Workspace) -> None:
    run(workspace, "ok-1")
    run(workspace, "ok-2")
    run(workspace, "fail-1-x")
    counts = {(row.kind, row.status): row.count for row in OperationTally.objects.all()}
    assert counts == {("server_create", "completed"): 2, ("server_create", "failed"): 1}


def test_a_turn_leaves_no_runner_row(journal: Path, workspace: Workspace) -> None:
    from operations.models import Runner

    run(workspace, "ok-1")
    assert not Runner.objects.exists()


def test_how_the_cli_was_called_stays_whatever_is_configured_later(
    journal: Path, workspace: Workspace, settings: Any
) -> None:
    operation = run_taskserv(workspace, "tell-1", server=SECRET, settings={"password": SECRET})
    settings.CLI_PATH = "/somewhere/else"

    assert operation.argv is not None
    program, *words = operation.argv
    assert program != "/somewhere/else"
    assert words == [
        *("taskserv", "create", "tell-1", "--infra", workspace.name, "--server", "*" * len(SECRET)),
        *("--settings", operation.result["file"]),
    ]
    assert call.masked_argv(operation) == operation.argv


def test_what_was_never_started_was_not_called(workspace: Workspace, settings: Any) -> None:
    settings.CLI_PATH = "/nothing/there"

    operation = run(workspace, "ok-1")

    assert (operation.reason, operation.argv) == ("spawn_failed", None)


def test_a_number_that_the_database_writes_in_full_reaches_the_cli(
    journal: Path, workspace: Workspace
) -> None:
    operation = run_taskserv(workspace, "tell-1", settings={"a": 1e30})

    assert operation.status == "completed"
    assert operation.result["content"]["a"] == pytest.approx(1e30)
