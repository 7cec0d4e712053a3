"""`clients/provisioning.sh` when something comes between: signals, restarts, lost answers."""

from __future__ import annotations

import os
import secrets
import signal
from pathlib import Path

import pytest

from tests.clients.shell import PROGRAM, SHELLS, Client, Door, Run, body_of, last_operation, log_of
from tests.live.harness import PASSWORD, LiveServer
from tests.processes import processes_of, processes_with, read_journal, starts_of, wait_until


def start_and_wait(client: Client, hostname: str, **more: str) -> tuple[Run, str]:
    """The running client and the id of its operation, whose CLI runs."""
    started = client.start("servers", "create", body_of(hostname), **more)

    def operation() -> str:
        lines = [line for line in read_journal(client.server.journal) if line.name == hostname]
        return lines[-1].operation if lines else ""

    return started, wait_until(operation, "the CLI runs")


def runs_of(server: LiveServer, hostname: str) -> int:
    lines = read_journal(server.journal)
    return sum(line.word == "start" and line.name == hostname for line in lines)


# --- Signals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_cancels_the_operation_and_waits_for_its_end(
    client: Client, shell: str, number: signal.Signals
) -> None:
    started, operation = start_and_wait(client, f"polite-{shell}-{number}", shell=shell)
    started.process.send_signal(number)
    ended = started.end()
    assert ended.code == 130, ended.err
    assert ended.out == b"hello\ngoodbye\n"
    assert "cancelled (cancelled_by_user)" in ended.err
    assert client.server.operation(operation)["status"] == "cancelled"
    assert processes_of(operation) == set()
    assert list(client.temporary.iterdir()) == []


def test_a_signal_to_the_whole_process_group_does_the_same(client: Client, shell: str) -> None:
    started, operation = start_and_wait(client, f"polite-group-{shell}", shell=shell)
    os.killpg(started.process.pid, signal.SIGTERM)
    ended = started.end()
    assert ended.code == 130, ended.err
    assert client.server.operation(operation)["status"] == "cancelled"


def test_a_second_ctrl_c_does_not_wait(client: Client) -> None:
    started, operation = start_and_wait(client, "stubborn-twice")
    started.process.send_signal(signal.SIGINT)
    wait_until(
        lambda: client.server.operation(operation)["cancel_requested_at"], "the cancel arrived"
    )
    started.process.send_signal(signal.SIGINT)
    ended = started.end()
    assert ended.code == 130
    assert client.server.wait_for(operation, "cancelled")["reason"] == "cancelled_by_user"


def test_a_hang_up_leaves_the_operation_alone(client: Client) -> None:
    started, operation = start_and_wait(client, "sleep-2-hup")
    started.process.send_signal(signal.SIGHUP)
    ended = started.end()
    assert ended.code == 129
    assert f"`provisioning.sh follow {operation}`" in ended.err
    assert list(client.temporary.iterdir()) == []
    assert client.run("follow", operation).code == 0


def test_a_signal_while_the_server_is_away_launches_nothing(client: Client) -> None:
    started = client.start(
        "servers", "create", body_of("ok-x"), PROVISIONING_URL="http://127.0.0.1:9"
    )
    assert started.process.stderr is not None
    assert b"trying again" in started.process.stderr.readline()
    started.process.send_signal(signal.SIGTERM)
    ended = started.end()
    assert ended.code == 130
    assert ended.err == "provisioning: Nothing was launched.\n"


# --- Restarts and resuming -----------------------------------------------------------------------


def test_a_restart_of_the_server_in_the_middle_does_not_matter(
    own_server: LiveServer, tmp_path: Path
) -> None:
    own_server.start()
    started, operation = start_and_wait(Client(own_server, tmp_path), "paced-200-x")
    own_server.stop()
    own_server.start()
    own_server.journal.with_name("journal.go").touch()
    ended = started.end()
    assert ended.code == 0, ended.err
    assert ended.out == log_of(own_server, operation, "stdout")
    assert ended.out.splitlines()[:200] == [f"out {index} é".encode() for index in range(200)]
    assert starts_of(own_server.journal, operation) == 1


def test_an_access_token_that_expired_is_replaced_by_a_new_login(
    own_server: LiveServer, tmp_path: Path
) -> None:
    own_server.start()
    started, operation = start_and_wait(Client(own_server, tmp_path), "hold-x")
    own_server.stop()
    own_server.environment["JWT_SECRET"] = "another-secret-" * 3
    own_server.start()
    own_server.journal.with_name("journal.go").touch()
    ended = started.end()
    assert ended.code == 0, ended.err
    assert starts_of(own_server.journal, operation) == 1


def test_a_killed_client_is_resumed_by_id_with_the_whole_log(client: Client) -> None:
    started, operation = start_and_wait(client, "sleep-2-killed")
    started.process.kill()
    started.end()
    own = f"TMPDIR={client.temporary}"
    wait_until(lambda: not processes_with(own), "nothing of the client is left")
    assert list(client.temporary.iterdir()) == []
    ended = client.run("follow", operation)
    assert ended.code == 0
    assert ended.out == log_of(client.server, operation, "stdout")


# --- Sending it again ----------------------------------------------------------------------------


