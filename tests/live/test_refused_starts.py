"""A start that is refused: one sentence that says what to do, an exit code, and nothing running."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.live.harness import REPOSITORY, LiveServer, database


def refused(server: LiveServer, *arguments: str) -> str:
    """What it says before it ends with an exit code that is not 0."""
    ended = subprocess.run(
        [sys.executable, "-m", "provisioning.server", *arguments],
        cwd=REPOSITORY,
        env=server.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode != 0
    assert ended.stdout == ""
    assert server.processes() == set()
    [sentence] = ended.stderr.splitlines()
    assert sentence.startswith("provisioning-server: ")
    return sentence.removeprefix("provisioning-server: ")


@pytest.fixture
def idle(tmp_path: Path) -> LiveServer:
    return LiveServer(tmp_path)


def test_a_port_that_is_used(idle: LiveServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        sentence = refused(idle, "--port", str(port))
    assert sentence.startswith(f"cannot listen on 127.0.0.1 port {port} (Address already in use)")
    assert sentence.endswith("Choose another with --port.")


def test_a_second_start_of_the_same_server(server: LiveServer) -> None:
    second = LiveServer(server.root / "second")
    second.root.mkdir()
    sentence = refused(second, "--port", str(server.port))
    assert "is another server running?" in sentence
    assert server.is_ready()


def test_a_state_directory_that_cannot_be_written(idle: LiveServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    idle.environment["PROVISIONING_STATE_DIR"] = str(tmp_path / "file" / "state")
    sentence = refused(idle)
    assert sentence == (
        f"the state directory {tmp_path}/file/state cannot be written (Not a directory): "
        "set PROVISIONING_STATE_DIR to a directory of yours"
    )


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PROVISIONING_SERVER__PORT", "http", "server.port = 'http'"),
        ("PROVISIONING_SERVER__PORT", "70000", "server.port = '70000'"),
        ("PROVISIONING_LOGGING__LEVEL", "loud", "logging.level = 'loud'"),
        (
            "PROVISIONING_PROVISIONING__MAX_CONCURRENT_OPERATIONS",
            "0",
            "provisioning.max_concurrent_operations = '0'",
        ),
        ("PROVISIONING_SERVER__PROT", "1", "there is no such setting"),
        ("JWT_SECRET", "too-short", "auth.jwt_secret has 9 characters"),
        ("JWT_SECRET", "your-secret-key-here-" * 3, "the sample of the documentation"),
        ("PROVISIONING_ADMIN_PASSWORD", "admin123", "the sample of the documentation"),
        ("PROVISIONING_ADMIN_PASSWORD", "short", "PROVISIONING_ADMIN_PASSWORD"),
        ("PROVISIONING_DATABASE__URL", "mysql://x/y", "database.url"),
    ],
)
def test_a_bad_value(idle: LiveServer, name: str, value: str, words: str) -> None:
    idle.environment[name] = value
    sentence = refused(idle)
    assert words in sentence
    if name == "JWT_SECRET":
        assert value not in sentence


def test_a_database_that_does_not_answer(idle: LiveServer) -> None:
    idle.environment["PROVISIONING_DATABASE__URL"] = "postgresql://nobody@127.0.0.1:1/none"
    assert refused(idle).startswith("the database does not answer: ")


def test_a_configuration_file_that_is_missing(idle: LiveServer, tmp_path: Path) -> None:
    sentence = refused(idle, "--config", str(tmp_path / "none.toml"))
    assert sentence == f"the configuration file {tmp_path}/none.toml does not exist"


def test_dev_accepts_what_is_refused_elsewhere(idle: LiveServer) -> None:
    """It starts, so it is stopped again by a port that is used."""
    idle.environment["JWT_SECRET"] = "short"
    with socket.create_server(("127.0.0.1", 0)) as other:
        sentence = refused(idle, "--dev", "--port", str(other.getsockname()[1]))
    assert sentence.startswith("cannot listen")


def test_a_database_is_made_for_each_test() -> None:
    with database() as first, database() as second:
        assert first == second == "" or first != second
