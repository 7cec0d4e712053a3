"""P6: from submitting an operation to its CLI having started, against django-q2 as it comes.

Ours is the real server on SQLite over HTTP, the CLI a shell script that writes down when it began.
Stock is django-q2 with its ORM broker on a SQLite file of its own (default poll), whose task starts
the same script. Both are idle before each submission. Then a backlog, queued with one commit, and how many
of its scripts begin in a second. Rounds alternate between the two.

Each operation makes and removes some files. An ext4 without a journal was measured to search a millisecond
for each new one, once thousands had been deleted: there, set TMPDIR to a directory in memory.

    ./run bench dispatch
"""

from __future__ import annotations

import contextlib
import functools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.catalogue import report
from benchmarks.engine.server import ROOT, Server, our_server, running, wait_for

ROUNDS, SUBMISSIONS, PAUSE_SECONDS = 5, 12, 0.25
BACKLOG, AT_ONCE = 300, 20
GOAL_RATIO, GOAL_P99_MS, GOAL_RATE = 0.10, 30.0, 5.0

# Of a backlog the clock in /proc, which ticks every 10 ms, is enough: `date` costs as much as a dispatch.
SCRIPT = """#!/bin/sh
if [ -e "$BENCH_HOME/is_busy" ]
then read -r now idle </proc/uptime
else now=$(date +%s%N)
fi
echo $now >>"$BENCH_HOME/starts"
echo '{"hostname":"x"}'
"""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="ps-bench-") as name:
        home = Path(name)
        script = home / "cli.sh"
        script.write_text(SCRIPT)
        script.chmod(0o755)
        starts = home / "starts"
        starts.touch()
        os.environ["BENCH_HOME"] = name
        limit = str(AT_ONCE)
        with (
            our_server(home / "ours", script, max_concurrent_operations=limit) as server,
            stock_cluster(home / "stock", script) as stock,
        ):
            submit_stock = functools.partial(stock, 1)
            measure(server.create, starts)  # warm both up
            measure(submit_stock, starts)
            idle = [
                (measure(server.create, starts), measure(submit_stock, starts))
                for _ in range(ROUNDS)
            ]
            (home / "is_busy").touch()
            ours = functools.partial(fill, server)
            busy = [(rate(ours, starts), rate(stock, starts)) for _ in range(ROUNDS)]
    report_idle([one for one, _ in idle], [one for _, one in idle])
    report_busy([one for one, _ in busy], [one for _, one in busy])


def fill(server: Server, count: int) -> None:
    environment = {**server.environment, "DJANGO_SETTINGS_MODULE": "provisioning.settings"}
    argv = [sys.executable, "-m", "benchmarks.engine.backlog", str(count)]
    subprocess.run(argv, env=environment, cwd=ROOT, check=True)


def rate(queue: Callable[[int], None], starts: Path) -> float:
    """CLIs that begin in a second, of a backlog, from the first to the last."""
    known = len(starts.read_text().splitlines())
    queue(BACKLOG)
    wait_for(
        lambda: len(starts.read_text().splitlines()) >= known + BACKLOG, "the backlog has begun"
    )
    began = sorted(map(float, starts.read_text().splitlines()[known:]))
    time.sleep(1)  # the last ones end
    return (BACKLOG - 1) / (began[-1] - began[0])


def measure(submit: Callable[[], object], starts: Path) -> list[float]:
    """Milliseconds from each submission to the start of its CLI."""
    found = []
    for _ in range(SUBMISSIONS):
        time.sleep(PAUSE_SECONDS)
        known = len(starts.read_text().splitlines())
        began = time.time_ns()
        submit()
        while len(lines := starts.read_text().splitlines()) <= known:
            time.sleep(0.001)
        found.append((int(lines[known]) - began) / 1e6)
    return found


@contextlib.contextmanager
def stock_cluster(state: Path, script: Path) -> Iterator[Callable[[int], None]]:
    state.mkdir()
    os.environ["STOCK_DATABASE"] = str(state / "db.sqlite3")
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "benchmarks.stock.settings"}
    django = [sys.executable, "-m", "django"]
    subprocess.run([*django, "migrate", "-v0"], env=environment, cwd=ROOT, check=True)
    with (
        running([*django, "qcluster"], environment),
        running([sys.executable, "-m", "benchmarks.stock.submit"], environment, pipes=True) as pipe,
    ):
        time.sleep(3)

        def submit(count: int) -> None:
            assert pipe.stdin
            assert pipe.stdout
            pipe.stdin.write(f"{count} {script}\n".encode())
            pipe.stdin.flush()
            pipe.stdout.readline()

        yield submit


def report_idle(ours: list[list[float]], stock: list[list[float]]) -> None:
    report.heading(f"Submit -> CLI started, ms, idle, SQLite, {ROUNDS} rounds of {SUBMISSIONS}")
    p99s = []
    for name, rounds in (("ours", ours), ("stock", stock)):
        everything = sorted(value for one in rounds for value in one)
        p99s.append(everything[int(len(everything) * 0.99)])
        report.line(f"{name}: p50 of each round", [statistics.median(one) for one in rounds])
        report.line(f"{name}: p99 of all", p99s[-1:])
    ratios = [statistics.median(a) / statistics.median(b) for a, b in zip(ours, stock, strict=True)]
    report.at_most("p50, ours / stock", ratios, GOAL_RATIO, 3)
    report.goal(f"p99 <= {GOAL_P99_MS:g} ms", is_met=p99s[0] <= GOAL_P99_MS)


def report_busy(ours: list[float], stock: list[float]) -> None:
    report.heading(
        f"CLIs started per second, {BACKLOG} waiting, {AT_ONCE} at once, {ROUNDS} rounds"
    )
    report.line("ours", ours)
    report.line("stock", stock)
    ratios = [a / b for a, b in zip(ours, stock, strict=True)]
    report.line("ours / stock", ratios, 2)
    report.goal(
        f"starts per second >= {GOAL_RATE:g}x stock", is_met=statistics.median(ratios) >= GOAL_RATE
    )


if __name__ == "__main__":
    main()
