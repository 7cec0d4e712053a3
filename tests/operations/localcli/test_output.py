"""What stands on stdout, in both forms, and what the program needs to start."""

from __future__ import annotations

import os
import pty
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from .harness import REPOSITORY, Cli, Ended


def test_version_tells_name_and_version(tmp_path: Path) -> None:
    ended = Cli(tmp_path).run("version")
    assert ended.result == {"name": "provisioning-local", "version": "0.1.0"}
    text = Cli(tmp_path).run("version", "--out", "text")
    assert text.stdout == "provisioning-local 0.1.0\n"
    assert Cli(tmp_path).run("--version").stdout == "provisioning-local 0.1.0\n"


def test_a_pipe_gets_json_and_a_terminal_gets_text(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    assert cli.run("version").stdout.startswith("{")
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "operations.localcli", "version"]
    subprocess.run(words, stdout=theirs, env=cli.environment, check=True)
    os.close(theirs)
    assert os.read(ours, 1000) == b"provisioning-local 0.1.0\r\n"
    os.close(ours)


def test_a_list_as_text_is_a_table(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.create_server("web-01", "--tags", "a,b")
    cli.create_server("a-longer-name", "--zone", "z1")
    head, first, second = cli.run("server", "list", "--out", "text").stdout.splitlines()
    assert head.split()[:5] == ["ID", "HOSTNAME", "PROVIDER", "PLAN", "ZONE"]
    assert first[head.index("HOSTNAME") :].startswith("a-longer-name  local")
    assert second[head.index("ZONE") :].startswith("-")
    assert second[head.index("TAGS") :].startswith("a,b")
    assert cli.run("server", "list", "--infra", "none", "--out=text").stdout == "(none)\n"


def test_an_object_as_text_is_a_line_for_each_key(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    stdout = cli.run("server", "create", "web-01", "--plan", "p", "--out", "text").stdout
    assert "hostname: web-01\n" in stdout
    assert "zone: -\n" in stdout


def test_a_batch_as_text_shows_its_steps_as_a_table(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    batch = '{"steps": [{"id": "first", "kind": "server_create", "params": {"plan": "p"}}]}'
    stdout = cli.run("batch", "submit", "-", "--out", "text", stdin=batch).stdout
    assert "status: completed\n" in stdout
    assert stdout.splitlines()[-1].split()[:3] == ["first", "server_create", "completed"]
    assert "first" in cli.run("batch", "list", "--out", "text").stdout


def test_a_failure_as_text_leaves_stdout_empty(tmp_path: Path) -> None:
    ended = Cli(tmp_path).run("server", "delete", "web-01", "--out", "text")
    assert (ended.exit_code, ended.stdout) == (3, "")
    assert ended.stderr == (
        "provisioning-local: There is no server 'web-01' in workspace 'production'.\n"
    )


def test_the_last_line_of_stdout_is_the_result_and_there_is_no_other(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    ended = cli.run("server", "create", "web-01", "--plan", "p")
    assert ended.stdout.count("\n") == 1
    assert "Registered server 'web-01'" in ended.stderr


def run_with_streams(cli: Cli, redirections: str) -> Ended:
    """A failing run whose streams are what the shell makes of `redirections`."""
    words = f"{shlex.quote(sys.executable)} -m operations.localcli server delete web-01"
    process = subprocess.run(
        ["/bin/sh", "-c", f"{words} {redirections}"],
        capture_output=True,
        text=True,
        check=False,
        env=cli.environment,
    )
    return Ended(process.returncode, process.stdout, process.stderr)


@pytest.mark.parametrize("redirections", [">/dev/full", ">&-", "<&- >&- 2>&-"])
def test_a_stdout_that_takes_nothing_changes_no_exit_code_and_is_no_traceback(
    tmp_path: Path, redirections: str
) -> None:
    ended = run_with_streams(Cli(tmp_path), redirections)
    assert ended.exit_code == 3
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr


@pytest.mark.parametrize("redirections", ["2>/dev/full", "2>&-", "<&-"])
def test_a_stderr_that_takes_nothing_stops_no_work(tmp_path: Path, redirections: str) -> None:
    ended = run_with_streams(Cli(tmp_path), redirections)
    assert ended.error == "There is no server 'web-01' in workspace 'production'."


def test_a_success_that_cannot_be_told_is_no_success(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    read_end, write_end = os.pipe()
    os.close(read_end)
    words = [sys.executable, "-m", "operations.localcli", "version"]
    process = subprocess.run(
        words, stdout=write_end, stderr=subprocess.PIPE, text=True, env=cli.environment, check=False
    )
    os.close(write_end)
    assert process.returncode == 1
    assert process.stderr == (
        "provisioning-local: The result could not be written to stdout: [Errno 32] Broken pipe.\n"
    )


def test_help_is_printed_for_every_level(tmp_path: Path) -> None:
    for words in ([], ["server"], ["server", "create"], ["batch", "submit"], ["version"]):
        ended = Cli(tmp_path).run(*words, "--help")
        assert ended.exit_code == 0
        assert ended.stdout.startswith("usage: provisioning-local")


def test_the_program_needs_the_standard_library_and_its_own_package_alone(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "from operations.localcli import __main__, batch_commands, kinds;"
        "own = {n for n in sys.modules if n.startswith('operations')};"
        "roots = {n.partition('.')[0] for n in sys.modules} - set(sys.stdlib_module_names);"
        "print(sorted(roots - {'operations', '__main__', 'sitecustomize', '__mp_main__'}));"
        "print(sorted(n for n in own if not n.startswith('operations.localcli')))"
    )
    # -I and -S: neither the environment nor site-packages can lend it anything.
    words = [sys.executable, "-I", "-S", "-c", code, str(REPOSITORY)]
    process = subprocess.run(words, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert process.stdout.splitlines() == ["[]", "['operations']"]


def test_version_starts_without_the_modules_of_the_other_commands(tmp_path: Path) -> None:
    code = (
        "import sys; from operations.localcli.__main__ import main; main(['version']);"
        "heavy = {'subprocess', 'socket', 'asyncio', 'ssl', 'http', 'dataclasses', 'tomllib'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    words = [sys.executable, "-S", "-c", code]
    environment = Cli(tmp_path).environment
    process = subprocess.run(words, capture_output=True, text=True, check=True, env=environment)
    assert process.stdout.splitlines()[-1] == "[]"
