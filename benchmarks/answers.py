"""P1, P10: answering an installer, against a Django view that only keeps the same body.

Ours has 1,000 prepared configs with three filters each; every request is 5 kB from a machine that was
never seen: its token is checked, a config found, a counter allotted, the answer rendered, the attempt and
its audit event recorded. The bare view has no middleware and runs one INSERT, on the same database with
the same durability under the same web server. Each has one web process on one core, the client has the
other; 64 requests are under way. Rounds alternate between the two. Then the parts of an answer alone.

    ./run bench answers
"""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.catalogue import load, machines, parts, report, servers

CONFIGS, CONNECTIONS = 1000, 64
SERIALS = [machines.serial_of(number) for number in range(1, CONFIGS)]
ROUNDS, SECONDS = 6, 2.5
GOAL_RATIO = 0.75
GOALS_US = {
    "token_us": ("token check, us", 10),
    "json_us": ("render and write JSON, us", 50),
    "toml_us": ("render and write TOML, us", 120),
}


@dataclass(frozen=True)
class Round:
    rate: float
    cpu_us: float
    p99_ms: float
    client_share: float  # of its core: near 1, the client is what is measured


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="ps-bench-") as name:
        home = Path(name)
        with (
            servers.ours(home / "ours", configs=CONFIGS) as ours,
            servers.bare(home / "bare") as bare,
        ):
            for server in (ours, bare):
                load.warm_up(server, SERIALS)
            rounds = [(measure(ours), measure(bare)) for _ in range(ROUNDS)]
            figures = parts.measure(ours, CONFIGS)
    report_rounds([one for one, _ in rounds], [one for _, one in rounds])
    report_parts(figures)


def measure(server: servers.Server) -> Round:
    before = server.cpu_seconds()
    result = load.run(server, SERIALS, connections=CONNECTIONS, seconds=SECONDS)
    cpu = server.cpu_seconds() - before
    return Round(
        rate=result.rate,
        cpu_us=cpu / len(result.latencies) * 1e6,
        p99_ms=result.percentile(0.99),
        client_share=result.cpu_seconds / result.seconds,
    )


def report_rounds(ours: list[Round], bare: list[Round]) -> None:
    report.heading(
        f"Answers: {CONFIGS} prepared configs, {machines.BODY_BYTES} bytes, {CONNECTIONS} at once, one "
        f"process on one core, {servers.engine()}, {ROUNDS} rounds of {SECONDS:g} s"
    )
    for name, rounds in (("ours", ours), ("bare", bare)):
        report.line(f"{name}: requests/s", [one.rate for one in rounds])
        report.line(f"{name}: server CPU, us per request", [one.cpu_us for one in rounds])
        report.line(f"{name}: p99, ms", [one.p99_ms for one in rounds])
        report.line(f"{name}: client's share of its core", [o.client_share for o in rounds], 2)
    pairs = list(zip(ours, bare, strict=True))
    ratios = [a.rate / b.rate for a, b in pairs]
    report.line("requests/s, ours / bare", ratios, 2)
    report.line("CPU per request, ours / bare", [a.cpu_us / b.cpu_us for a, b in pairs], 2)
    report.goal(
        f"requests/s >= {GOAL_RATIO:g} of the bare view's",
        is_met=statistics.median(ratios) >= GOAL_RATIO,
    )


def report_parts(figures: dict[str, list[float]]) -> None:
    report.heading("Parts of an answer")
    for key, (name, limit) in GOALS_US.items():
        report.at_most(name, figures[key], limit)
    report.line("(read and check the body, us)", figures["read_us"])
    report.line("(compile a config at its first use, us)", figures["compile_us"])


if __name__ == "__main__":
    main()
