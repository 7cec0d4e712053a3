"""P7: what 200 operations that run at once cost beyond their CLIs: memory and threads.

The server of these rounds is idle, then runs 200 CLIs that sleep. Counted are the private memory and
the threads of all of its processes, and apart from them those of the launchers, a `sh` beside each CLI
that writes down how it ended. Stock django-q2 needs a worker process for each: its private memory is
measured in the same run.

    ./run bench concurrency
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.catalogue import report
from benchmarks.engine.server import Server, memory_kb, our_server, threads_of, tree_of, wait_for

COUNT, ROUNDS = 200, 5
GOAL_KB = 64
WARM_UP = (
    400  # enough that every thread of the web part has opened its connection, and filled its cache
)
SCRIPT = """#!/bin/sh
case $3 in first-*) exit ;; esac
echo $$ >>"$BENCH_HOME/pids"
exec sleep 600
"""
STOCK = """
import django, sys
django.setup()
import django_q.cluster, django_q.worker
print("up", flush=True)
sys.stdin.read()
"""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="ps-bench-") as name:
        home = Path(name)
        os.environ["BENCH_HOME"] = name
        script = home / "cli.sh"
        script.write_text(SCRIPT)
        script.chmod(0o755)
        rounds = [
            measure(home / f"state-{number}", script, home / "pids") for number in range(ROUNDS)
        ]
        stock = [stock_worker_kb(home) for _ in range(ROUNDS)]
    report.heading(f"{COUNT} operations at once, {ROUNDS} rounds, SQLite")
    report.line("the server: KiB for each", [one.server_kb for one in rounds])
    report.line("the launchers: KiB for each", [one.launcher_kb for one in rounds])
    report.line("stock: KiB of a worker for each", stock)
    together = [one.server_kb + one.launcher_kb for one in rounds]
    report.line("ours / stock", [a / b for a, b in zip(together, stock, strict=True)], 4)
    report.at_most("server and launchers, KiB for each", together, GOAL_KB)
    report.at_most("threads of the server for each", [one.threads for one in rounds], 0, 3)


@dataclass(frozen=True)
class Cost:
    """Of one of the operations."""

    server_kb: float
    launcher_kb: float
    threads: float


def measure(state: Path, script: Path, pids: Path) -> Cost:
    pids.write_text("")
    with our_server(state, script, max_concurrent_operations=str(COUNT)) as server:
        warm_up(server, pids)
        known_pids = set(map(int, pids.read_text().split()))
        idle = costs(server, known_pids)
        known = len(pids.read_text().split())
        for number in range(COUNT - known):
            server.create(f"host-{number}")
        wait_for(lambda: len(pids.read_text().split()) >= COUNT, "all of them run")
        time.sleep(1)
        children = set(map(int, pids.read_text().split()))
        busy = costs(server, children)
        for pid in children:
            os.kill(pid, 9)
        count = COUNT - known
        kb, launcher_kb, threads = (
            (after - before) / count for after, before in zip(busy, idle, strict=True)
        )
        return Cost(kb, launcher_kb, threads)


def warm_up(server: Server, pids: Path) -> None:
    """What all operations share is loaded, and what the web part keeps for each thread. Five go on."""
    with ThreadPoolExecutor(32) as pool:
        list(pool.map(server.create, (f"first-{number}" for number in range(WARM_UP))))
    for number in range(5):
        server.create(f"kept-{number}")
    wait_for(lambda: len(pids.read_text().split()) >= 5, "the five run")
    time.sleep(1)


def costs(server: Server, children: set[int]) -> tuple[int, int, int]:
    """Memory of the server's processes and of the launchers, and the server's threads."""
    launchers = {parent_of(pid) for pid in children}
    ours = tree_of(server.pid) - launchers - children
    return sum(map(memory_kb, ours)), sum(map(memory_kb, launchers)), sum(map(threads_of, ours))


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def stock_worker_kb(home: Path) -> float:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "benchmarks.stock.settings",
        "STOCK_DATABASE": str(home / "stock.sqlite3"),
    }
    with subprocess.Popen(
        [sys.executable, "-c", STOCK],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).resolve().parent.parent,
    ) as process:
        assert process.stdin and process.stdout
        process.stdout.readline()
        found = memory_kb(process.pid)
        process.stdin.close()
    return float(found)


if __name__ == "__main__":
    main()
