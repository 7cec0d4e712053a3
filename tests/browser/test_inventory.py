"""Servers as people work with them; workers, draining, locks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.harness import Console
from tests.browser.test_operations import check_looks, ended, status_of
from tests.live.harness import LiveServer

OpenAs = Callable[..., Console]
SERVERS = "/admin/operations/server/"


def open_server(console: Console, name: str) -> Page:
    page = console.open(f"{SERVERS}?q={name}")
    page.get_by_role("link", name=name, exact=True).click()
    return page


def accept(dialog: Any) -> None:
    dialog.accept()


def test_a_server_is_looked_at_checked_and_deleted(console: OpenAs, server: LiveServer) -> None:
    ended(server, "ok-inventory-1")
    operator = console("operator")
    page = open_server(operator, "ok-inventory-1")

    expect(page.get_by_role("heading", name="ok-inventory-1")).to_be_visible()
    expect(page.get_by_role("region", name="Its operations")).to_contain_text("completed")
    page.get_by_role("button", name="Refresh status").click()
    expect(page.get_by_text("The CLI says: running.")).to_be_visible()
    page.get_by_role("button", name="Check deletion").click()
    expect(page.get_by_role("heading", name="Delete server ok-inventory-1")).to_be_visible()
    expect(status_of(page)).to_have_text("completed")
    expect(page.locator(".page-head")).to_contain_text("check")

    page = open_server(operator, "ok-inventory-1")
    page.once("dialog", accept)
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_role("heading", name="Delete server ok-inventory-1")).to_be_visible()
    expect(status_of(page)).to_have_text("completed")

    page.goto(f"{SERVERS}?q=ok-inventory-1")
    expect(page.get_by_text("Nothing matches.")).to_be_visible()


def test_a_taskserv_is_installed_from_the_page_of_its_server(
    console: OpenAs, server: LiveServer
) -> None:
    ended(server, "ok-inventory-2")
    page = open_server(console("operator"), "ok-inventory-2")

    page.get_by_role("link", name="Install a taskserv").click()
    expect(page.get_by_label("Server", exact=True)).to_have_value("ok-inventory-2")
    page.get_by_label("Name", exact=True).fill("ok-dns")
    page.get_by_label("Settings").fill('{"ttl": }')
    page.get_by_role("button", name="Create taskserv").click()
    expect(page.get_by_text("Line 1, column 9")).to_be_visible()
    expect(page.get_by_label("Name", exact=True)).to_have_value("ok-dns")
    page.get_by_label("Settings").fill('{"ttl": 60}')
    page.get_by_role("button", name="Create taskserv").click()

    expect(page.get_by_role("heading", name="Create taskserv ok-dns")).to_be_visible()
    expect(status_of(page)).to_have_text("completed")
    page = open_server(console("viewer"), "ok-inventory-2")
    expect(page.get_by_role("region", name="Taskservs on it")).to_contain_text("ok-dns")
    expect(page.get_by_role("button", name="Delete", exact=True)).to_have_count(0)
    expect(page.get_by_role("link", name="Install a taskserv")).to_have_count(0)


def test_a_workspace_is_kept_and_taken_away(console: OpenAs, server: LiveServer) -> None:
    page = console("operator").open("/admin/operations/workspacelock/")
    production = page.get_by_role("region", name="production")
    production.get_by_label("Reason").fill("moving racks")
    production.get_by_role("button", name="Keep production").click()
    expect(production).to_contain_text("kept by you")
    expect(production).to_contain_text("moving racks")

    others = console("admin").open("/admin/operations/workspacelock/")
    others.once("dialog", accept)
    others.get_by_role("button", name="Take the lock away").click()

    expect(others.get_by_role("region", name="production")).to_contain_text("free")
    page.reload()
    expect(production).to_contain_text("free")


def test_an_admin_sees_the_workers_and_drains(console: OpenAs, server: LiveServer) -> None:
    page = console("admin").open("/admin/operations/runner/")
    expect(page.locator("#result_list")).to_contain_text("alive")

    page.get_by_label("Reason").fill("Upgrade at 18:00")
    page.once("dialog", accept)
    page.get_by_role("button", name="Drain").click()
    try:
        expect(page.get_by_role("heading", name="Drained")).to_be_visible()
        form = console("operator").open("/admin/operations/server/add/")
        for label in ("Provider", "Plan", "Host name"):
            form.get_by_label(label).fill("ok-drained")
        form.get_by_label("Workspace").select_option("production")
        form.get_by_role("button", name="Create server").click()
        expect(form.get_by_text("takes no new operations: Upgrade at 18:00")).to_be_visible()
        expect(form.get_by_label("Host name")).to_have_value("ok-drained")
        page.once("dialog", accept)
        page.get_by_role("button", name="Resume").click()
        expect(page.get_by_role("heading", name="Taking work")).to_be_visible()
    finally:
        server.client.delete("/v1/system/drain")


def test_the_pages_are_accessible_and_fit_a_phone(console: OpenAs, server: LiveServer) -> None:
    ended(server, "ok-looks")
    admin = console("admin")
    open_server(admin, "ok-looks")
    check_looks(admin)

    for name in ("server", "taskserv", "runner", "workspacelock"):
        admin.open(f"/admin/operations/{name}/")
        check_looks(admin)
