"""P4 and P5: reading operations, against DRF's ModelSerializer with simplejwt, and far down a list.

Both sides run under Granian with one process and as many threads, on SQLite files with 10,000 rows of
the same columns; the client has two connections. Then our own list with a million rows: the first page
against the page at row 900,000.

    ./run bench lists
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
from collections.abc import Iterator
from pathlib import Path

from benchmarks.catalogue import report
from benchmarks.engine.server import (
    PASSWORD,
    ROOT,
    Server,
    call,
    cpu_seconds,
    free_port,
    our_server,
    running,
    tree_of,
    wait_for,
)

ROWS, MANY = 10_000, 1_000_000
ROUNDS, SECONDS, CONNECTIONS = 5, 2.0, 2
GOALS = {"one operation": 2.2, "a list of 50": 4.0}
GOAL_FAR = 1.2


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="ps-bench-") as name:
        home = Path(name)
        script = home / "cli.sh"
        script.write_text("#!/bin/sh\n")
        script.chmod(0o755)
        with our_server(home / "ours", script, sync_minutes="0") as ours, stock(home) as theirs:
            middle, _ = fill(ours, ROWS)
            compare(ours, theirs, middle)
        with our_server(home / "many", script, sync_minutes="0") as ours:
            _, far = fill(ours, MANY)
            page(ours, far, home / "many" / "db.sqlite3")


def fill(server: Server, rows: int) -> tuple[str, str]:
    environment = {**server.environment, "DJANGO_SETTINGS_MODULE": "provisioning.settings"}
    argv = [sys.executable, "-m", "benchmarks.engine.fill", str(rows)]
    done = subprocess.run(
        argv, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    middle, far = done.stdout.split()
    return middle, far


@contextlib.contextmanager
def stock(home: Path) -> Iterator[Server]:
    port = free_port()
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "benchmarks.stock_api.settings",
        "STOCK_DATABASE": str(home / "stock.sqlite3"),
    }
    base = f"http://127.0.0.1:{port}"
    argv = [sys.executable, "-m", "benchmarks.stock_api.serve", str(port), str(ROWS)]
    with running(argv, environment) as process:
        wait_for(lambda: is_up(base), "the stock server is up")
        pair = call(f"{base}/login", {"username": "admin", "password": PASSWORD})
        yield Server(base, pair["access"], process.pid, environment)


def is_up(base: str) -> bool:
    """Whatever it answers without a login."""
    try:
        call(f"{base}/operations")
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def compare(ours: Server, theirs: Server, middle: str) -> None:
    other = call(f"{theirs.base}/operations?limit=1", token=theirs.token)["results"][0]["id"]
    paths = {
        "one operation": (f"/v1/operations/{middle}", f"/operations/{other}"),
        "a list of 50": ("/v1/operations?limit=50", "/operations?limit=50"),
    }
    report.heading(
        f"Reading: {ROWS} rows, {CONNECTIONS} connections, {ROUNDS} rounds of {SECONDS:g} s, SQLite"
    )
    for name, (mine, stocks) in paths.items():
        load(ours, mine), load(theirs, stocks)
        rounds = [(load(ours, mine), load(theirs, stocks)) for _ in range(ROUNDS)]
        report.line(f"ours: {name}, requests/s", [a.rate for a, _ in rounds], 0)
        report.line(f"stock: {name}, requests/s", [b.rate for _, b in rounds], 0)
        report.line(f"ours: {name}, CPU us", [a.cpu_us for a, _ in rounds], 0)
        report.line(f"stock: {name}, CPU us", [b.cpu_us for _, b in rounds], 0)
        ratios = [a.rate / b.rate for a, b in rounds]
        report.line(f"{name}, ours / stock", ratios, 2)
        met = statistics.median(ratios) >= GOALS[name]
        report.goal(f"{name}: >= {GOALS[name]:g}x stock", is_met=met)


class Load:
    def __init__(self, rate: float, cpu_us: float) -> None:
        self.rate = rate
        self.cpu_us = cpu_us


def load(server: Server, path: str) -> Load:
    """As many requests as two connections get answered in the time."""
    ours = tree_of(server.pid)
    cpu, counts = cpu_seconds(ours), [0] * CONNECTIONS
    ends = time.perf_counter() + SECONDS

    def ask(index: int) -> None:
        connection = http.client.HTTPConnection(server.base.removeprefix("http://"))
        headers = {"Authorization": f"Bearer {server.token}"}
        while time.perf_counter() < ends:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                sys.exit(f"{path}: {answer.status}")
            counts[index] += 1
        connection.close()

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Load(sum(counts) / SECONDS, (cpu_seconds(ours) - cpu) / sum(counts) * 1e6)


def page(ours: Server, far: str, database: Path) -> None:
    cursor = base64.urlsafe_b64encode(far.encode()).decode().rstrip("=")
    first = [latency_ms(ours, "/v1/operations?limit=50") for _ in range(ROUNDS)]
    paged = [latency_ms(ours, f"/v1/operations?limit=50&cursor={cursor}") for _ in range(ROUNDS)]
    report.heading(f"Paging: {MANY:,} rows, {ROUNDS} rounds of 200 requests, SQLite")
    report.line("the first page, ms", first, 2)
    report.line("the page at row 900,000, ms", paged, 2)
    ratios = [a / b for a, b in zip(paged, first, strict=True)]
    report.at_most("page at row 900,000 / first", ratios, GOAL_FAR, 2)


def latency_ms(server: Server, path: str) -> float:
    connection = http.client.HTTPConnection(server.base.removeprefix("http://"))
    found = []
    for _ in range(200):
        began = time.perf_counter()
        connection.request("GET", path, headers={"Authorization": f"Bearer {server.token}"})
        answer = connection.getresponse()
        body = answer.read()
        found.append((time.perf_counter() - began) * 1000)
        if answer.status != 200 or len(body) < 1000:
            sys.exit(f"{path}: {answer.status}")
    connection.close()
    return statistics.median(found)


if __name__ == "__main__":
    main()
