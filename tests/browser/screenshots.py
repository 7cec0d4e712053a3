"""The pictures of README.md and docs/console.md: `./run screenshots`.

A real server on a database of its own, two weeks of history (`tests.browser.history`), a few real operations
by `data/demo_cli.py`, machines that ask for their answer; then Chromium, in light and dark.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, Page

from tests.browser.harness import chromium, log_in, post
from tests.live.harness import REPOSITORY, LiveServer, running

PICTURES = REPOSITORY / "docs" / "images" / "console"
WIDTH, HEIGHT = 1280, 820
DEMO_CLI = Path(__file__).parent / "data" / "demo_cli.py"
MACHINE = REPOSITORY / "tests" / "autoinstall" / "data" / "installer-9.2.json"
WORKFLOW = {
    "workspace": "production",
    "name": "shop",
    "steps": [
        {"id": "db", "kind": "server_create", "params": {"hostname": "db-41"}},
        {"id": "web-1", "kind": "server_create", "params": {"hostname": "web-41"}},
        {"id": "web-2", "kind": "server_create", "params": {"hostname": "web-42"}},
        {
            "id": "postgres",
            "kind": "taskserv_create",
            "params": {"name": "postgres", "server": "db-41"},
            "depends_on": ["db"],
        },
        {
            "id": "cluster",
            "kind": "cluster_create",
            "params": {"name": "shop"},
            "depends_on": ["postgres", "web-1", "web-2"],
        },
    ],
}


@dataclass(frozen=True)
class Picture:
    name: str
    path: str


def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ps-") as root:
        server = LiveServer(
            Path(root),
            PROVISIONING_CLI_PATH=str(DEMO_CLI),
            PROVISIONING_PROVISIONING__SYNC_MINUTES="0",
            PROVISIONING_SERVER__PUBLIC_URL="",
        )
        with running(server), chromium() as browser:
            take(server, browser, make_story(server))


def make_story(server: LiveServer) -> list[Picture]:
    """Something to see on every page; returns the pages."""
    subprocess.run(
        [sys.executable, "-m", "tests.browser.history", "420", "260"],
        cwd=REPOSITORY,
        env={**server.environment, "DJANGO_SETTINGS_MODULE": "provisioning.settings"},
        check=True,
    )
    for name in ("oscar", "dora", "victor"):
        post(server, "/v1/users", {"username": name, "password": "a-long-password-1"})
    for name, role in (("oscar", "Operator"), ("dora", "Developer"), ("victor", "Viewer")):
        post(server, "/v1/role-bindings", {"user": name, "role": role})
    token = post(server, "/v1/auto-install/tokens", {"id": "rack-7", "comment": "Row B, rack 7"})
    config = post(server, "/v1/auto-install/prepared", config_body())
    ask_for_answers(server, token["credential"])
    done = [server.create_server(f"web-{number}")["id"] for number in range(31, 34)]
    done.append(server.create_server("bad-17")["id"])
    for one in done:
        server.wait_for(one, "completed", "failed")
    for step in WORKFLOW["steps"]:
        if step["kind"] == "server_create":  # type: ignore[index]
            step["params"].update(provider="local", plan="2xCPU-4GB")  # type: ignore[index]
    workflow = post(server, "/v1/workflows/submit", WORKFLOW, status=202)["id"]
    server.wait_for(workflow, "completed", "failed")
    slow = server.create_server("slow-08")["id"]
    server.wait_for(slow, "running")
    return pages(server, done[0], workflow, config)


def config_body() -> dict[str, Any]:
    return {
        "id": "rack-7-compute",
        "authorized-tokens": ["rack-7"],
        "target-filter": {
            "/dmi/system/name": "Northwind R*",
            "/network_interfaces/*/mac": "A0:36:9F:*",
        },
        "country": "at",
        "keyboard": "de",
        "timezone": "Europe/Vienna",
        "mailto": "ops@example.com",
        "root-password": "change-this-now",
        "fqdn": "pve{{ installation_nr }}.example.com",
        "template-counters": {"installation_nr": 41},
        "filesystem": {"filesystem": "zfs", "raid": "RAID1"},
        "disk-list": ["sda", "sdb"],
        "post-hook-base-url": "https://provisioning.example.com",
    }


def ask_for_answers(server: LiveServer, credential: str) -> None:
    """Two machines that get one, and one that nobody prepared for."""
    for serial, name in (
        ("NW7F2K9", "Northwind R210"),
        ("NW7F2L1", "Northwind R210"),
        ("Q1", "Other"),
    ):
        machine = json.loads(MACHINE.read_text())
        machine["dmi"]["system"].update(serial=serial, name=name, uuid="")
        httpx.post(
            server.url("/v1/auto-install/answer"),
            json=machine,
            headers={"Authorization": f"Bearer {credential}"},
        )


def pages(server: LiveServer, operation: str, workflow: str, config: Any) -> list[Picture]:
    attempt = server.get("/v1/auto-install/installations", limit=3)[1]["id"]
    return [
        Picture("overview", "/admin/"),
        Picture("operations", "/admin/operations/operation/"),
        Picture("operation", f"/admin/operations/operation/{operation}/change/"),
        Picture("workflow", f"/admin/operations/operation/{workflow}/change/"),
        Picture("servers", "/admin/operations/server/"),
        Picture("tokens", "/admin/autoinstall/answertoken/"),
        Picture("prepared-config", "/admin/autoinstall/preparedconfig/1/change/"),
        Picture("installations", "/admin/autoinstall/installation/"),
        Picture("installation", f"/admin/autoinstall/installation/{attempt}/change/"),
        Picture("audit", "/admin/accounts/auditevent/"),
    ]


def take(server: LiveServer, browser: Browser, pictures: list[Picture]) -> None:
    state = log_in(server, browser, "admin")
    for scheme in ("light", "dark"):
        window = browser.new_context(
            base_url=server.url(""),
            storage_state=state,
            color_scheme=scheme,
            viewport={"width": WIDTH, "height": HEIGHT},
        )
        page = window.new_page()
        for picture in pictures:
            page.goto(picture.path)
            settle(page)
            if picture.name == "prepared-config":
                show_preview(page)
            page.screenshot(path=PICTURES / f"{picture.name}-{scheme}.png")
            print(f"{picture.name}-{scheme}.png")
        window.close()


def show_preview(page: Page) -> None:
    """Of the first machine of the list."""
    page.get_by_role("combobox", name="Machine").select_option(index=2)
    page.get_by_role("button", name="Preview").click()
    settle(page)


def settle(page: Page) -> None:
    """Until what a page loads afterwards is there; streams stay open, so nothing else tells."""
    page.wait_for_load_state("load")
    page.wait_for_timeout(700)


if __name__ == "__main__":
    main()
