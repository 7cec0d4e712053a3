"""P2: a boot storm: 1,000 machines ask at once, each on a connection of its own.

The real web part of the server with two processes and 10,000 prepared configs. One config is for all
machines of the storm, so that they fight for one counter; no machine asks twice. A storm alternates with
a steady load of 64 requests at a time on kept connections, also of new machines for that config. Client
and server share the cores.

    ./run bench storm
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from benchmarks.catalogue import load, machines, report, servers

CONFIGS, MACHINES, CONNECTIONS = 10_000, 1000, 64
ROUNDS, SECONDS = 5, 3.0
GOAL_SPREAD, GOAL_LAST = 2.0, 1.5
SERIALS = [f"{machines.STORM}{number:06}" for number in range(MACHINES)]


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="ps-bench-") as name:
        state = Path(name)
        with servers.ours(state, configs=CONFIGS, processes=2, cores=servers.CORES) as server:
            load.warm_up(server, SERIALS)
            rounds = [(steady(server), storm(server)) for _ in range(ROUNDS)]
    report_rounds([a for a, _ in rounds], [b for _, b in rounds])


def steady(server: servers.Server) -> load.Result:
    return load.run(server, SERIALS, connections=CONNECTIONS, seconds=SECONDS, cores=servers.CORES)


def storm(server: servers.Server) -> load.Result:
    return load.run(server, SERIALS, connections=MACHINES, cores=servers.CORES, may_fail=True)


def report_rounds(steady: list[load.Result], storms: list[load.Result]) -> None:
    report.heading(
        f"Boot storm: {MACHINES} machines at once, {CONFIGS} prepared configs, two processes, "
        f"{servers.engine()}, {ROUNDS} rounds"
    )
    report.line("steady: requests/s", [one.rate for one in steady])
    report.line("storm: p50, ms", [one.percentile(0.50) for one in storms])
    report.line("storm: p99, ms", [one.percentile(0.99) for one in storms])
    report.line("storm: last served, ms", [one.seconds * 1000 for one in storms])
    spreads = [one.percentile(0.99) / one.percentile(0.50) for one in storms]
    report.at_most("storm: p99 / p50", spreads, GOAL_SPREAD, 2)
    rate = statistics.median(one.rate for one in steady)
    lasts = [one.seconds * rate / MACHINES for one in storms]
    report.at_most("storm: last served / (1,000 / steady rate)", lasts, GOAL_LAST, 2)
    errors = [sentence for one in storms for sentence in one.errors]
    for sentence in sorted(set(errors)):
        print(f"{errors.count(sentence)} times: {sentence}")
    report.goal(f"no error in a storm ({len(errors)})", is_met=not errors)
    values = [int(fqdn.split(".")[0].removeprefix("pve-")) for one in storms for fqdn in one.fqdns]
    report.goal(
        f"every counter value once ({len(values)} answers, {len(set(values))} values)",
        is_met=len(set(values)) == len(values) == ROUNDS * MACHINES,
    )
    gaps = [without_gaps(one) for one in storms]
    report.goal("no value of a storm left out", is_met=all(gaps))


def without_gaps(storm: load.Result) -> bool:
    values = sorted(int(fqdn.split(".")[0].removeprefix("pve-")) for fqdn in storm.fqdns)
    return bool(values) and values == list(range(values[0], values[0] + MACHINES))


if __name__ == "__main__":
    main()
