"""The servers of the benchmarks: ours and the bare one, each with a database of its own.

SQLite in a directory of the benchmark; PostgreSQL where PROVISIONING_DATABASE__URL is set: there each
gets a database of its own beside that one, and it is dropped at the end.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent.parent
GIVEN_URL = os.environ.get("PROVISIONING_DATABASE__URL", "")
THREADS = 32  # web_threads of ours by default
BARE_THREADS = 16  # with 32 it was measured no faster, and to keep some waiting far longer
TICKS = os.sysconf("SC_CLK_TCK")
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, CLIENT_CORE = [CORES[0]], [CORES[-1]]


@dataclass(frozen=True)
class Server:
    port: int
    pid: int
    credential: str
    environment: dict[str, str]

    def cpu_seconds(self) -> float:
        """User and system time of the process and all under it, also of those that have ended."""
        children: dict[int, list[int]] = {}
        times: dict[int, int] = {}
        for directory in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                after_name = (directory / "stat").read_text().rpartition(")")[2].split()
                pid = int(directory.name)
                children.setdefault(int(after_name[1]), []).append(pid)
                times[pid] = sum(map(int, after_name[11:15]))
        total, waiting = 0, [self.pid]
        while waiting:
            pid = waiting.pop()
            total += times.get(pid, 0)
            waiting += children.get(pid, [])
        return total / TICKS


def engine() -> str:
    return "PostgreSQL" if GIVEN_URL.startswith("postgres") else "SQLite, WAL, synchronous=FULL"


@contextlib.contextmanager
def ours(
    state: Path, *, configs: int, processes: int = 1, cores: list[int] = SERVER_CORE
) -> Iterator[Server]:
    """The web part of the server over a catalogue with so many configs."""
    with filled(state, configs) as (environment, credential):
        port = free_port()
        environment |= {
            "PROVISIONING_SERVER__PORT": str(port),
            "PROVISIONING_SERVER__WEB_PROCESSES": str(processes),
            "PROVISIONING_SERVER__WEB_THREADS": str(THREADS),
            "PROVISIONING_LOGGING__LEVEL": "info",
        }
        argv = [sys.executable, "manage.py", "serve"]
        with running(argv, environment, port, cores, state / "server.log") as pid:
            yield Server(port, pid, credential, environment)


@contextlib.contextmanager
def filled(state: Path, configs: int) -> Iterator[tuple[dict[str, str], str]]:
    """The environment of a filled catalogue, and its token's `id:secret`."""
    with database() as url:
        environment = own_environment(state, url)
        fill = [sys.executable, "-m", "benchmarks.catalogue.fill", str(configs)]
        done = subprocess.run(
            fill, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
        )
        yield environment, done.stdout.split()[-1]


def own_environment(state: Path, url: str) -> dict[str, str]:
    """Without any setting of the person who measures."""
    kept = {name: v for name, v in os.environ.items() if not name.startswith("PROVISIONING_")}
    kept |= {
        "DJANGO_SETTINGS_MODULE": "provisioning.settings",
        "PROVISIONING_STATE_DIR": str(state),
    }
    return kept | ({"PROVISIONING_DATABASE__URL": url} if url else {})


@contextlib.contextmanager
def bare(state: Path, *, processes: int = 1, cores: list[int] = SERVER_CORE) -> Iterator[Server]:
    """A minimal Django project under the same web server."""
    state.mkdir(parents=True, exist_ok=True)
    with database() as url:
        port = free_port()
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "benchmarks.bare.settings",
            "BARE_DATABASE": url or f"sqlite:///{state / 'db.sqlite3'}",
        }
        settings = [str(port), str(processes), str(BARE_THREADS)]
        argv = [sys.executable, "-m", "benchmarks.bare.serve", *settings]
        with running(argv, environment, port, cores, state / "server.log") as pid:
            yield Server(port, pid, "", environment)


@contextlib.contextmanager
def database() -> Iterator[str]:
    """The URL of a new database; empty for SQLite, which needs none."""
    if not GIVEN_URL.startswith("postgres"):
        yield ""
        return
    import psycopg

    name = f"bench_{secrets.token_hex(4)}"
    with psycopg.connect(GIVEN_URL, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            yield urlsplit(GIVEN_URL)._replace(path=f"/{name}").geturl()
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextlib.contextmanager
def running(
    argv: list[str], environment: dict[str, str], port: int, cores: list[int], log: Path
) -> Iterator[int]:
    """The process id, once it answers on the port; all that it started is ended at the end."""
    mine = os.sched_getaffinity(0)
    with log.open("wb") as output:
        os.sched_setaffinity(0, cores)  # what is started inherits it
        try:
            process = subprocess.Popen(
                argv,
                env=environment,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        finally:
            os.sched_setaffinity(0, mine)
    try:
        wait_until_answers(process, port, log)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until_answers(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
            return
        except urllib.error.HTTPError:
            return  # it answers
        except OSError:
            time.sleep(0.05)
    sys.exit(f"the server did not come up:\n{log.read_text()}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
