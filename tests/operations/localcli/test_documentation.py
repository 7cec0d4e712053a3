"""docs/cli.md: what it shows can be typed, and does what it says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from .harness import REPOSITORY, Cli

PAGE = (REPOSITORY / "docs/cli.md").read_text()


def block(language: str, after: str) -> str:
    """The first fenced block of `language` after the text `after`."""
    match = re.search(rf"```{language}\n(.*?)```", PAGE[PAGE.index(after) :], re.DOTALL)
    assert match
    return match[1]


def test_the_example_can_be_typed(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    program = tmp_path / "bin/provisioning-local"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m operations.localcli "$@"\n')
    program.chmod(0o755)
    example = block("console", "### An example to type")
    is_output = re.compile(r"(?m)^(ID|tsk-).*\n")
    del cli.environment["PROVISIONING_WORKSPACE_ROOT"], cli.environment["PROVISIONING_WORKSPACE"]
    path = f"{program.parent}:{cli.environment['PATH']}"
    ended = subprocess.run(
        ["/bin/sh", "-ex", "-c", re.sub(r"(?m)^\$ ", "", is_output.sub("", example))],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**cli.environment, "PATH": path},
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "Installing greeting 1.0 on web-01" in ended.stderr
    told = cli.directory / "taskservs/greeting/greeting.json"
    assert json.loads(told.read_text()) == {"text": "hello"}
    shown = re.sub(r"tsk-\w+|\S+Z\b", "X", "".join(m[0] for m in is_output.finditer(example)))
    assert (
        shown.split()
        == re.sub(
            r"tsk-\w+|\S+Z\b", "X", "".join(m[0] for m in is_output.finditer(ended.stdout))
        ).split()
    )


def test_the_batch_file_runs(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.write("taskservs/greeting/install.sh", "#!/bin/sh\n")
    ended = cli.run("batch", "submit", "-", stdin=block("json", "**Batches.**"))
    assert ended.exit_code == 0, ended.stderr


def test_the_shown_failure_is_what_a_failure_looks_like(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.create_server("web-01")
    shown = block("json", "A failure prints")
    assert cli.run("server", "create", "web-01", "--plan", "p").stdout == shown


def test_the_shown_journal_line_has_the_keys_of_a_real_one(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.create_server("web-01")
    shown = json.loads(block("json", "### The journal"))
    real = cli.journal()[0]
    assert shown.keys() == real.keys()
    assert shown["command"] == real["command"]
