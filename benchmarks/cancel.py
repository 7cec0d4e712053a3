"""P8: from the answer to a cancel to the CLI and its child being gone.

The CLI is a shell script that honours TERM and has a child of its own. The clock begins when the
cancel is answered and ends when the CLI has been reaped and its child has ended (that is reaped by init).

    ./run bench cancel
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.catalogue import report
from benchmarks.engine.server import our_server, wait_for

ROUNDS, EACH = 5, 40
GOAL_MS = 50
SCRIPT = """#!/bin/sh
sleep 600 &
echo "$$ $!" >"$BENCH_HOME/$3.pids.part"
mv "$BENCH_HOME/$3.pids.part" "$BENCH_HOME/$3.pids"
wait
"""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="ps-bench-") as name:
        home = Path(name)
        os.environ["BENCH_HOME"] = name
        script = home / "cli.sh"
        script.write_text(SCRIPT)
        script.chmod(0o755)
        with our_server(home / "state", script) as server:

            def one(host: str) -> float:
                operation = server.create(host)
                file = home / f"{host}.pids"
                wait_for(file.exists, "the CLI runs")
                cli, child = file.read_text().split()
                time.sleep(0.1)
                server.call(f"/v1/operations/{operation}/cancel", {})
                answered = time.perf_counter()
                while Path(f"/proc/{cli}").exists() or is_running(child):
                    time.sleep(0.0005)
                return (time.perf_counter() - answered) * 1000

            for number in range(5):
                one(f"warm-{number}")
            rounds = [[one(f"host-{r}-{n}") for n in range(EACH)] for r in range(ROUNDS)]
    everything = sorted(value for one_round in rounds for value in one_round)
    p99 = everything[int(len(everything) * 0.99)]
    report.heading(f"Cancel answered -> CLI and child gone, {ROUNDS} rounds of {EACH}, SQLite")
    report.line("ms", [statistics.median(one_round) for one_round in rounds])
    report.line("p99 of a round, ms", [sorted(r)[int(EACH * 0.99)] for r in rounds])
    report.goal(f"p99 of all, {p99:.1f} ms <= {GOAL_MS}", is_met=p99 <= GOAL_MS)


def is_running(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


if __name__ == "__main__":
    main()
