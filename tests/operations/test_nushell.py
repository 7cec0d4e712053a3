"""The server runs a `.nu` script by the real Nushell."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from accounts.models import Workspace
from operations import runner, sync
from operations.commands import Kind
from operations.models import Operation, Server, Taskserv
from tests.factories import make_operation
from tests.operations.harness import assert_nothing_left, log_of, outcome_of

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)

REPOSITORY = Path(__file__).parents[2]
EXAMPLE = REPOSITORY / "tests" / "operations" / "data" / "provisioning.nu"


def find_nu() -> Path | None:
    named = os.environ.get("PROVISIONING_NU") or shutil.which("nu")
    if named:
        return Path(named)
    return next(iter(REPOSITORY.glob(".tools/node_modules/@nushell/*/bin/nu")), None)


@pytest.fixture
def nushell(settings: Any, tmp_path: Path) -> None:
    """The example script is the CLI; `nu` is on the PATH."""
    nu = find_nu()
    if nu is None:
        problem = (
            "NUSHELL IS NOT TESTED: no nu in $PROVISIONING_NU, on the PATH or in .tools "
            "(npm install --prefix .tools nushell)"
        )
        if os.environ.get("CI"):
            pytest.fail(problem)
        pytest.skip(problem)
    directory = tmp_path / "bin"
    directory.mkdir()
    (directory / "nu").symlink_to(nu.absolute())
    settings.CLI_PATH = str(EXAMPLE)
    settings.WORKSPACE_ROOT = tmp_path / "workspaces"
    settings.STATUS_TIMEOUT_SECONDS = 20
    settings.CLI_ENVIRONMENT = {"PATH": f"{directory}:{os.environ['PATH']}", "HOME": str(tmp_path)}


def run(workspace: Workspace, kind: Kind, **params: Any) -> Operation:
    operation = make_operation(workspace, kind=kind, params=params)
    runner.run_turn()
    operation.refresh_from_db()
    return operation


def create(workspace: Workspace, hostname: str, provider: str = "local") -> Operation:
    return run(
        workspace, Kind.SERVER_CREATE, hostname=hostname, provider=provider, plan="2xCPU-4GB"
    )


def test_a_server_is_created_by_a_nushell_script(nushell: None, workspace: Workspace) -> None:
    operation = create(workspace, "web-01")
    assert outcome_of(operation) == ("completed", None, 0), operation.error
    server = Server.objects.get()
    assert (server.hostname, server.status, server.ip_address) == (
        "web-01",
        "registered",
        "127.0.0.1",
    )
    assert server.uid == operation.result["id"]
    assert log_of(operation, "stderr") == b"Registering server 'web-01'.\n"
    assert_nothing_left(operation)


def test_the_sentence_and_exit_code_of_a_nushell_script_are_kept(
    nushell: None, workspace: Workspace
) -> None:
    operation = create(workspace, "web-01", provider="upcloud")
    assert outcome_of(operation) == ("failed", "exit", 2)
    assert operation.error == "provider is 'upcloud', but this CLI only knows provider 'local'."


def test_a_nushell_script_reads_its_settings_file(nushell: None, workspace: Workspace) -> None:
    operation = run(
        workspace, Kind.TASKSERV_CREATE, name="cache", settings={"password": "s3cr3t", "size": 1}
    )
    assert outcome_of(operation) == ("completed", None, 0), operation.error
    assert Taskserv.objects.get().status == "installed"
    assert log_of(operation, "stderr") == b"Installing cache with 2 settings.\n"
    assert b"s3cr3t" not in log_of(operation)


def test_what_a_nushell_script_lists_is_the_inventory(nushell: None, workspace: Workspace) -> None:
    create(workspace, "web-01")
    Server.objects.all().delete()
    assert sync.sync_all()["seen"] >= 1
    assert Server.objects.get().hostname == "web-01"


def test_a_script_without_nu_is_a_plain_failure(
    workspace: Workspace, settings: Any, tmp_path: Path
) -> None:
    settings.CLI_PATH = str(EXAMPLE)
    settings.CLI_ENVIRONMENT = {"PATH": str(tmp_path)}
    operation = create(workspace, "web-01")
    assert outcome_of(operation) == ("failed", "spawn_failed", None)
    assert operation.error == "The CLI is a Nushell script, but there is no nu on the PATH."
