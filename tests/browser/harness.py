"""What the browser tests share: Chromium, people, a window that remembers every complaint, axe."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    StorageState,
    sync_playwright,
)

from tests.live.harness import PASSWORD, LiveServer

PATIENCE_MILLISECONDS = 15_000
OPTIONS = [
    "--no-sandbox",  # the tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
]
REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`CSP: ${event.violatedDirective} ${event.blockedURI} in ${event.sourceFile}`));
"""


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """The Chromium of this machine (`PROVISIONING_CHROMIUM`, else the one on the PATH)."""
    program = os.environ.get("PROVISIONING_CHROMIUM") or shutil.which("chromium")
    assert program, (
        "The browser tests need Chromium: apt install chromium, or PROVISIONING_CHROMIUM."
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=OPTIONS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Trouble:
    """Every complaint of every page of a test."""

    complaints: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)  # regular expressions

    def watch(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(f"script error: {error}"))
        page.on("requestfailed", self._failed)
        page.on("response", self._response)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"console {message.type}: {message.text}")

    def _failed(self, request: Request) -> None:
        # Leaving a page ends what it was still asking for, a stream for example.
        if request.failure != "net::ERR_ABORTED":
            self.complaints.append(f"failed: {request.url} {request.failure}")

    def _response(self, response: Response) -> None:
        if response.status >= 400:
            self.complaints.append(f"answered {response.status}: {response.url}")

    def check(self) -> None:
        left = [
            one for one in self.complaints if not any(re.search(two, one) for two in self.expected)
        ]
        assert not left, "\n".join(left)


@dataclass(frozen=True)
class Person:
    name: str
    state: StorageState  # the cookies of the login


class Console:
    """One browser window of one person."""

    def __init__(self, window: BrowserContext, server: LiveServer, trouble: Trouble) -> None:
        window.add_init_script(REPORT_VIOLATIONS)
        self.server = server
        self.trouble = trouble
        self.page = window.new_page()
        self.page.set_default_timeout(PATIENCE_MILLISECONDS)
        trouble.watch(self.page)

    def open(self, path: str = "/admin/") -> Page:
        self.page.goto(path)
        return self.page

    def check_accessibility(self, **options: Any) -> None:
        """No finding of axe-core that it calls serious or critical, on the page as it is now."""
        # Without preload: it would copy Django's @import into an inline style, which our policy refuses.
        options = {"preload": False, **options}
        found = Axe().run(self.page, options=options).response["violations"]
        serious = [
            f"{one['id']}: {one['help']} at {', '.join(str(node['target']) for node in one['nodes'])}"
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
        assert not serious, f"{self.page.url}\n" + "\n".join(serious)


def make_people(server: LiveServer, browser: Browser) -> dict[str, Person]:
    """The first admin and one user of each other role; the password is everybody's."""
    roles = {"operator": "Operator", "developer": "Developer", "viewer": "Viewer"}
    for name, role in roles.items():
        post(server, "/v1/users", {"username": name, "password": PASSWORD})
        post(server, "/v1/role-bindings", {"user": name, "role": role})
    names = ("admin", *roles)
    return {name: Person(name, log_in(server, browser, name)) for name in names}


def log_in(server: LiveServer, browser: Browser, name: str) -> StorageState:
    with contextlib.closing(browser.new_context(base_url=server.url(""))) as window:
        page = window.new_page()
        page.goto("/admin/")
        page.get_by_label("Username").fill(name)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("heading", name="Overview").wait_for()
        return window.storage_state()


def post(server: LiveServer, path: str, body: dict[str, Any], *, status: int = 201) -> Any:
    answer = server.client.post(path, json=body)
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None
