"""How much is killed: a little with every test run, a lot by `./run test --faults`."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator

import pytest

from tests.faults.harness import FaultServer
from tests.live.harness import database, running

# A line for each poll would bury what a failed test has to say.
logging.getLogger("httpx").setLevel(logging.WARNING)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults", action="store_true", help="the long form of the fault tests")
    parser.addoption("--faults-seed", type=int, help="of an earlier run, to have its kills again")


@pytest.fixture(scope="session")
def is_long(pytestconfig: pytest.Config) -> bool:
    # Without this directory on the command line the options came too late to be read.
    return bool(pytestconfig.getoption("--faults", default=False))


@pytest.fixture
def seed(pytestconfig: pytest.Config) -> int:
    """Printed with what a failed test has to say."""
    given = pytestconfig.getoption("--faults-seed", default=None)
    chosen = random.SystemRandom().randrange(2**32) if given is None else int(given)
    print(f"--faults-seed={chosen}")
    return chosen


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultServer]:
    """A server whose processes are killed, and which has to get over it."""
    root = tmp_path_factory.mktemp("f")
    quick = {"PROVISIONING_QUEUE__POLL_SECONDS": "0.2"}
    with database() as url, running(FaultServer.with_fake_cli(root, url, **quick)) as server:
        assert isinstance(server, FaultServer)
        yield server
