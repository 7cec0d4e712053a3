"""P6: from submitting an operation to its CLI having started, against django-q2 as it comes.

Ours is the real server on SQLite over HTTP, the CLI a shell script that writes down when it began.
Stock is django-q2 with its ORM broker on a SQLite file of its own (default poll), whose task starts
the same script. Both are idle before each submission. Rounds alternate between the two.

    ./run bench dispatch
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROUNDS, SUBMISSIONS, PAUSE_SECONDS = 5, 12, 0.25
PASSWORD = "benchmark-password"  # noqa: S105 - of a server that lives a minute on loopback
GOAL_RATIO = 0.10

SCRIPT = """#!/bin/sh
date +%s%N >>"$BENCH_STARTS"
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
        os.environ["BENCH_STARTS"] = str(starts)
        with our_server(home / "ours", script) as ours, stock_cluster(home / "stock") as stock:
            submit_stock = lambda: stock(script)  # noqa: E731
            measure(ours, starts)  # warm both up
            measure(submit_stock, starts)
            rounds = [(measure(ours, starts), measure(submit_stock, starts)) for _ in range(ROUNDS)]
    report([r[0] for r in rounds], [r[1] for r in rounds])


def measure(submit: Callable[[], None], starts: Path) -> list[float]:
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
def our_server(state: Path, script: Path) -> Iterator[Callable[[], None]]:
    port = 18483
    environment = {
        **os.environ,
        "PROVISIONING_STATE_DIR": str(state),
        "PROVISIONING_ADMIN_PASSWORD": PASSWORD,
        "PROVISIONING_CLI_PATH": str(script),
        "PROVISIONING_PROVISIONING__PASS_ENVIRONMENT": "BENCH_STARTS",
        "PROVISIONING_SERVER__PORT": str(port),
        "PROVISIONING_LOGGING__LEVEL": "error",
    }
    environment.pop("PROVISIONING_DATABASE__URL", None)
    base = f"http://127.0.0.1:{port}"
    with running([sys.executable, "-m", "provisioning.server"], environment):
        wait_for(lambda: call(f"{base}/health/ready") is not None)
        pair = call(f"{base}/v1/auth/login", {"username": "admin", "password": PASSWORD})
        token = pair["token"] if pair else ""
        body = {"workspace": "production", "provider": "p", "plan": "q", "hostname": "x"}

        def submit() -> None:
            call(f"{base}/v1/servers/create", body, token)

        yield submit


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


@contextlib.contextmanager
def running(
    argv: list[str], environment: dict[str, str], *, pipes: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        argv,
        env=environment,
        cwd=ROOT,
        stdin=subprocess.PIPE if pipes else subprocess.DEVNULL,
        stdout=subprocess.PIPE if pipes else subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            sys.exit("the server did not come up")
        time.sleep(0.1)


def call(url: str, body: dict[str, str] | None = None, token: str = "") -> dict[str, str] | None:
    request = urllib.request.Request(  # noqa: S310 - loopback
        url, headers={"Content-Type": "application/json"}
    )
    if body is not None:
        request.data = json.dumps(body).encode()
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - loopback
            return dict(json.load(answer))
    except OSError:
        return None


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
