"""taskserv and cluster: scripts that run on this host."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import pytest

from .harness import Cli, Ended, finish, wait_until

NOUNS = [("taskserv", "taskservs", "tsk"), ("cluster", "clusters", "cls")]


def install(cli: Cli, *words: str, noun: str = "taskserv", stdin: str = "") -> Ended:
    return cli.run(noun, "create", "cache", "--infra", "production", *words, stdin=stdin)


@pytest.mark.parametrize(("noun", "directory", "prefix"), NOUNS)
def test_install_sh_runs_and_the_result_says_so(
    tmp_path: Path, noun: str, directory: str, prefix: str
) -> None:
    cli = Cli(tmp_path)
    cli.write(f"{directory}/cache/install.sh", "#!/bin/sh\npwd > ran\n")
    ended = install(cli, "--version", "7.2", noun=noun)
    assert ended.exit_code == 0, ended.stderr
    result = ended.result
    assert (cli.directory / directory / "cache/ran").read_text() == (
        f"{cli.directory}/{directory}/cache\n"
    )
    assert re.fullmatch(rf"{prefix}-[a-z0-9]{{6,10}}", result["id"])
    assert (result["name"], result["version"], result["status"]) == ("cache", "7.2", "installed")
    assert cli.run(noun, "list", "--infra", "production").result == [result]
    server_key = {"server"} if noun == "taskserv" else set()
    assert result.keys() == {"id", "name", "version", "status", "created_at"} | server_key


def test_the_script_is_told_everything_by_its_environment(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.write("taskservs/cache/install.sh", "#!/bin/sh\nenv -0 > told\n")
    cli.create_server("web-01")
    settings = {"greeting": 'it\'s "so"\n$HOME', "n": [1, None]}
    install(
        cli, "--server", "web-01", "--version", "7", "--settings", "-", stdin=json.dumps(settings)
    )
    told = dict(
        pair.split("=", 1)
        for pair in (cli.directory / "taskservs/cache/told").read_text().split("\0")
        if pair
    )
    assert told["TASKSERV_NAME"] == "cache"
    assert told["TASKSERV_VERSION"] == "7"
    assert told["TASKSERV_SERVER"] == "web-01"
    assert told["PROVISIONING_WORKSPACE"] == "production"
    assert json.loads(told["TASKSERV_SETTINGS"]) == settings


def test_a_cluster_script_is_told_the_servers_of_the_workspace(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    script = '#!/bin/sh\nprintf %s "$CLUSTER_SERVERS" > told\n'
    cli.write("clusters/cache/install.sh", script)
    server = cli.create_server("web-01", "--address", "192.0.2.1")
    assert install(cli, noun="cluster").exit_code == 0
    assert json.loads((cli.directory / "clusters/cache/told").read_text()) == [server]


@pytest.mark.parametrize("way", ["stdin", "json file", "toml file"])
def test_settings_come_from_stdin_or_from_a_file(tmp_path: Path, way: str) -> None:
    cli = Cli(tmp_path)
    script = '#!/bin/sh\nprintf %s "$TASKSERV_SETTINGS" > told\n'
    cli.write("taskservs/cache/install.sh", script)
    (tmp_path / "s.json").write_text('{"a": "b"}')
    (tmp_path / "s.toml").write_text('a = "b"\n')
    source = {"stdin": "-", "json file": "s.json", "toml file": "s.toml"}[way]
    ended = install(cli, "--settings", source, stdin='{"a": "b"}')
    assert ended.exit_code == 0, ended.stderr
    assert json.loads((cli.directory / "taskservs/cache/told").read_text()) == {"a": "b"}


@pytest.mark.parametrize("way", ["stdin", "file"])
def test_a_secret_setting_is_in_no_argv_no_output_and_no_file_of_ours(
    tmp_path: Path, way: str
) -> None:
    cli = Cli(tmp_path)
    secret = "s3cr3t-of-the-cache"
    # The script looks from within at every process there is: itself and the CLI included.
    cli.write(
        "taskservs/cache/install.sh",
        "#!/bin/sh\n"
        'cat /proc/[0-9]*/cmdline 2>/dev/null > "$SEEN"\n'
        'printf %s "$TASKSERV_SETTINGS" > "$GIVEN"\n',
    )
    (tmp_path / "settings.json").write_text(json.dumps({"password": secret}))
    seen, given = tmp_path / "seen", tmp_path / "given"
    ended = cli.run(
        *("taskserv", "create", "cache", "--settings"),
        "-" if way == "stdin" else str(tmp_path / "settings.json"),
        stdin=json.dumps({"password": secret}),
        SEEN=str(seen),
        GIVEN=str(given),
    )
    assert ended.exit_code == 0, ended.stderr
    assert json.loads(given.read_text()) == {"password": secret}
    assert b"operations.localcli\0taskserv\0create" in seen.read_bytes()
    assert b"install.sh" in seen.read_bytes()
    assert secret.encode() not in seen.read_bytes()
    assert secret not in ended.stdout + ended.stderr
    assert not [name for name, content in cli.tree().items() if secret.encode() in content]


def test_what_the_script_prints_goes_to_stderr_and_stdout_stays_one_document(
    tmp_path: Path,
) -> None:
    cli = Cli(tmp_path)
    cli.write("taskservs/cache/install.sh", "#!/bin/sh\necho to-out\necho to-err >&2\n")
    ended = install(cli)
    assert "to-out" in ended.stderr
    assert "to-err" in ended.stderr
    assert ended.result["status"] == "installed"


def test_a_script_without_a_mode_bit_or_a_first_line_is_run_by_sh(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.write("taskservs/cache/install.sh", "touch ran\n").chmod(0o644)
    assert install(cli).exit_code == 0
    cli.write("clusters/cache/install.sh", "touch ran\n")
    assert install(cli, noun="cluster").exit_code == 0
    assert (cli.directory / "clusters/cache/ran").exists()


@pytest.mark.parametrize(("body", "code"), [("exit 7", 7), ("kill -9 $$", 137)])
def test_the_code_of_a_failing_script_is_the_code_of_the_cli(
    tmp_path: Path, body: str, code: int
) -> None:
    cli = Cli(tmp_path)
    cli.write("taskservs/cache/install.sh", f"#!/bin/sh\n{body}\n")
    ended = install(cli)
    assert ended.exit_code == code
    assert ended.error == f"cache/install.sh failed with exit code {code}."
    assert cli.journal_events()[-1] == ("create taskserv cache", "ended", code)


def test_a_failed_installation_is_listed_as_failed_and_can_be_tried_again(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.write("taskservs/cache/install.sh", "#!/bin/sh\nexit 1\n")
    install(cli)
    [failed] = cli.run("taskserv", "list").result
    assert failed["status"] == "failed"
    cli.write("taskservs/cache/install.sh", "#!/bin/sh\n")
    assert install(cli).result["id"] == failed["id"]
    assert [t["status"] for t in cli.run("taskserv", "list").result] == ["installed"]


def test_an_installed_taskserv_is_not_installed_twice(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.write("taskservs/cache/install.sh", "#!/bin/sh\necho x >> runs\n")
    cli.create_server("web-01")
    install(cli, "--server", "web-01")
    ended = install(cli, "--server", "web-01")
    assert ended.exit_code == 4
    assert ended.error == "taskserv 'cache' is installed already on 'web-01': delete it first."
    assert (cli.directory / "taskservs/cache/runs").read_text() == "x\n"


@pytest.mark.parametrize(("noun", "directory"), [n[:2] for n in NOUNS])
def test_without_a_script_there_is_one_sentence_that_says_where_it_belongs(
    tmp_path: Path, noun: str, directory: str
) -> None:
    cli = Cli(tmp_path)
    ended = install(cli, noun=noun)
    assert ended.exit_code == 3
    assert ended.error == (
        f"There is no {directory}/cache/install.sh in {cli.directory}: write it first."
    )
    assert not cli.root.exists()


def test_a_script_whose_interpreter_is_missing_fails_with_a_sentence(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.write("taskservs/cache/install.sh", "#!/no/such/shell\n")
    ended = install(cli)
    assert ended.exit_code == 127
    assert ended.error.endswith("cannot be started: it or its interpreter is missing.")


def test_an_unknown_server_is_refused_before_anything_runs(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.write("taskservs/cache/install.sh", "#!/bin/sh\ntouch ran\n")
    assert install(cli, "--server", "web-09").exit_code == 3
    assert cli.tree().keys() == {"production/taskservs/cache/install.sh"}


@pytest.mark.parametrize(("noun", "directory"), [n[:2] for n in NOUNS])
def test_delete_runs_uninstall_sh_and_drops_the_record(
    tmp_path: Path, noun: str, directory: str
) -> None:
    cli = Cli(tmp_path)
    cli.write(f"{directory}/cache/install.sh", "#!/bin/sh\n")
    script = f'#!/bin/sh\necho "${noun.upper()}_VERSION" > removed\n'
    cli.write(f"{directory}/cache/uninstall.sh", script)
    created = install(cli, "--version", "7", noun=noun).result
    ended = cli.run(noun, "delete", "cache", "--infra", "production")
    assert ended.exit_code == 0, ended.stderr
    assert ended.result == {**created, "status": "deleted"}
    assert (cli.directory / directory / "cache/removed").read_text() == "7\n"
    assert cli.run(noun, "list").result == []
    assert cli.run(noun, "delete", "cache").exit_code == 3


def test_a_failing_uninstall_keeps_the_record_and_its_own_code(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.write("taskservs/cache/install.sh", "#!/bin/sh\n")
    cli.write("taskservs/cache/uninstall.sh", "#!/bin/sh\nexit 12\n")
    install(cli)
    assert cli.run("taskserv", "delete", "cache").exit_code == 12
    assert [t["status"] for t in cli.run("taskserv", "list").result] == ["failed"]


def test_without_uninstall_sh_only_the_record_goes(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.write("taskservs/cache/install.sh", "#!/bin/sh\n")
    install(cli)
    assert cli.run("taskserv", "delete", "cache").exit_code == 0
    assert cli.run("taskserv", "list").result == []


def test_the_only_installation_need_not_be_named_by_its_server(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.write("taskservs/cache/install.sh", "#!/bin/sh\n")
    for host in ("web-01", "web-02"):
        cli.create_server(host)
        install(cli, "--server", host)
    ended = cli.run("taskserv", "delete", "cache")
    assert ended.exit_code == 2
    assert ended.error == "taskserv 'cache' is installed on web-01, web-02: say which by --server."
    assert cli.run("taskserv", "delete", "cache", "--server", "web-02").exit_code == 0
    assert cli.run("taskserv", "delete", "cache").result["server"] == "web-01"


@pytest.mark.parametrize(("exit_code", "status"), [(0, "running"), (3, "stopped")])
def test_status_asks_status_sh(tmp_path: Path, exit_code: int, status: str) -> None:
    cli = Cli(tmp_path)
    cli.write("taskservs/cache/install.sh", "#!/bin/sh\n")
    cli.write("taskservs/cache/status.sh", f"#!/bin/sh\nexit {exit_code}\n")
    install(cli)
    ended = cli.run("taskserv", "status", "cache", "--infra", "production")
    assert (ended.exit_code, ended.result["status"]) == (0, status)
    assert ended.result["observed_at"].endswith("Z")


def test_status_without_a_script_is_the_stored_one(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.write("clusters/cache/install.sh", "#!/bin/sh\n")
    install(cli, noun="cluster")
    assert cli.run("cluster", "status", "cache").result["status"] == "installed"
    assert cli.run("cluster", "status", "other").exit_code == 3


def test_while_a_script_runs_the_same_thing_and_its_server_are_in_use(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.write(
        "taskservs/cache/install.sh",
        "#!/bin/sh\ntouch ready\nwhile [ ! -e go ]; do sleep 0.02; done\n",
    )
    cli.create_server("web-01")
    process = cli.start("taskserv", "create", "cache", "--server", "web-01")
    ready = cli.directory / "taskservs/cache/ready"
    wait_until(ready.exists, "the script runs")
    assert [t["status"] for t in cli.run("taskserv", "list").result] == ["installing"]
    for words in (
        ("taskserv", "create", "cache", "--server", "web-01"),
        ("taskserv", "delete", "cache", "--server", "web-01"),
        ("server", "delete", "web-01"),
    ):
        assert cli.run(*words).exit_code == 4
    ready.with_name("go").touch()
    assert finish(process).exit_code == 0
    assert cli.run("server", "delete", "web-01").exit_code == 0


def test_a_run_that_was_killed_leaves_a_failed_installation_that_can_be_repeated(
    tmp_path: Path,
) -> None:
    cli = Cli(tmp_path)
    cli.write(
        "taskservs/cache/install.sh",
        "#!/bin/sh\necho $$ > pid.new; mv pid.new pid\nexec sleep 60\n",
    )
    process = cli.start("taskserv", "create", "cache")
    pid_file = cli.directory / "taskservs/cache/pid"
    wait_until(pid_file.exists, "the script runs")
    process.kill()
    process.wait()
    os.kill(int(pid_file.read_text()), signal.SIGKILL)  # it outlives its killed parent
    finish(process)
    assert [t["status"] for t in cli.run("taskserv", "list").result] == ["failed"]
    assert [event for _, event, _ in cli.journal_events()] == ["started"]
    cli.write("taskservs/cache/install.sh", "#!/bin/sh\n")
    assert install(cli).result["status"] == "installed"
