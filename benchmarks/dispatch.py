"""P6: from submitting an operation to its CLI having started, against django-q2 as it comes.

Ours is the real server on SQLite over HTTP, the CLI a shell script that writes down when it began.
Stock is django-q2 with its ORM broker on a SQLite file of its own (default poll), whose task starts
the same script. Both are idle before each submission. Rounds alternate between the two.

    ./run bench dispatch
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.engine.server import ROOT, our_server, running

ROUNDS, SUBMISSIONS, PAUSE_SECONDS = 5, 12, 0.25
GOAL_RATIO = 0.10

SCRIPT = """#!/bin/sh
date +%s%N >>"$BENCH_HOME/starts"
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
        with our_server(home / "ours", script) as server, stock_cluster(home / "stock") as stock:
            ours = server.create
            submit_stock = lambda: stock(script)  # noqa: E731
            measure(ours, starts)  # warm both up
            measure(submit_stock, starts)
            rounds = [(measure(ours, starts), measure(submit_stock, starts)) for _ in range(ROUNDS)]
    report([r[0] for r in rounds], [r[1] for r in rounds])


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
def stock_cluster(state: Path) -> Iterator[Callable[[Path], None]]:
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

        def submit(script: Path) -> None:
            assert pipe.stdin
            assert pipe.stdout
            pipe.stdin.write(f"{script}\n".encode())
            pipe.stdin.flush()
            pipe.stdout.readline()

        yield submit


def report(ours: list[list[float]], stock: list[list[float]]) -> None:
    print(f"submit -> CLI started, ms, {ROUNDS} rounds of {SUBMISSIONS}")
    print(f"{'':8}{'median':>9}{'min':>9}{'max':>9}{'p99':>9}")
    for name, rounds in (("ours", ours), ("stock", stock)):
        medians = [statistics.median(one) for one in rounds]
        everything = sorted(value for one in rounds for value in one)
        p99 = everything[int(len(everything) * 0.99)]
        print(
            f"{name:8}{statistics.median(medians):9.1f}{min(medians):9.1f}{max(medians):9.1f}{p99:9.1f}"
        )
    ratios = [statistics.median(a) / statistics.median(b) for a, b in zip(ours, stock, strict=True)]
    ratio = statistics.median(ratios)
    verdict = "met" if ratio <= GOAL_RATIO else "short"
    print(f"ratio   {ratio:9.3f}{min(ratios):9.3f}{max(ratios):9.3f}")
    print(f"goal: ratio <= {GOAL_RATIO:g}: {verdict}")


if __name__ == "__main__":
    main()
