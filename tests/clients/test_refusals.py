"""`clients/provisioning.sh` when it is not let: one clear sentence, and an exit code of its own."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients.shell import Client, Door, body_of
from tests.live.harness import LiveServer
from tests.processes import read_journal

VIEWER = {"PROVISIONING_USER": "ci-viewer", "PROVISIONING_PASSWORD": "only-looks-at-things"}


def only_sentence(text: str) -> str:
    """The one line that was written, without the name of the program."""
    [line] = text.splitlines()
    name, _, sentence = line.partition(": ")
    assert name == "provisioning"
    return sentence


@pytest.fixture(scope="session")
def viewer(server: LiveServer) -> dict[str, str]:
    body = {"username": "ci-viewer", "password": "only-looks-at-things"}
    assert server.client.post("/v1/users", json=body).status_code == 201
    binding = {"user": "ci-viewer", "role": "Viewer"}
    assert server.client.post("/v1/role-bindings", json=binding).status_code == 201
    return VIEWER


def test_a_wrong_password_is_said_in_one_sentence(client: Client, shell: str) -> None:
    wrong = {"PROVISIONING_USER": "nobody", "PROVISIONING_PASSWORD": 'no "such\\ password'}
    ended = client.create("ok-x", shell=shell, **wrong)
    assert (ended.code, ended.out) == (77, b"")
    assert only_sentence(ended.err).startswith("Login as nobody refused: ")


def test_a_wrong_token_is_said_in_one_sentence(client: Client) -> None:
    ended = client.create(
        "ok-x", PROVISIONING_TOKEN="eyJ.no.token", PROVISIONING_USER="", PROVISIONING_PASSWORD=""
    )
    assert (ended.code, ended.out) == (77, b"")
    assert only_sentence(ended.err).startswith("/v1/servers/create refused: ")
    assert "eyJ" not in ended.err


def test_a_token_or_a_password_comes_from_a_file(client: Client, shell: str) -> None:
    (client.root / "token").write_text(client.server.client.headers["Authorization"][7:] + "\n")
    by_token = {"PROVISIONING_TOKEN_FILE": "token", "PROVISIONING_USER": ""}
    ended = client.create("ok-token", shell=shell, PROVISIONING_PASSWORD="", **by_token)
    assert ended.code == 0, ended.err
    (client.root / "password").write_text(client.environment["PROVISIONING_PASSWORD"] + "\n")
    by_password = {"PROVISIONING_PASSWORD_FILE": "password", "PROVISIONING_PASSWORD": ""}
    assert client.create("ok-password", shell=shell, **by_password).code == 0
    ended = client.create("ok-x", PROVISIONING_PASSWORD="", PROVISIONING_PASSWORD_FILE="none")
    assert ended.code == 64
    assert only_sentence(ended.err) == "The file none cannot be read."


def test_a_password_may_hold_any_printable_character(client: Client, shell: str) -> None:
    user, password = f"ci-{shell}", "\"quoted\" \\back\\slash $dollar 'ünicode' %s `x`"
    body = {"username": user, "password": password}
    assert client.server.client.post("/v1/users", json=body).status_code == 201
    binding = {"user": user, "role": "Operator", "workspace": "production"}
    assert client.server.client.post("/v1/role-bindings", json=binding).status_code == 201
    ended = client.create(
        f"ok-{shell}", shell=shell, PROVISIONING_USER=user, PROVISIONING_PASSWORD=password
    )
    assert ended.code == 0, ended.err


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://127.0.0.1:9", "refuses the connection"),
        ("http://no-such-host.invalid", "cannot be found: its name is unknown"),
    ],
)
def test_a_server_that_is_not_there_is_one_sentence(
    client: Client, shell: str, url: str, sentence: str
) -> None:
    away = {"PROVISIONING_URL": url, "PROVISIONING_RETRY_SECONDS": "0", "no_proxy": "*"}
    ended = client.create("ok-x", shell=shell, **away)
    assert (ended.code, ended.out) == (69, b"")
    assert only_sentence(ended.err) == f"The server at {url} {sentence}."


def test_an_unreachable_server_is_tried_again_for_a_bounded_time(client: Client) -> None:
    away = {"PROVISIONING_URL": "http://127.0.0.1:9", "PROVISIONING_RETRY_SECONDS": "3"}
    ended = client.create("ok-x", **away)
    assert ended.code == 69
    assert [line.partition(" (")[0] for line in ended.err.splitlines()] == [
        "provisioning: The server at http://127.0.0.1:9 refuses the connection; trying again for 3 s.",
        "provisioning: The server at http://127.0.0.1:9 refuses the connection.",
    ]


def test_a_server_that_stays_busy_is_given_up_with_the_way_to_send_it_again(
    client: Client, door: Door
) -> None:
    door.plan = ["lose", *[502] * 50]
    ended = client.create(
        "ok-busy", "--key", "my-key", PROVISIONING_URL=door.url, PROVISIONING_RETRY_SECONDS="3"
    )
    assert ended.code == 69
    assert "sent again with --key my-key it launches nothing twice" in ended.err
    door.plan = []
    again = client.create("ok-busy", "--key", "my-key")
    assert again.code == 0
    names = [line.name for line in read_journal(client.server.journal) if line.word == "start"]
    assert names.count("ok-busy") == 1


def test_a_missing_permission_is_77_and_named(client: Client, viewer: dict[str, str]) -> None:
    ended = client.create("ok-x", **viewer)
    assert ended.code == 77
    assert "server_create" in only_sentence(ended.err)


def test_a_bad_request_is_65_with_the_sentence_of_the_server(client: Client, shell: str) -> None:
    ended = client.create("web_01", shell=shell)
    assert ended.code == 65
    assert only_sentence(ended.err) == (
        "/v1/servers/create refused: hostname: 'web_01' is no host name: labels of letters, digits "
        "and '-', joined by '.'"
    )


def test_an_operation_that_is_not_there_is_65(client: Client) -> None:
    ended = client.run("follow", "01a20403-a12b-7604-8725-57ddfa9fe20d")
    assert ended.code == 65
    assert "nothing with this id" in only_sentence(ended.err)


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        ([], {}),
        (["servers"], {}),
        (["servers", "create"], {}),
        (["servers", "start", "{}"], {}),
        (["--key"], {}),
        (["--colour", "show", "x"], {}),
        (["follow", "../../users"], {}),
        (["servers", "delete", "a/b"], {}),
        (["servers", "create", "@none.json"], {}),
        (["show", "x"], {"PROVISIONING_URL": ""}),
        (["show", "x"], {"PROVISIONING_URL": "ftp://example.com"}),
        (["show", "x"], {"PROVISIONING_PASSWORD": ""}),
        (["show", "x"], {"PROVISIONING_PASSWORD": "two\nlines"}),
        (["show", "x"], {"PROVISIONING_RETRY_SECONDS": "soon"}),
        (["show", "x"], {"PROVISIONING_POLL_SECONDS": "-1"}),
    ],
)
def test_a_wrong_command_line_or_setting_is_64_and_one_sentence(
    client: Client, shell: str, arguments: list[str], environment: dict[str, Any]
) -> None:
    ended = client.run(*arguments, shell=shell, **environment)
    assert (ended.code, ended.out) == (64, b"")
    assert only_sentence(ended.err)


def test_output_that_nobody_reads_any_more_ends_the_client_but_not_the_operation(
    client: Client,
) -> None:
    started = client.start("servers", "create", body_of("lines-9-deaf"))
    assert started.process.stdout is not None
    started.process.stdout.close()
    started.process.stdout = None
    ended = started.end()
    assert ended.code == 74
    assert "The log cannot be written to standard output." in ended.err
