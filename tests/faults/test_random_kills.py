"""Many operations under random kills: each runs once, none is lost, none lies about itself."""

from __future__ import annotations

import itertools
import os
import random
import threading
import time
from collections import Counter, defaultdict
from contextlib import suppress
from math import inf
from typing import Any

from tests.faults.harness import (
    CLUSTER,
    COMPLETED,
    RUNNER,
    SUPERVISOR,
    FaultServer,
    Outcome,
    kill,
    numbered_errors,
    numbered_output,
)
from tests.processes import (
    Line,
    most_at_once,
    processes_of,
    processes_with,
    read_journal,
    runs_by_operation,
    wait_until,
)

HOSTS = 12  # so many locks: with ten at once, some wait for one and some for room
LIMIT = 10
KILLED = Outcome("failed", "exit", 137)
LOST = Outcome("failed", "lost", None)


class Killer(threading.Thread):
    """Kills a part of the server, a CLI or a launcher, again and again, so often at most."""

    def __init__(self, server: FaultServer, seed: int, *, pause: float, times: float) -> None:
        super().__init__(name="killer")
        self.server = server
        self.chance = random.Random(seed)  # noqa: S311 - no secret
        self.pause = pause
        self.times = times
        self.stopping = threading.Event()
        self.kills: Counter[str] = Counter()
        self.killed: dict[str, tuple[Outcome, float]] = {}  # operation: what it has to be, when

    def run(self) -> None:
        while self.kills.total() < self.times:
            if self.stopping.wait(self.chance.uniform(0, self.pause)):
                return
            [what] = self.chance.choices(
                [RUNNER, CLUSTER, SUPERVISOR, "cli", "launcher"], weights=[10, 3, 1, 4, 3]
            )
            is_killed = self.kill_one(what) if what in ("cli", "launcher") else self.kill_part(what)
            self.kills[what] += is_killed

    def kill_part(self, what: str) -> bool:
        victims = self.server.victims(what)
        kill(victims)
        return bool(victims)

    def kill_one(self, what: str) -> bool:
        """A CLI that is in the middle of its output, or its launcher."""
        lines = read_journal(self.server.journal)
        begun = [line for line in lines if line.word == "start"]
        ended = {line.operation for line in lines if line.word == "end"}
        open_ = [line for line in begun if line.operation not in ended | set(self.killed)]
        if not open_:
            return False
        line = self.chance.choice(open_)
        launcher = _parent_of(line.pid, line.operation)
        if not launcher:
            return False
        self.killed[line.operation] = (KILLED if what == "cli" else LOST, time.monotonic())
        kill({line.pid if what == "cli" else launcher})
        return True

    def stop(self) -> None:
        self.stopping.set()
        self.join()


def _parent_of(pid: int, operation_id: str) -> int:
    """The launcher of a CLI that lives; 0 when it is none of this operation's (any more)."""
    with suppress(OSError):
        members = processes_of(operation_id)
        launchers = {member for member in members if os.getsid(member) == member}
        return launchers.pop() if pid in members and launchers else 0
    return 0


def test_operations_run_once_whoever_is_killed(
    target: FaultServer, seed: int, is_long: bool
) -> None:
    count = 1000 if is_long else 40
    killer = Killer(target, seed, pause=2.0 if is_long else 0.6, times=inf if is_long else 8)
    killer.start()
    try:
        names = submit(target, count)
        wait_until(
            lambda: not unfinished(target), "all have ended", 3600 if is_long else 120, pause=0.25
        )
    finally:
        killer.stop()
    print(f"killed: {dict(killer.kills)}")
    lines = [line for line in read_journal(target.journal) if line.operation in names]

    assert runs_by_operation(lines) == dict.fromkeys(names, 1)
    for operation_id, name in names.items():
        assert_truth(target, operation_id, name, lines, killer.killed.get(operation_id))
    assert_order(names, lines)
    with_deaths = [
        *lines,
        *(
            Line("end", operation_id, 0, at, "-")
            for operation_id, (_, at) in killer.killed.items()
            if not has_ended(operation_id, lines)
        ),
    ]
    assert most_at_once(with_deaths) <= LIMIT
    assert processes_with(f"FAKE_CLI_JOURNAL={target.journal}") - target.processes() == set()
    wait_until(lambda: not any((target.state / "operations").iterdir()), "no file is left", 60)


def submit(server: FaultServer, count: int) -> dict[str, str]:
    """One after the other, so that the order is known; their names by their ids."""
    hostnames = [
        f"slow-{lines}-{host}"
        for host, lines in zip(range(HOSTS), itertools.cycle((20, 60, 120)), strict=False)
    ]
    names = [hostnames[index * 7 % HOSTS] for index in range(count)]
    return {server.create_server(name)["id"]: name for name in names}


def unfinished(server: FaultServer) -> list[Any]:
    return [
        row
        for status in ("pending", "running")
        for row in server.get("/v1/operations", status=status, limit=1000)
    ]


def has_ended(operation_id: str, lines: list[Line]) -> bool:
    return any(line.word == "end" and line.operation == operation_id for line in lines)


def assert_truth(
    server: FaultServer,
    operation_id: str,
    name: str,
    lines: list[Line],
    killed: tuple[Outcome, float] | None,
) -> None:
    """What the server says of it is what became of it."""
    row = server.operation(operation_id)
    found = Outcome(row["status"], row["reason"], row["exit_code"])
    stdout, stderr = (server.log_of(operation_id, stream) for stream in ("stdout", "stderr"))
    if found == COMPLETED:
        assert has_ended(operation_id, lines), row
        assert (stdout, stderr) == (numbered_output(name), numbered_errors(name))
    else:
        # A kill may come after the last word of the CLI; without one nothing may fail.
        assert killed is not None and found == killed[0], (str(row), killed)
        assert numbered_output(name).startswith(stdout)
        # The launcher's shell says a last word about a CLI that was killed.
        assert numbered_errors(name).startswith(stderr.removesuffix("Killed\n"))
    assert server.ends_of(operation_id) == [row["status"]]


def assert_order(names: dict[str, str], lines: list[Line]) -> None:
    """First come, first served, and one at a time on a server."""
    wanted: dict[str, list[str]] = defaultdict(list)
    found: dict[str, list[str]] = defaultdict(list)
    for operation_id, name in names.items():
        wanted[name].append(operation_id)
    running: dict[str, str] = {}
    for line in lines:
        name = names[line.operation]
        if line.word == "start":
            before = running.get(name)
            assert before is None or not has_ended(before, lines), (before, line)
            found[name].append(line.operation)
            running[name] = line.operation
        elif line.word == "end":
            running.pop(name, None)
    assert found == wanted
