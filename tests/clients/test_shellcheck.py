"""The shell of the clients, as shellcheck sees it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.clients.shell import PROGRAM, SHELLS
from tests.clients.test_github_action import STEP

needs_shellcheck = pytest.mark.skipif(
    shutil.which("shellcheck") is None and not os.environ.get("CI"),  # in CI it must run
    reason="THE CLIENT IS NOT CHECKED: no shellcheck on the PATH (Debian's package shellcheck)",
)


def complaints(*arguments: str) -> str:
    return subprocess.run(["shellcheck", *arguments], capture_output=True, text=True).stdout


@needs_shellcheck
def test_shellcheck_has_nothing_to_say_about_the_client() -> None:
    assert complaints("--shell=sh", str(PROGRAM)) == ""


@needs_shellcheck
def test_shellcheck_has_nothing_to_say_about_the_step_of_the_action(tmp_path: Path) -> None:
    script = tmp_path / "step.sh"
    script.write_text(STEP["run"])
    # The words of COMMAND are to be split.
    assert complaints("--shell=bash", "--exclude=SC2086", str(script)) == ""


def test_every_shell_can_read_it(shell: str) -> None:
    subprocess.run([*SHELLS[shell], "-n", str(PROGRAM)], check=True)
