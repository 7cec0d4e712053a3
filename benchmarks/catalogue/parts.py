"""Have the parts of an answer measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.catalogue.servers import ROOT, Server


def measure(server: Server, configs: int) -> dict[str, list[float]]:
    """Over the database of this server, which has nothing to do meanwhile."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.catalogue.parts_alone"),
            *(str(configs), server.credential),
        ],
        env=server.environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return dict(json.loads(done.stdout))
