"""The parts of an answer alone: `python -m benchmarks.catalogue.parts_alone CONFIGS TOKEN`.

Over the catalogue that the environment names, which `fill` made. Prints JSON: for each part the figures
of some repetitions; microseconds, but for the load (seconds) and the change (milliseconds).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import django

django.setup()

from django.db import transaction  # noqa: E402 - needs Django set up

from autoinstall import snapshot  # noqa: E402
from autoinstall.answers import CompiledConfig, to_json, to_toml  # noqa: E402
from autoinstall.authentication import Refusal, authenticate, from_header  # noqa: E402
from autoinstall.installers import fitted  # noqa: E402
from autoinstall.models import PreparedConfig  # noqa: E402
from autoinstall.services.answering import best  # noqa: E402
from autoinstall.services.catalogue import lock_catalogue, note_change  # noqa: E402
from autoinstall.sysinfo import SystemInfo, read_system_info  # noqa: E402
from benchmarks.catalogue import machines  # noqa: E402

REPEATS, CALLS = 9, 1000


def main(count: int, credential: str) -> None:
    loads = [load_all() for _ in range(5)]
    view = snapshot.current()
    header = f"Bearer {credential}"

    def check() -> Any:
        return authenticate(view, from_header(header), "127.0.0.1")

    found = check()
    assert not isinstance(found, Refusal)
    token = found[0].pk
    some = [1 + index * (count - 2) // CALLS for index in range(CALLS)]
    infos = [read_system_info(machines.body(machines.serial_of(n), n)) for n in some]
    first = cpu_us(lambda: match_all(view, token, infos), 1) / CALLS
    entry = best(view, token, infos[0].info)
    assert entry is not None
    one, compiled = infos[0], entry.payload.compiled
    counters = {machines.COUNTER: 17}
    raw = machines.body(machines.serial_of(1), 1)
    parts: dict[str, list[float]] = {
        "load_s": [clock for clock, _ in loads],
        "load_cpu_s": [cpu for _, cpu in loads],
        "change_ms": [second * 1000 for second in changes()],
        "match_first_us": [first],
        "match_us": [
            cpu_us(lambda: match_all(view, token, infos), 1) / CALLS for _ in range(REPEATS)
        ],
        "token_us": each_us(check),
        "json_us": each_us(lambda: to_json(compiled.render(one.info, counters))),
        "toml_us": each_us(
            lambda: to_toml(
                fitted(compiled.render(one.info, counters), one.installer, lambda: None)[0]
            )
        ),
        "compile_us": each_us(lambda: compiled_anew(entry)),
        "read_us": each_us(lambda: read_system_info(raw)),
    }
    json.dump(parts, sys.stdout)


def load_all() -> tuple[float, float]:
    """Seconds by the clock and of the processor."""
    clock, cpu = time.perf_counter(), time.process_time()
    snapshot.load()
    return time.perf_counter() - clock, time.process_time() - cpu


def match_all(view: Any, token: int, infos: list[SystemInfo]) -> None:
    for info in infos:
        if best(view, token, info.info) is None:
            sys.exit(f"no config matches {info.serial}")


def changes() -> list[float]:
    """Seconds to bring the snapshot up to date after one config was changed."""
    found = []
    for number in range(1, 8):
        with transaction.atomic():
            lock_catalogue()
            row = PreparedConfig.objects.get(name=f"config-{number}")
            row.priority = number
            row.generation = note_change(row)
            row.save()
        found.append(timed(snapshot.refresh))
        assert snapshot.current().generation == row.generation
    return found


def compiled_anew(entry: Any) -> CompiledConfig:
    return CompiledConfig(entry.payload.document, entry.payload.password_hash)


def each_us(act: Callable[[], Any]) -> list[float]:
    act()
    return [cpu_us(act, CALLS) for _ in range(REPEATS)]


def cpu_us(act: Callable[[], Any], calls: int) -> float:
    """For each call, of the processor: others on the machine do not count."""
    began = time.process_time()
    for _ in range(calls):
        act()
    return (time.process_time() - began) / calls * 1e6


def timed(act: Callable[[], Any]) -> float:
    """Seconds by the clock."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


main(int(sys.argv[1]), sys.argv[2])
