"""P3: what 10,000 prepared configs cost more than 1,000.

Two servers, one web process each on the same core, alternate under the same load from the same number of
machines. Then, at 10,000: finding a machine's config, loading the whole catalogue as a process does at
its start, and bringing it up to date after one config was changed.

    ./run bench growth
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.catalogue import load, machines, parts, report, servers

FEW, MANY, CONNECTIONS = 1000, 10_000, 64
MACHINES = FEW - 1  # the config 0 is for others
ROUNDS, SECONDS = 6, 2.0
GOAL_GROWTH, GOAL_MATCH_US, GOAL_LOAD_SECONDS = 1.10, 15, 0.5


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="ps-bench-") as name:
        home = Path(name)
        with (
            servers.ours(home / "few", configs=FEW) as few,
            servers.ours(home / "many", configs=MANY) as many,
        ):
            for server, configs in ((few, FEW), (many, MANY)):
                load.warm_up(server, serials(configs))
            rounds = [(cpu_us(few, FEW), cpu_us(many, MANY)) for _ in range(ROUNDS)]
            figures = parts.measure(many, MANY)
    report.heading(
        f"Growth: {FEW} -> {MANY} prepared configs, {CONNECTIONS} at once, one process on one core, "
        f"{servers.engine()}, {ROUNDS} rounds of {SECONDS:g} s"
    )
    report.line(f"{FEW}: server CPU, us per request", [one for one, _ in rounds])
    report.line(f"{MANY}: server CPU, us per request", [one for _, one in rounds])
    ratios = [b / a for a, b in rounds]
    report.at_most(f"CPU per request, {MANY} / {FEW}", ratios, GOAL_GROWTH, 2)
    report.heading(f"Parts, at {MANY}")
    report.at_most("match, us", figures["match_us"], GOAL_MATCH_US)
    report.line("(match, the config's first time, us)", figures["match_first_us"])
    report.at_most("load all, s of CPU", figures["load_cpu_s"], GOAL_LOAD_SECONDS, 2)
    report.line("(the same by the clock)", figures["load_s"], 2)
    report.line("apply one change, ms", figures["change_ms"], 2)


def serials(configs: int) -> list[str]:
    """Those of as many machines, spread over the catalogue."""
    return [machines.serial_of(1 + index * (configs // FEW)) for index in range(MACHINES)]


def cpu_us(server: servers.Server, configs: int) -> float:
    before = server.cpu_seconds()
    result = load.run(server, serials(configs), connections=CONNECTIONS, seconds=SECONDS)
    return (server.cpu_seconds() - before) / len(result.latencies) * 1e6


if __name__ == "__main__":
    main()
