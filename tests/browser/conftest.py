"""A real Chromium before a real server. Whatever a page complains of fails the test that opened it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.harness import Console, Person, Trouble, chromium, make_people
from tests.live.harness import LiveServer, database, running

# A line for each request would bury what a failed test has to say.
logging.getLogger("httpx").setLevel(logging.WARNING)

# Scoped to this package: while Playwright runs it has an event loop, and Django refuses the database to
# whoever has one. The other tests need theirs.


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server with the fake CLI, as the live tests have it."""
    root = tmp_path_factory.mktemp("c")
    with database() as url, running(LiveServer.with_fake_cli(root, url)) as server:
        yield server


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="package")
def people(server: LiveServer, browser: Browser) -> dict[str, Person]:
    """admin, operator, developer and viewer, each logged in once by the login page."""
    return make_people(server, browser)


@pytest.fixture
def console(
    server: LiveServer, browser: Browser, people: dict[str, Person]
) -> Iterator[Callable[..., Console]]:
    """`console("operator")`: the console as this person has it, in a browser window of its own; further
    arguments are Playwright's for the window (`color_scheme`, `viewport` ...).

    At the end no page may have said anything on its console, have broken the Content-Security-Policy, or
    have asked for what was not there; `console.trouble.expected` takes what a test does on purpose.
    """
    trouble = Trouble()
    windows = []

    def open_as(name: str, **options: object) -> Console:
        window = browser.new_context(
            base_url=server.url(""),
            storage_state=people[name].state,
            **options,  # type: ignore[arg-type]
        )
        windows.append(window)
        return Console(window, server, trouble)

    yield open_as
    for window in windows:
        window.close()
    trouble.check()
