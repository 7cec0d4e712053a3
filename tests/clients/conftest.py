"""One real server with the fake CLI for the tests of the clients, and others to stop at will."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.shell import SHELLS, Client, Door
from tests.live.conftest import bundled, own_server, server
from tests.live.harness import LiveServer

__all__ = ["bundled", "own_server", "server"]


@pytest.fixture(params=sorted(SHELLS))
def shell(request: pytest.FixtureRequest) -> str:
    """Every shell of this machine that users have as `sh`."""
    name = str(request.param)
    if shutil.which(SHELLS[name][0]) is None:
        pytest.skip(f"{SHELLS[name][0]} is not installed")
    return name


@pytest.fixture
def client(server: LiveServer, tmp_path: Path) -> Client:
    return Client(server, tmp_path)


@pytest.fixture
def door(server: LiveServer) -> Iterator[Door]:
    with Door(server) as door:
        yield door
