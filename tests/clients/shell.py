"""`clients/provisioning.sh` in a real shell, and a door to the server that loses answers."""

from __future__ import annotations

import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from tests.live.harness import PASSWORD, LiveServer

PROGRAM = Path(__file__).parents[2] / "clients" / "provisioning.sh"
SHELLS = {"dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "sh"]}
END_SECONDS = 60


class Ended(NamedTuple):
    """How the client ended and what it wrote."""

    code: int
    out: bytes
    err: str


class Client:
    """The client as a CI job has it: little more in its environment than the door and a name."""

    def __init__(self, server: LiveServer, root: Path) -> None:
        self.server = server
        self.root = root
        self.temporary = root / "tmp"
        self.temporary.mkdir()
        self.environment = {
            "PATH": server.environment["PATH"],
            "HOME": str(root),
            "TMPDIR": str(self.temporary),
            "PROVISIONING_URL": server.url(""),
            "PROVISIONING_USER": "admin",
            "PROVISIONING_PASSWORD": PASSWORD,
            "PROVISIONING_POLL_SECONDS": "0.2",
            "PROVISIONING_RETRY_SECONDS": "60",
        }

    def start(self, *arguments: str, shell: str = "sh", **environment: str) -> Run:
        command = [*SHELLS.get(shell, [shell]), str(PROGRAM), *arguments]
        whole = {**self.environment, **environment}
        if shell == "busybox":
            whole["PATH"] = f"{self.applets()}:{whole['PATH']}"
        return Run(command, whole, self.root)

    def applets(self) -> Path:
        """Every tool as busybox has it: the machine is like Alpine then."""
        directory = self.root / "applets"
        if not directory.exists():
            directory.mkdir()
            subprocess.run(["busybox", "--install", "-s", str(directory)], check=True)
        return directory

    def run(self, *arguments: str, stdin: bytes = b"", **more: str) -> Ended:
        return self.start(*arguments, **more).end(stdin)

    def create(self, hostname: str, *options: str, **more: str) -> Ended:
        """A `servers create` of this host, to its end."""
        return self.start(*options, "servers", "create", body_of(hostname), **more).end()


class Run:
    """A client that runs."""

    def __init__(self, command: list[str], environment: dict[str, str], cwd: Path) -> None:
        self.process = subprocess.Popen(
            command,
            env=environment,
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def end(self, stdin: bytes = b"") -> Ended:
        try:
            out, err = self.process.communicate(stdin, END_SECONDS)
        finally:
            self.process.kill()
        return Ended(self.process.returncode, out, err.decode())


def body_of(hostname: str, **more: Any) -> str:
    body = {"workspace": "production", "provider": "local", "plan": "2xCPU-4GB"}
    return json.dumps({**body, "hostname": hostname, **more})


def last_operation(server: LiveServer, kind: str = "server_create") -> dict[str, Any]:
    [operation] = server.get("/v1/operations", limit=1, kind=kind)
    return dict(operation)


def log_of(server: LiveServer, operation_id: str, stream: str) -> bytes:
    """The bytes of the API, for comparison."""
    path = f"/v1/operations/{operation_id}/log"
    answer = server.client.get(path, params={"stream": stream, "limit": 4 * 1024 * 1024})
    assert answer.headers["X-Log-Complete"] == "true"
    return answer.content


class Door:
    """A reverse proxy before the real server. `plan` is what it does with the next launching requests:
    `lose` hands one on and closes without the answer, `cut` breaks off a log in its middle, a number is
    answered in the place of the server."""

    def __init__(self, server: LiveServer) -> None:
        self.server = server
        self.plan: list[str | int] = []
        self.launches: list[str] = []
        self.paths: list[str] = []
        self.cuts = 0
        door = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                door.answer(self)

            do_POST = do_DELETE = do_GET  # noqa: N815 - names of http.server

            def log_message(self, *_: Any) -> None:
                pass

        self.listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.listener.daemon_threads = True
        self.thread = threading.Thread(target=self.listener.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.server_address[1]}"

    def __enter__(self) -> Door:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.shutdown()
        self.thread.join()
        self.listener.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        step: str | int = ""
        self.paths.append(request.path)
        key = request.headers.get("Idempotency-Key")
        if key is not None:
            self.launches.append(key)
            step = self.plan.pop(0) if self.plan else ""
        if isinstance(step, int):
            request.send_response(step)
            request.send_header("Retry-After", "1")
            request.end_headers()
            return
        answer = self.passed_on(request)
        content = answer.content
        if step == "lose":
            return
        request.send_response(answer.status_code)
        for name in ("X-Next-Offset", "X-Log-Complete", "Idempotent-Replayed"):
            if name in answer.headers:
                request.send_header(name, answer.headers[name])
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        if self.cuts and "/log" in request.path and len(content) > 1:
            self.cuts -= 1
            content = content[: len(content) // 2]
        request.wfile.write(content)

    def passed_on(self, request: BaseHTTPRequestHandler) -> httpx.Response:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        kept = ("Authorization", "Content-Type", "Idempotency-Key")
        headers = {name: request.headers[name] for name in kept if name in request.headers}
        url = self.server.url(request.path)
        return httpx.request(request.command, url, content=body, headers=headers, timeout=30)
