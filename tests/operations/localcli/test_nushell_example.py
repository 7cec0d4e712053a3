"""The example in Nushell keeps the same contract; a real `nu` runs it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from .harness import REPOSITORY, Ended

EXAMPLE = REPOSITORY / "tests/operations/data/provisioning.nu"
TOOLS = REPOSITORY / ".tools/node_modules/@nushell"


def find_nu() -> str | None:
    named = os.environ.get("PROVISIONING_NU") or shutil.which("nu")
    return named or next((str(path) for path in sorted(TOOLS.glob("*/bin/nu"))), None)


NU = find_nu()
pytestmark = pytest.mark.skipif(
    NU is None and not os.environ.get("CI"),  # in CI it must run: without nu the tests fail there
    reason="NUSHELL IS NOT TESTED: no nu in $PROVISIONING_NU, on the PATH or in .tools"
    " (npm install --prefix .tools nushell)",
)


def nu(tmp_path: Path, *words: str) -> Ended:
    environment = {**os.environ, "PROVISIONING_WORKSPACE_ROOT": str(tmp_path / "workspaces")}
    process = subprocess.run(
        [str(NU), "--no-std-lib", "-n", str(EXAMPLE), *words],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        stdin=subprocess.DEVNULL,
        cwd=tmp_path,
    )
    return Ended(process.returncode, process.stdout, process.stderr)


def create(tmp_path: Path, *words: str) -> Ended:
    common = ("--infra", "production", "--provider", "local", "--plan", "2xCPU-4GB")
    return nu(tmp_path, "server", "create", *words, *common)


def test_the_example_stays_short() -> None:
    assert len(EXAMPLE.read_text().splitlines()) < 120


def test_version(tmp_path: Path) -> None:
    assert nu(tmp_path, "version").result == {"name": "provisioning-nu-example", "version": "0.1.0"}


def test_a_server_is_created_listed_and_deleted(tmp_path: Path) -> None:
    server = create(tmp_path, "web-01", "--zone", "z1", "--tags", "a,b").result
    assert re.fullmatch(r"srv-[a-z0-9]{6,10}", server["id"])
    assert (server["hostname"], server["zone"], server["tags"]) == ("web-01", "z1", ["a", "b"])
    assert nu(tmp_path, "server", "list", "--infra", "production").result == [server]
    ended = nu(tmp_path, "server", "delete", "web-01", "--infra", "production")
    assert ended.result == {**server, "status": "deleted"}
    assert nu(tmp_path, "server", "list", "--infra", "production").result == []


def test_progress_stays_off_stdout(tmp_path: Path) -> None:
    ended = create(tmp_path, "web-01")
    assert ended.stdout.count("\n") == 1
    assert "Registering server 'web-01'." in ended.stderr


def test_without_a_name_the_next_free_one_is_taken(tmp_path: Path) -> None:
    assert [create(tmp_path).result["hostname"] for _ in range(2)] == ["server-1", "server-2"]


def test_failures_have_the_agreed_shape_and_codes(tmp_path: Path) -> None:
    create(tmp_path, "web-01")
    taken = create(tmp_path, "web-01")
    assert (taken.exit_code, taken.error) == (
        4,
        "Server 'web-01' exists already in workspace 'production'.",
    )
    unknown = nu(tmp_path, "server", "delete", "web-09", "--infra", "production")
    assert unknown.exit_code == 3
    bad = create(tmp_path, "../web")
    assert bad.exit_code == 2
    assert bad.error.startswith("hostname is '../web', but must be")
    words = ("server", "create", "--infra", "production", "--provider", "upcloud", "--plan", "p")
    assert nu(tmp_path, *words).exit_code == 2


def test_a_check_changes_nothing(tmp_path: Path) -> None:
    assert create(tmp_path, "web-01", "--check").result["status"] == "checked"
    assert not (tmp_path / "workspaces").exists()


def test_settings_of_a_taskserv_are_read_and_not_repeated(tmp_path: Path) -> None:
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"password": "s3cr3t"}))
    options = ("--server", "web-01", "--version", "7", "--settings", str(settings))
    ended = nu(tmp_path, "taskserv", "create", "cache", "--infra", "production", *options)
    assert ended.exit_code == 0, ended.stderr
    assert ended.result["status"] == "installed"
    assert (ended.result["server"], ended.result["version"]) == ("web-01", "7")
    assert "s3cr3t" not in ended.stdout + ended.stderr
