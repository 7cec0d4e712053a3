"""P9: a CLI that writes five million lines: whether it is slowed, what the server pays, reading it back.

Twice: a steady CLI is one process that makes each line, a million and more in a second; it has a core to
itself on two, so what it is slowed is the server's doing. A flood is two processes that only pass lines on,
many times as many; they want both cores, and their time tells only that others want them too.
The bare side runs the same command with its output in a file of the same file system. The CPU is that of
all processes of the server, without the CLI's own.

    ./run bench logs
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.catalogue import report
from benchmarks.engine.server import ROOT, Server, cpu_seconds, our_server, tree_of, wait_for

LINES, ROUNDS = 5_000_000, 5
GOAL_LINES, GOAL_US, GOAL_SLOWER, GOAL_TAIL_MS = 1_000_000, 1.0, 1.10, 1.0
SCRIPT = f"""#!/bin/sh
began=$(date +%s%N)
case $3 in
flood*) yes 'step 17 of 40: unpacking the image' | head -n {LINES} ;;
*) seq -f 'step %.0f of 40: unpacking the image' {LINES} ;;
esac
echo "$began $(date +%s%N)" >"$BENCH_HOME/$3.part"
mv "$BENCH_HOME/$3.part" "$BENCH_HOME/$3.took"
"""
TAIL = """
import statistics, sys, time, django
django.setup()
from operations import logs
from operations.models import Operation
operation = Operation.objects.get(pk=sys.argv[1])
found = []
for _ in range(200):
    began = time.perf_counter()
    _, data = logs.tail(operation, lines=200)
    found.append((time.perf_counter() - began) * 1000)
assert data.count(b"\\n") == 200
print(statistics.median(found))
"""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="ps-bench-") as name:
        home = Path(name)
        os.environ["BENCH_HOME"] = name
        script = home / "cli.sh"
        script.write_text(SCRIPT)
        script.chmod(0o755)
        limits = {"log_max_bytes": str(1 << 30), "timeout_seconds": "600"}
        with our_server(home / "state", script, **limits) as server:
            served(server, home, "warm")
            steady = [pair(server, home, f"steady-{number}") for number in range(ROUNDS)]
            floods = [pair(server, home, f"flood-{number}") for number in range(ROUNDS)]
            tails = [tail_ms(server, one.operation) for one, _ in floods]
    report.heading(f"A log of {LINES:,} lines, {ROUNDS} rounds, SQLite")
    slower = report_speed("steady", steady)
    report.at_most("steady: time of the CLI, ours / alone", slower, GOAL_SLOWER, 2)
    report.line("flood: time of the CLI, ours / alone", report_speed("flood", floods), 2)
    for name, rounds in (("steady", steady), ("flood", floods)):
        cpu = [one.cpu_us for one, _ in rounds]
        report.at_most(f"{name}: our CPU, us per line", cpu, GOAL_US, 3)
    whole = [LINES / one.whole for one, _ in floods]
    report.line("flood: lines/s from start to recorded end", whole, 0)
    report.goal(f"lines/s >= {GOAL_LINES:,}", is_met=sorted(whole)[len(whole) // 2] >= GOAL_LINES)
    report.at_most("tail of 200 lines, ms", tails, GOAL_TAIL_MS, 2)


def report_speed(name: str, rounds: list[tuple[Served, float]]) -> list[float]:
    """How much longer the CLI took under the server, of each round."""
    ours = [one.seconds for one, _ in rounds]
    alone = [seconds for _, seconds in rounds]
    report.line(f"{name}: lines/s of the CLI under the server", [LINES / one for one in ours], 0)
    report.line(f"{name}: lines/s of the CLI alone", [LINES / one for one in alone], 0)
    return [a / b for a, b in zip(ours, alone, strict=True)]


class Served:
    def __init__(self, operation: str, seconds: float, whole: float, cpu_us: float) -> None:
        self.operation = operation
        self.seconds = seconds  # of the CLI, by its own clock
        self.whole = whole  # from submitting to the recorded end
        self.cpu_us = cpu_us


def pair(server: Server, home: Path, host: str) -> tuple[Served, float]:
    """Under the server, then alone."""
    return served(server, home, host), bare(home, host)


def served(server: Server, home: Path, host: str) -> Served:
    ours = tree_of(server.pid)
    cpu, began = cpu_seconds(ours), time.perf_counter()
    operation = server.create(host)
    wait_for(
        lambda: server.call(f"/v1/operations/{operation}")["status"] == "completed", "it has ended"
    )
    whole = time.perf_counter() - began
    spent = cpu_seconds(tree_of(server.pid) & ours) - cpu
    return Served(operation, seconds_of(home / f"{host}.took"), whole, spent / LINES * 1e6)


def bare(home: Path, host: str) -> float:
    host += "-bare"
    target = home / "bare.out"
    with target.open("wb") as file:
        subprocess.run([str(home / "cli.sh"), "server", "create", host], stdout=file, check=True)
    target.unlink()
    return seconds_of(home / f"{host}.took")


def seconds_of(file: Path) -> float:
    began, ended = map(int, file.read_text().split())
    return (ended - began) / 1e9


def tail_ms(server: Server, operation: str) -> float:
    environment = {**server.environment, "DJANGO_SETTINGS_MODULE": "provisioning.settings"}
    done = subprocess.run(
        [str(ROOT / ".venv/bin/python"), "-c", TAIL, operation],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return float(done.stdout)


if __name__ == "__main__":
    main()
