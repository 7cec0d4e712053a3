"""A real `provisioning-server`: its process tree, its own state directory and database, its HTTP."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
from psycopg import sql

from tests.processes import install_fake_cli, is_alive, processes_with, wait_until

REPOSITORY = Path(__file__).parents[2]
PASSWORD = "correct-horse-battery-staple"
JWT_SECRET = "live-test-" + "k3y-" * 8
START_SECONDS = 60.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def database() -> Iterator[str]:
    """The URL of a database of this test's own; empty for the SQLite file of the state directory."""
    url = os.environ.get("PROVISIONING_DATABASE__URL", "")
    if not url.startswith("postgres"):
        yield ""
        return
    name = f"live_{secrets.token_hex(6)}"
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield f"{url.rpartition('/')[0]}/{name}"
        finally:
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


class LiveServer:
    """`root` holds its state, the fake CLI, the CLI's journal and what the server wrote."""

    scheme = "http"
    verify: Any = True

    def __init__(self, root: Path, database_url: str = "", **environment: str) -> None:
        self.root = root
        self.state = root / "state"
        self.journal = root / "journal"
        self.output = root / "output"
        self.port = free_port()
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(root),
            "PROVISIONING_CONFIG": os.devnull,
            "PROVISIONING_STATE_DIR": str(self.state),
            "PROVISIONING_ADMIN_PASSWORD": PASSWORD,
            "PROVISIONING_SERVER__PORT": str(self.port),
            "JWT_SECRET": JWT_SECRET,
            "FAKE_CLI_JOURNAL": str(self.journal),
            **({"PROVISIONING_DATABASE__URL": database_url} if database_url else {}),
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None
        self._client: httpx.Client | None = None

    @classmethod
    def with_fake_cli(cls, root: Path, database_url: str, **environment: str) -> LiveServer:
        return cls(
            root,
            database_url,
            PROVISIONING_CLI_PATH=str(install_fake_cli(root)),
            PROVISIONING_PROVISIONING__PASS_ENVIRONMENT="FAKE_CLI_JOURNAL",
            PROVISIONING_PROVISIONING__CANCEL_GRACE_SECONDS="0.5",
            PROVISIONING_PROVISIONING__SHUTDOWN_GRACE_SECONDS="0.5",
            PROVISIONING_PROVISIONING__SYNC_MINUTES="0",
            **environment,
        )

    # --- Processes -----------------------------------------------------------------------------

    def spawn(self, *arguments: str) -> subprocess.Popen[bytes]:
        with self.output.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "provisioning.server", *arguments],
                cwd=REPOSITORY,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def start(self) -> None:
        self.process = self.spawn()
        wait_until(self.is_ready, "the server is ready", START_SECONDS, pause=0.05)
        if self._client is None:
            self._client = self.log_in()

    def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.said
        try:
            answer = httpx.get(self.url("/health/ready"), verify=self.verify, timeout=5)
        except httpx.TransportError:
            return False
        return answer.status_code == 200

    def stop(self, seconds: float = 30.0) -> int:
        """SIGTERM, then its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def end(self) -> None:
        """Whatever the test did, nothing of this server or its CLIs is left."""
        if self._client:
            self._client.close()
        if self.process and self.process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.stop(20)
        for pid in self.processes() | processes_with(f"FAKE_CLI_JOURNAL={self.journal}"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.process:
            self.process.wait(10)

    def processes(self) -> set[int]:
        """All of the server's own, whatever their parent; CLIs do not see this variable."""
        return processes_with(f"PROVISIONING_STATE_DIR={self.state}")

    def part(self, name: str) -> int:
        """The pid of `worker` or `serve`, the direct child of the server."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        for pid in children.split():
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if name.encode() in words and is_alive(int(pid)):
                return int(pid)
        return 0

    @property
    def said(self) -> str:
        return self.output.read_text()

    # --- HTTP ----------------------------------------------------------------------------------

    def url(self, path: str) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}{path}"

    @property
    def client(self) -> httpx.Client:
        """Logged in as the first admin."""
        assert self._client is not None
        return self._client

    def log_in(self) -> httpx.Client:
        client = httpx.Client(base_url=self.url(""), verify=self.verify, timeout=30)
        body = {"username": "admin", "password": PASSWORD}
        answer = client.post("/v1/auth/login", json=body)
        assert answer.status_code == 200, answer.text
        client.headers["Authorization"] = f"Bearer {answer.json()['token']}"
        return client

    def get(self, path: str, **params: Any) -> Any:
        answer = self.client.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def create_server(self, hostname: str = "", **more: Any) -> dict[str, Any]:
        """Submit `POST /v1/servers/create`; the operation as it was accepted."""
        body = {"workspace": "production", "provider": "local", "plan": "2xCPU-4GB", **more}
        if hostname:
            body["hostname"] = hostname
        answer = self.client.post("/v1/servers/create", json=body)
        assert answer.status_code == 202, answer.text
        operation: dict[str, Any] = answer.json()
        return operation

    def operation(self, operation_id: str) -> dict[str, Any]:
        operation: dict[str, Any] = self.get(f"/v1/operations/{operation_id}")
        return operation

    def wait_for(self, operation_id: str, *statuses: str, seconds: float = 30.0) -> dict[str, Any]:
        """Poll as a client would until the operation has one of these statuses."""
        deadline = time.monotonic() + seconds
        while (operation := self.operation(operation_id))["status"] not in statuses:
            assert time.monotonic() < deadline, f"{operation}\n{self.said[-8000:]}"
            time.sleep(0.05)
        return operation

    def events_of(self, operation_id: str) -> list[str]:
        """Oldest first."""
        rows = self.get("/v1/audit", limit=1000)
        return [row["event"] for row in reversed(rows) if operation_id in str(row)]


@contextlib.contextmanager
def running(server: LiveServer) -> Iterator[LiveServer]:
    try:
        server.start()
        yield server
    finally:
        server.end()
