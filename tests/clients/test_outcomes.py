"""`clients/provisioning.sh`: what it writes, and how it exits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.clients.shell import PROGRAM, Client, Door, body_of, last_operation, log_of
from tests.live.harness import LiveServer
from tests.processes import starts_of


def test_a_completed_operation_is_shown_and_exits_0(client: Client, shell: str) -> None:
    ended = client.create("ok-shell", shell=shell)
    operation = last_operation(client.server)
    assert ended.code == 0, ended.err
    assert ended.out == log_of(client.server, operation["id"], "stdout")
    assert ended.out.startswith(b"working on ok-shell\n")
    assert ended.err.splitlines() == [
        f"provisioning: Operation {operation['id']}",
        f"provisioning: Operation {operation['id']}: completed",
    ]
    assert list(client.temporary.iterdir()) == []


def test_a_failed_operation_exits_with_the_code_of_the_cli(client: Client, shell: str) -> None:
    ended = client.create("fail-7-x", shell=shell)
    assert (ended.code, ended.out) == (7, b"half way\n")
    assert "the cloud refused fail-7-x" in ended.err
    assert "failed (exit): " in ended.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("hostname", "code", "reason"),
    [
        ("silent-x", 1, "exit"),
        ("liar-x", 1, "bad_output"),
        ("kill-x", 125, "lost"),
        ("fail-255-x", 255, "exit"),
    ],
)
def test_how_an_operation_failed_can_be_told_by_the_exit_code(
    client: Client, hostname: str, code: int, reason: str
) -> None:
    ended = client.create(hostname)
    assert ended.code == code, ended.err
    assert last_operation(client.server)["reason"] == reason
    assert f"failed ({reason})" in ended.err


def test_an_operation_that_ran_out_of_its_time_exits_124(
    own_server: LiveServer, tmp_path: Path
) -> None:
    own_server.environment["PROVISIONING_PROVISIONING__TIMEOUT_SECONDS"] = "1"
    own_server.start()
    ended = Client(own_server, tmp_path).create("polite-x")
    assert (ended.code, ended.out) == (124, b"hello\ngoodbye\n")
    assert last_operation(own_server)["reason"] == "timed_out"


def test_both_streams_come_byte_for_byte(client: Client, shell: str) -> None:
    ended = client.create("big-3-x", shell=shell)
    operation = last_operation(client.server)
    assert ended.code == 0
    assert ended.out == log_of(client.server, operation["id"], "stdout")
    assert len(ended.out) == 3 * 1024 * 1024
    assert not ended.out.endswith(b"\n")
    assert log_of(client.server, operation["id"], "stderr").decode() in ended.err


def test_bytes_that_are_no_text_are_written_as_they_are(client: Client, shell: str) -> None:
    ended = client.create("null-x", shell=shell)
    assert ended.code == 0
    assert ended.out.startswith(b"\x00\xff\xfe no text\n{")
    assert ended.out == log_of(client.server, last_operation(client.server)["id"], "stdout")


@pytest.mark.parametrize("hostname", ["deep-x", "env-x"])
def test_a_result_of_any_shape_confuses_nobody(client: Client, hostname: str, shell: str) -> None:
    assert client.create(hostname, shell=shell).code == 0


def test_a_body_comes_from_a_file_or_from_standard_input(client: Client, shell: str) -> None:
    (client.root / "body.json").write_text(body_of("ok-file"))
    assert client.run("servers", "create", "@body.json", shell=shell).code == 0
    assert last_operation(client.server)["parameters"]["hostname"] == "ok-file"
    ended = client.run("servers", "create", "-", stdin=body_of("ok-stdin").encode(), shell=shell)
    assert ended.code == 0
    assert last_operation(client.server)["parameters"]["hostname"] == "ok-stdin"


@pytest.mark.parametrize("noun", ["taskserv", "cluster"])
def test_taskservs_and_clusters_are_created_and_deleted(client: Client, noun: str) -> None:
    body = json.dumps({"workspace": "production", "name": f"ok-{noun}"})
    assert client.run(f"{noun}s", "create", body).code == 0
    [item] = client.server.get(f"/v1/{noun}s", name=f"ok-{noun}")
    assert client.run(f"{noun}s", "delete", item["id"]).code == 0
    assert client.server.get(f"/v1/{noun}s", name=f"ok-{noun}") == []


def test_a_server_is_deleted_by_its_id(client: Client) -> None:
    assert client.create("ok-gone").code == 0
    [item] = client.server.get("/v1/servers", hostname="ok-gone")
    ended = client.run("servers", "delete", item["id"])
    assert ended.code == 0, ended.err
    assert client.server.get("/v1/servers", hostname="ok-gone") == []


def test_an_ended_operation_is_run_again_by_rerun(client: Client) -> None:
    client.create("again-2-rerun")
    first = last_operation(client.server)
    assert (first["status"], first["exit_code"]) == ("failed", 3)
    ended = client.run("rerun", first["id"])
    assert ended.code == 0, ended.err
    assert last_operation(client.server)["rerun_of"] == first["id"]


def test_outputs_and_json_tell_other_programs_how_it_ended(client: Client) -> None:
    ended = client.create("fail-9-x", "--outputs", "outputs", "--json", "operation.json")
    operation = last_operation(client.server)
    assert ended.code == 9
    assert (client.root / "outputs").read_text().splitlines() == [
        f"operation_id={operation['id']}",
        "status=failed",
        "exit_code=9",
    ]
    assert json.loads((client.root / "operation.json").read_text()) == operation


def test_detach_prints_the_id_and_follow_comes_back_to_it(client: Client, shell: str) -> None:
    detached = client.create("sleep-1-x", "--detach", shell=shell)
    operation = last_operation(client.server)
    assert (detached.code, detached.out.decode()) == (0, f"{operation['id']}\n")
    followed = client.run("follow", operation["id"], shell=shell)
    assert followed.code == 0
    assert followed.out == log_of(client.server, operation["id"], "stdout")
    shown = client.run("show", operation["id"], shell=shell)
    assert json.loads(shown.out) == client.server.operation(operation["id"])
    assert starts_of(client.server.journal, operation["id"]) == 1


def test_cancel_stops_an_operation_and_waits_for_its_end(client: Client, shell: str) -> None:
    client.create("polite-x", "--detach")
    operation = last_operation(client.server)
    ended = client.run("cancel", operation["id"], shell=shell)
    assert ended.code == 0, ended.err
    assert client.server.operation(operation["id"])["status"] == "cancelled"
    again = client.run("cancel", operation["id"], shell=shell)
    assert again.code == 65
    assert "Cancel refused: " in again.err
    assert client.run("follow", operation["id"], shell=shell).code == 130


def test_the_help_is_for_everyone(client: Client, shell: str) -> None:
    ended = client.run("help", shell=shell, PROVISIONING_URL="")
    assert ended.code == 0
    assert ended.out.startswith(b"Usage: provisioning.sh ")


def test_it_is_one_file_without_a_bash_in_it() -> None:
    assert PROGRAM.read_text().startswith("#!/bin/sh\n")
    assert PROGRAM.stat().st_mode & 0o111


def test_an_operation_that_says_nothing_is_waited_for_instead_of_asked_for(
    client: Client, door: Door
) -> None:
    ended = client.create("sleep-3-silent", PROVISIONING_URL=door.url)
    assert ended.code == 0, ended.err
    assert any("/wait?" in path for path in door.paths)
    # Two of each stream, and two more when it was slow enough for what it says to come in pieces.
    assert sum("/log?" in path for path in door.paths) <= 8
