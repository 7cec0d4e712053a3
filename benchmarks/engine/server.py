"""The whole server for benchmarks of operations: on SQLite, over HTTP, with a script as its CLI."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
PASSWORD = "benchmark-password"  # noqa: S105 - of a server that lives a minute on loopback
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Server:
    base: str
    token: str
    pid: int
    environment: dict[str, str]

    def call(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The answer's JSON. Raises OSError for anything but success."""
        return call(f"{self.base}{path}", body, self.token)

    def create(self, hostname: str = "x") -> str:
        """Launch the CLI; the operation's id."""
        body = {"workspace": "production", "provider": "p", "plan": "q", "hostname": hostname}
        return str(self.call("/v1/servers/create", body)["id"])

    def processes(self, but: set[int] = frozenset()) -> set[int]:  # type: ignore[assignment]
        """Ours: the tree of the server, without operations, which lead sessions of their own."""
        return {pid for pid in tree_of(self.pid) if pid not in but}


@contextlib.contextmanager
def our_server(state: Path, script: Path, **settings: str) -> Iterator[Server]:
    """`settings` are of the section `[provisioning]`."""
    port = free_port()
    kept = {name: v for name, v in os.environ.items() if not name.startswith("PROVISIONING_")}
    environment = {
        **kept,
        "PROVISIONING_STATE_DIR": str(state),
        "PROVISIONING_ADMIN_PASSWORD": PASSWORD,
        "PROVISIONING_CLI_PATH": str(script),
        "PROVISIONING_PROVISIONING__PASS_ENVIRONMENT": "BENCH_HOME",
        "PROVISIONING_SERVER__PORT": str(port),
        "PROVISIONING_LOGGING__LEVEL": "error",
        **{f"PROVISIONING_PROVISIONING__{name.upper()}": v for name, v in settings.items()},
    }
    base = f"http://127.0.0.1:{port}"
    with running([sys.executable, "-m", "provisioning.server"], environment) as process:
        wait_for(lambda: answers(f"{base}/health/ready"), "the server is up")
        pair = call(f"{base}/v1/auth/login", {"username": "admin", "password": PASSWORD})
        yield Server(base, pair["token"], process.pid, environment)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@contextlib.contextmanager
def running(
    argv: list[str], environment: dict[str, str], *, pipes: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own, which is ended with all of it."""
    process = subprocess.Popen(
        argv,
        env=environment,
        cwd=ROOT,
        stdin=subprocess.PIPE if pipes else subprocess.DEVNULL,
        stdout=subprocess.PIPE if pipes else subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(condition: Callable[[], object], what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"waited in vain until {what}")
        time.sleep(0.02)


def answers(url: str) -> bool:
    try:
        call(url)
    except OSError:
        return False
    return True


def call(url: str, body: dict[str, Any] | None = None, token: str = "") -> Any:
    request = urllib.request.Request(  # noqa: S310 - loopback
        url, headers={"Content-Type": "application/json"}
    )
    if body is not None:
        request.data = json.dumps(body).encode()
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - loopback
        return json.load(answer)


# --- What processes cost -----------------------------------------------------------------------


def tree_of(root: int) -> set[int]:
    """The process and all below it."""
    parents: dict[int, int] = {}
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (directory / "stat").read_text().rpartition(")")[2].split()
            parents[int(directory.name)] = int(fields[1])
    found, waiting = {root}, [root]
    while waiting:
        above = waiting.pop()
        below = [pid for pid, parent in parents.items() if parent == above]
        found.update(below)
        waiting += below
    return found


def cpu_seconds(pids: set[int]) -> float:
    """Their own user and system time, without that of children that have ended."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def memory_kb(pid: int) -> int:
    """Resident memory that it shares with nobody, in KiB; 0 when it has gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private"))
    except OSError:
        pass
    with contextlib.suppress(OSError):
        pages = Path(f"/proc/{pid}/statm").read_text().split()
        return (int(pages[1]) - int(pages[2])) * os.sysconf("SC_PAGE_SIZE") // 1024
    return 0


def threads_of(pid: int) -> int:
    with contextlib.suppress(OSError):
        return len(list(Path(f"/proc/{pid}/task").iterdir()))
    return 0
