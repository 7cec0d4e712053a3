"""server create, delete, list and ssh."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from .harness import Cli

RESULT_KEYS = {
    "id",
    "hostname",
    "provider",
    "plan",
    "zone",
    "ip_address",
    "port",
    "status",
    "tags",
    "created_at",
}


def test_the_words_of_the_servers_argv_table_register_a_server(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    ended = cli.run(
        *("server", "create", "web-01", "--infra", "production", "--provider", "local"),
        *("--plan", "2xCPU-4GB", "--zone", "z1", "--tags", "a,b"),
    )
    assert ended.exit_code == 0, ended.stderr
    server = ended.result
    assert server.keys() == RESULT_KEYS
    assert re.fullmatch(r"srv-[a-z0-9]{6,10}", server.pop("id"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", server.pop("created_at"))
    assert server == {
        "hostname": "web-01",
        "provider": "local",
        "plan": "2xCPU-4GB",
        "zone": "z1",
        "ip_address": "127.0.0.1",
        "port": 22,
        "status": "registered",
        "tags": ["a", "b"],
    }


def test_a_server_is_one_file_and_its_id_never_changes(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    created = cli.create_server("web-01")
    stored = json.loads((cli.directory / "servers/web-01.json").read_text())
    assert stored["id"] == created["id"]
    assert cli.run("server", "list").result == [created]


def test_without_a_name_the_next_free_one_is_taken(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.create_server("server-2")
    assert [cli.create_server()["hostname"] for _ in range(3)] == [
        "server-1",
        "server-3",
        "server-4",
    ]


def test_a_name_that_is_taken_is_a_conflict_and_changes_nothing(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.create_server("web-01")
    before = cli.tree()
    ended = cli.run("server", "create", "web-01", "--plan", "other")
    assert ended.exit_code == 4
    assert ended.error == "Server 'web-01' exists already in workspace 'production'."
    assert cli.tree() == before


def test_two_servers_cannot_be_given_the_same_address_and_port(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.create_server("web-01", "--address", "2001:DB8::5")
    ended = cli.run(
        "server", "create", "web-02", "--plan", "p", "--address", "2001:db8:0::5", "--port", "22"
    )
    assert ended.exit_code == 4
    assert ended.error == "Server 'web-01' has the address 2001:db8::5 port 22 already."


def test_the_same_address_with_another_port_is_another_server(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.create_server("web-01", "--address", "192.0.2.1")
    created = cli.create_server("web-02", "--address", "192.0.2.1", "--port", "2222")
    assert (created["ip_address"], created["port"]) == ("192.0.2.1", 2222)


def test_many_servers_without_an_address_can_stand_for_this_host(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    first, second = cli.create_server("web-01"), cli.create_server("web-02")
    assert first["ip_address"] == second["ip_address"] == "127.0.0.1"
    assert first["id"] != second["id"]
    assert cli.create_server("web-03", "--address", "127.0.0.1")["hostname"] == "web-03"


def test_another_provider_is_refused_with_what_to_configure(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    ended = cli.run("server", "create", "--provider", "upcloud", "--plan", "2xCPU-4GB")
    assert ended.exit_code == 2
    assert ended.error == (
        "provider is 'upcloud', but provisioning-local only knows provider 'local': for another"
        " one set provisioning.cli_path (or PROVISIONING_CLI_PATH) to a provisioning CLI that"
        " knows it."
    )
    assert not cli.root.exists()


def test_a_deleted_server_is_gone_and_its_name_is_free_again(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    created = cli.create_server("web-01")
    ended = cli.run("server", "delete", "web-01", "--infra", "production")
    assert ended.exit_code == 0
    assert ended.result == {**created, "status": "deleted"}
    assert cli.run("server", "list").result == []
    assert cli.create_server("web-01")["id"] != created["id"]


@pytest.mark.parametrize("verb", ["delete", "status", "ssh"])
def test_an_unknown_server_is_not_found(tmp_path: Path, verb: str) -> None:
    cli = Cli(tmp_path)
    ended = cli.run("server", verb, "web-01")
    assert ended.exit_code == 3
    assert ended.error == "There is no server 'web-01' in workspace 'production'."
    assert not cli.root.exists()


def test_a_workspace_that_was_never_used_has_no_servers(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    ended = cli.run("server", "list", "--infra", "elsewhere")
    assert (ended.exit_code, ended.result) == (0, [])
    assert not cli.root.exists()


def test_workspaces_do_not_share_servers(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.create_server("web-01")
    cli.create_server("web-01", "--infra", "staging")
    assert len(cli.run("server", "list", "--infra", "staging").result) == 1
    cli.run("server", "delete", "web-01", "--infra", "staging")
    assert len(cli.run("server", "list").result) == 1


def test_the_root_option_wins_over_the_environment(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.create_server("web-01", "--root", str(tmp_path / "other"))
    assert (tmp_path / "other/production/servers/web-01.json").is_file()
    assert not cli.root.exists()


def test_deleting_a_server_forgets_the_taskservs_that_were_on_it(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.write("taskservs/cache/install.sh", "#!/bin/sh\n")
    cli.write("taskservs/cache/uninstall.sh", "#!/bin/sh\ntouch ../../uninstalled\n")
    cli.create_server("web-01")
    cli.create_server("web-02")
    for words in (["--server", "web-01"], ["--server", "web-02"]):
        assert cli.run("taskserv", "create", "cache", *words).exit_code == 0
    assert cli.run("server", "delete", "web-01").exit_code == 0
    assert [t["server"] for t in cli.run("taskserv", "list").result] == ["web-02"]
    assert not (cli.directory / "uninstalled").exists()


def test_ssh_becomes_ssh_to_the_servers_address_and_port(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.create_server("web-01", "--address", "192.0.2.7", "--port", "2200")
    program = tmp_path / "bin/ssh"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$@"\nexit 9\n')
    program.chmod(0o755)
    ended = cli.run("server", "ssh", "web-01", PATH=f"{program.parent}:/usr/bin:/bin")
    assert ended.stdout == "-p 2200 -- 192.0.2.7\n"
    assert ended.exit_code == 9


def test_the_journal_tells_each_run_that_changed_something(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    words = ("server", "create", "web-01", "--plan", "p")
    cli.run(*words, PROVISIONING_OPERATION_ID="0192-abc")
    cli.run(*words)
    cli.run("server", "delete", "web-01")
    assert cli.journal_events() == [
        ("create server web-01", "started", None),
        ("create server web-01", "ended", 0),
        ("delete server web-01", "started", None),
        ("delete server web-01", "ended", 0),
    ]
    lines = cli.journal()
    assert [line["operation_id"] for line in lines] == ["0192-abc", "0192-abc", None, None]
    assert lines[0].keys() == {"at", "pid", "operation_id", "command", "event", "exit_code"}
    assert lines[0]["pid"] == lines[1]["pid"] != lines[2]["pid"]