def test_a_lost_answer_and_a_retry_launch_once(client: Client, door: Door, shell: str) -> None:
    door.plan = ["lose", 503, 502]
    ended = client.create(f"ok-lost-{shell}", shell=shell, PROVISIONING_URL=door.url)
    assert ended.code == 0, ended.err
    assert len(door.launches) == 4
    assert len(set(door.launches)) == 1
    assert runs_of(client.server, f"ok-lost-{shell}") == 1


def test_a_log_that_breaks_off_is_shown_once_and_whole(client: Client, door: Door) -> None:
    door.cuts = 2
    ended = client.create("lines-50-cut", PROVISIONING_URL=door.url)
    assert ended.code == 0, ended.err
    assert ended.out == log_of(client.server, last_operation(client.server)["id"], "stdout")
    assert door.cuts == 0


def test_a_signal_after_a_lost_answer_cancels_what_was_launched(client: Client, door: Door) -> None:
    door.plan = ["lose", 504, 504]
    started = client.start("servers", "create", body_of("polite-lost"), PROVISIONING_URL=door.url)
    wait_until(lambda: runs_of(client.server, "polite-lost"), "the CLI runs")
    started.process.send_signal(signal.SIGTERM)
    ended = started.end()
    assert ended.code == 130, ended.err
    assert runs_of(client.server, "polite-lost") == 1
    assert last_operation(client.server)["status"] == "cancelled"


GITHUB = {
    "GITHUB_RUN_ID": "4711",
    "GITHUB_RUN_ATTEMPT": "1",
    "GITHUB_JOB": "deploy",
    "GITHUB_ACTION": "__run",
}


@pytest.mark.parametrize(
    ("job", "another"),
    [
        (GITHUB, {"GITHUB_RUN_ATTEMPT": "2"}),
        (GITHUB, {"PROVISIONING_JOB_INDEX": "1"}),
        (GITHUB, {"GITHUB_ACTION": "__run_2"}),
        ({"GITLAB_CI": "true", "CI_JOB_ID": "815"}, {"CI_JOB_ID": "816"}),
        ({"BUILD_URL": "https://ci/7/", "BUILD_NUMBER": "7"}, {"BUILD_URL": "https://ci/8/"}),
        ({"PROVISIONING_IDEMPOTENCY_KEY": "mine"}, {"PROVISIONING_IDEMPOTENCY_KEY": "other"}),
        ({}, {}),
    ],
)
def test_the_same_ci_job_launches_once_and_another_one_again(
    client: Client, job: dict[str, str], another: dict[str, str]
) -> None:
    name = f"ok-{secrets.token_hex(4)}"
    assert client.create(name, **job).code == 0
    again = client.create(name, **job)
    assert again.code == 0
    assert ("sent before under the key" in again.err) == bool(job)
    assert client.create(name, **{**job, **another}).code == 0
    assert runs_of(client.server, name) == (2 if job else 3)


def test_two_requests_of_one_job_are_two(client: Client) -> None:
    assert client.create("ok-one", **GITHUB).code == 0
    assert client.create("ok-two", **GITHUB).code == 0
    assert runs_of(client.server, "ok-one") == runs_of(client.server, "ok-two") == 1


def test_a_key_is_for_one_request(client: Client) -> None:
    assert client.create("ok-first", "--key", "one-key").code == 0
    ended = client.create("ok-second", "--key", "one-key")
    assert ended.code == 65
    assert "The Idempotency-Key was used for another request before" in ended.err


# --- Secrets -------------------------------------------------------------------------------------


def test_no_secret_is_in_a_command_line_an_environment_or_the_output(
    client: Client, shell: str
) -> None:
    name = f"sleep-2-seen-{shell}"
    started, _ = start_and_wait(client, name, shell=shell)
    session = started.process.pid
    seen: dict[str, bytes] = {}

    def look() -> bool:
        for process in Path("/proc").iterdir():
            if process.name.isdigit():
                try:
                    line = (process / "cmdline").read_bytes()
                    stat = (process / "stat").read_text().rpartition(")")[2].split()
                    environment = (process / "environ").read_bytes()
                except OSError:
                    continue
                if int(stat[3]) == session:
                    # A fork of the shell has its environment, until it becomes something else.
                    is_shell = b"provisioning.sh" in line
                    seen[f"{process.name} {line!r}"] = line if is_shell else line + environment
        return started.process.poll() is not None

    wait_until(look, "the client has ended", pause=0.001)
    ended = started.end()
    assert ended.code == 0
    assert any(b"curl" in text for text in seen.values())
    everything = b"".join(seen.values()) + ended.out + ended.err.encode()
    assert PASSWORD.encode() not in everything
    assert b"eyJ" not in everything


def test_a_trace_shows_no_secret(client: Client, shell: str) -> None:
    command = [*SHELLS[shell], "-x", str(PROGRAM), "servers", "create", body_of("ok-trace")]
    ended = Run(command, client.environment, client.root).end()
    assert ended.code == 0
    assert PASSWORD not in ended.err
    assert "eyJ" not in ended.err


def test_the_session_of_a_login_ends_with_the_client(client: Client) -> None:
    def revoked() -> int:
        return len(client.server.get("/v1/audit", event="session.revoked", limit=1000))

    before = revoked()
    assert client.create("ok-session").code == 0
    assert revoked() == before + 1
