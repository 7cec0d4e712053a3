"""Scripts for remote servers, with an `ssh` of ours first on the PATH.

It writes down its arguments and its environment and runs the remote command on this host.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from .harness import Cli, Ended

FAKE_SSH = """#!/bin/sh
printf '%s\\n' "$@" > "$FAKE_SSH/argv"
env > "$FAKE_SSH/env"
cat > "$FAKE_SSH/stdin"
while [ "$1" != "--" ]; do shift; done
shift 2
cd "$FAKE_SSH"
head -c "${FAKE_SSH_CUT:-1000000}" stdin | sh -c "$*"
"""


def remote(tmp_path: Path, script: str, address: str = "192.0.2.9") -> Cli:
    """A CLI with server web-01 at `address`, taskserv cache and the fake ssh."""
    cli = Cli(tmp_path)
    cli.write("taskservs/cache/install.sh", script)
    program = tmp_path / "far/ssh"
    program.parent.mkdir()
    program.write_text(FAKE_SSH)
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    cli.environment.update({"FAKE_SSH": str(program.parent), "PATH": path})
    cli.create_server("web-01", "--address", address, "--port", "2201")
    return cli


def install(cli: Cli, *words: str, stdin: str = "", **more: str) -> Ended:
    return cli.run("taskserv", "create", "cache", "--server", "web-01", *words, stdin=stdin, **more)


def test_the_script_runs_on_the_server_in_batch_mode(tmp_path: Path) -> None:
    cli = remote(tmp_path, "#!/bin/sh\npwd > where\n")
    ended = install(cli)
    assert ended.exit_code == 0, ended.stderr
    assert (tmp_path / "far/where").read_text() == f"{tmp_path}/far\n"
    assert (tmp_path / "far/argv").read_text().splitlines() == [
        *("-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-p", "2201"),
        *("--", "192.0.2.9", "/bin/sh -s"),
    ]
    assert ended.result["server"] == "web-01"


def test_settings_travel_on_stdin_alone(tmp_path: Path) -> None:
    cli = remote(tmp_path, '#!/bin/sh\nprintf %s "$TASKSERV_SETTINGS" > told\n')
    settings = {"password": 'it\'s $ecret `here`\n"quoted"'}
    ended = install(cli, "--version", "7", "--settings", "-", stdin=json.dumps(settings))
    assert ended.exit_code == 0, ended.stderr
    assert json.loads((tmp_path / "far/told").read_text()) == settings
    assert "ecret" not in (tmp_path / "far/argv").read_text()
    assert "TASKSERV_" not in (tmp_path / "far/env").read_text()
    assert "ecret" not in ended.stdout + ended.stderr + json.dumps(cli.journal())


def test_the_first_line_of_the_script_chooses_the_remote_shell(tmp_path: Path) -> None:
    cli = remote(tmp_path, "#!/usr/bin/env -S bash -e\n[[ a == a ]]\nfalse\ntouch reached\n")
    assert install(cli).exit_code == 1
    assert (tmp_path / "far/argv").read_text().splitlines()[-1] == "bash -e -s"
    assert not (tmp_path / "far/reached").exists()


def test_a_script_that_is_no_shell_script_cannot_go_over_ssh(tmp_path: Path) -> None:
    cli = remote(tmp_path, "#!/usr/bin/python3\n")
    ended = install(cli)
    assert ended.exit_code == 2
    assert ended.error.endswith("its first line must name a shell, or be none.")
    assert not (tmp_path / "far/argv").exists()


def test_a_command_that_reads_its_stdin_does_not_eat_the_script(tmp_path: Path) -> None:
    cli = remote(tmp_path, "#!/bin/sh\ncat > eaten\necho after > after\n")
    assert install(cli).exit_code == 0
    assert (tmp_path / "far/eaten").read_text() == ""
    assert (tmp_path / "far/after").exists()


def test_half_a_script_does_nothing(tmp_path: Path) -> None:
    cli = remote(tmp_path, "#!/bin/sh\ntouch begun\n" + "# padding\n" * 100)
    assert install(cli, FAKE_SSH_CUT="600").exit_code != 0
    assert "touch begun" in (tmp_path / "far/stdin").read_text()[:600]
    assert not (tmp_path / "far/begun").exists()


@pytest.mark.parametrize("script", ["", "#!/bin/sh\n# nothing\n", "true"])
def test_a_script_that_does_nothing_succeeds(tmp_path: Path, script: str) -> None:
    ended = install(remote(tmp_path, script))
    assert ended.exit_code == 0, ended.stderr


def test_the_code_of_the_remote_script_is_the_code_of_the_cli(tmp_path: Path) -> None:
    cli = remote(tmp_path, "#!/bin/sh\nexit 42\n")
    ended = install(cli)
    assert ended.exit_code == 42
    assert ended.error == "cache/install.sh failed with exit code 42."


def test_a_failure_of_ssh_itself_names_the_address(tmp_path: Path) -> None:
    cli = remote(tmp_path, "#!/bin/sh\nexit 255\n")
    ended = install(cli)
    assert ended.exit_code == 255
    assert ended.error == "ssh to 192.0.2.9 port 2201 failed (exit code 255); see the log."


def test_a_forwarded_port_of_this_host_is_a_remote_server(tmp_path: Path) -> None:
    cli = remote(tmp_path, "#!/bin/sh\n", address="127.0.0.1")
    assert install(cli).exit_code == 0
    assert (tmp_path / "far/argv").exists()


@pytest.mark.parametrize("words", [(), ("--port", "2201"), ("--address", "127.0.0.1")])
def test_this_host_needs_no_ssh(tmp_path: Path, words: tuple[str, ...]) -> None:
    cli = remote(tmp_path, "#!/bin/sh\ntouch ran-here\n")
    cli.create_server("here", *words)
    assert cli.run("taskserv", "create", "cache", "--server", "here").exit_code == 0
    assert (cli.directory / "taskservs/cache/ran-here").exists()
    assert not (tmp_path / "far/argv").exists()


def test_a_server_that_ssh_cannot_reach_has_an_unreachable_taskserv(tmp_path: Path) -> None:
    cli = remote(tmp_path, "#!/bin/sh\n")
    install(cli)
    cli.write("taskservs/cache/status.sh", "#!/bin/sh\nexit 255\n")
    assert cli.run("taskserv", "status", "cache").result["status"] == "unreachable"
