"""Real servers, as few as the tests can share."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.live.harness import LiveServer, database, running

# A line for each poll would bury what a failed test has to say.
logging.getLogger("httpx").setLevel(logging.WARNING)


@pytest.fixture(scope="session")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server as a newcomer starts it: with the bundled CLI."""
    with database() as url, running(LiveServer(tmp_path_factory.mktemp("b"), url)) as server:
        yield server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server with the fake CLI, ten operations at a time, two web processes."""
    root = tmp_path_factory.mktemp("s")
    with database() as url, running(LiveServer.with_fake_cli(root, url)) as server:
        yield server


@pytest.fixture
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server of the test's own, not yet started, to be killed at will."""
    with database() as url:
        server = LiveServer.with_fake_cli(tmp_path_factory.mktemp("o"), url)
        try:
            yield server
        finally:
            server.end()
