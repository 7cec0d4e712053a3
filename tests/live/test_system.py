"""What the running system tells of itself: readiness, metrics of all processes, log lines; and TLS."""

from __future__ import annotations

import json
import os
import re
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import trustme

from tests.live.harness import REPOSITORY, LiveServer, database, running
from tests.processes import wait_until


def metrics_of(server: LiveServer) -> dict[str, float]:
    answer = server.client.get("/v1/metrics")
    assert answer.status_code == 200
    lines = [line for line in answer.text.splitlines() if line and not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def test_requests_are_counted_over_both_web_processes(server: LiveServer) -> None:
    name = 'django_http_requests_total_by_method_total{method="GET"}'
    before = metrics_of(server)[name]
    for _ in range(40):
        assert httpx.get(server.url("/health")).status_code == 200  # a new connection each
    after = {metrics_of(server)[name] - before for _ in range(6)}
    # Whichever process answers tells of all; each scrape adds itself.
    assert after == {41.0, 42.0, 43.0, 44.0, 45.0, 46.0}


def test_ended_operations_are_counted_exactly(server: LiveServer) -> None:
    key = 'provisioning_operations_total{kind="server_create",status="%s"}'
    before = metrics_of(server)
    ids = [server.create_server(name)["id"] for name in ("ok-m1", "ok-m2", "fail-3-m")]
    for operation_id in ids:
        server.wait_for(operation_id, "completed", "failed")
    after = metrics_of(server)
    assert after[key % "completed"] - before.get(key % "completed", 0) == 2
    assert after[key % "failed"] - before.get(key % "failed", 0) == 1
    assert after["provisioning_queue_depth"] == 0
    assert after["provisioning_workers"] == 1


def test_a_log_line_names_the_request_and_holds_no_token(server: LiveServer) -> None:
    token = server.client.headers["Authorization"].removeprefix("Bearer ")
    headers = {"X-Request-ID": "find-me-again"}
    server.client.get("/v1/operations", params={"limit": 1, "token": token}, headers=headers)
    wait_until(lambda: "find-me-again" in server.said, "the request is logged")
    [line] = [line for line in server.said.splitlines() if "find-me-again" in line]
    assert re.search(r" INFO provisioning.access GET /v1/operations 400 \[find-me-again\]$", line)
    assert token not in server.said


def test_log_lines_can_be_json(own_server: LiveServer) -> None:
    own_server.environment["PROVISIONING_LOGGING__JSON_FORMAT"] = "true"
    own_server.start()
    own_server.client.get("/health", headers={"X-Request-ID": "json-line"})
    wait_until(lambda: "json-line" in own_server.said, "the request is logged")
    [line] = [line for line in own_server.said.splitlines() if "json-line" in line]
    entry = json.loads(line)
    assert (entry["request_id"], entry["path"], entry["status"]) == ("json-line", "/health", 200)


def manage(server: LiveServer, *words: str) -> subprocess.Popen[bytes]:
    with server.output.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "manage.py", *words],
            cwd=REPOSITORY,
            env=server.environment,
            stdout=output,
            stderr=output,
        )


def test_readiness_says_503_without_a_worker_and_200_with_one(own_server: LiveServer) -> None:
    assert manage(own_server, "migrate", "--verbosity", "0").wait(60) == 0
    web = manage(own_server, "serve")
    url = own_server.url("/health/ready")

    def answer() -> httpx.Response | None:
        try:
            return httpx.get(url, timeout=5)
        except httpx.TransportError:
            return None

    found = wait_until(answer, "the web part answers", 60, pause=0.05)
    assert found is not None
    assert found.status_code == 503
    assert found.json()["checks"]["worker"] == (
        "No worker is alive: start one with `manage.py worker`."
    )
    worker = manage(own_server, "worker")
    wait_until(
        lambda: (ready := answer()) is not None and ready.status_code == 200,
        "the server is ready",
        60,
        pause=0.05,
    )
    for process in (web, worker):
        process.send_signal(signal.SIGTERM)
    assert (web.wait(30), worker.wait(30)) == (0, 0)
    assert own_server.processes() == set()


# --- TLS ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def tls_server(
    authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    """Serves https, and asks for a client certificate of the authority."""
    root = tmp_path_factory.mktemp("t")
    certificate = authority.issue_cert("127.0.0.1")
    key, chain, ca = root / "key.pem", root / "cert.pem", root / "ca.pem"
    certificate.private_key_pem.write_to_path(str(key))
    chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    authority.cert_pem.write_to_path(str(ca))
    with database() as url:
        server = LiveServer.with_fake_cli(
            root,
            url,
            PROVISIONING_SERVER__TLS_CERT=str(chain),
            PROVISIONING_SERVER__TLS_KEY=str(key),
            PROVISIONING_SERVER__CLIENT_CA=str(ca),
        )
        server.scheme, server.verify = "https", client_context(authority, root)
        with running(server):
            yield server


def client_context(authority: trustme.CA, root: Path | None) -> ssl.SSLContext:
    """Trusts the authority; with a directory it also holds a client certificate of it."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if root:
        authority.issue_cert("client@example.com").configure_cert(context)
    return context


def test_the_api_is_served_over_tls(tls_server: LiveServer) -> None:
    operation = tls_server.create_server("ok-tls")
    assert tls_server.wait_for(operation["id"], "completed")["status"] == "completed"
    assert "max-age" in tls_server.client.get("/health").headers["Strict-Transport-Security"]


def test_without_a_client_certificate_there_is_no_answer(
    tls_server: LiveServer, authority: trustme.CA
) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.get(tls_server.url("/health"), verify=client_context(authority, None))


def test_a_client_certificate_of_a_stranger_is_refused(
    tls_server: LiveServer, authority: trustme.CA
) -> None:
    context = client_context(authority, None)
    trustme.CA().issue_cert("client@example.com").configure_cert(context)
    with pytest.raises(httpx.TransportError):
        httpx.get(tls_server.url("/health"), verify=context)


def test_plain_http_is_not_answered_there(tls_server: LiveServer) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{tls_server.port}/health")


def test_tls_needs_both_files(tmp_path: Path) -> None:
    server = LiveServer(tmp_path, PROVISIONING_SERVER__TLS_CERT=os.devnull)
    process = server.spawn()
    assert process.wait(30) != 0
    assert "tls_cert and tls_key must be given together" in server.said
