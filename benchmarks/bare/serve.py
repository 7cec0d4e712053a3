"""`python -m benchmarks.bare.serve PORT PROCESSES THREADS`: under Granian, as ours is."""

from __future__ import annotations

import sys

import django
from granian import Granian
from granian.constants import Interfaces


def main(port: int, processes: int, threads: int) -> None:
    django.setup()
    from benchmarks.bare.views import make_table

    make_table()
    Granian(
        "benchmarks.bare.views:application",
        address="127.0.0.1",
        port=port,
        interface=Interfaces.WSGI,
        workers=processes,
        blocking_threads=threads,
        backlog=2048,
        log_access=False,
        log_enabled=False,
    ).serve()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
