"""The audit trail as an admin reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.harness import Console, post
from tests.live.harness import PASSWORD, LiveServer

OpenAs = Callable[..., Console]


def test_an_admin_finds_what_happened_reads_the_change_and_follows_it(
    console: OpenAs, server: LiveServer
) -> None:
    made = post(server, "/v1/users", {"username": "anton", "password": PASSWORD})
    post(server, "/v1/role-bindings", {"user": "anton", "role": "Developer"})
    body = {"full_name": "Anton <b>Berg</b>"}
    server.client.patch(f"/v1/users/{made['id']}", json=body).raise_for_status()
    admin = console("admin")
    page = admin.open("/admin/accounts/auditevent/")

    # A sentence per event; the filter finds one.
    events = page.get_by_role("region", name="Events")
    expect(events).to_contain_text("admin gave anton the role Developer everywhere")
    page.get_by_label("Event:").select_option("user.changed")
    page.get_by_label("Search").fill("anton")
    page.get_by_role("button", name="Show").click()
    expect(events.get_by_role("link")).to_have_text(["admin changed anton: full name"])

    # What changed, without a tag of theirs becoming one of ours; then the target itself.
    events.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("admin changed anton: full name")
    row = page.get_by_role("row").filter(has_text="full name")
    expect(row.locator("ins")).to_have_text("Anton <b>Berg</b>")
    admin.check_accessibility()
    page.get_by_role("link", name="Everything of this request").click()
    expect(page.get_by_text("Only the events of request")).to_be_visible()
    expect(events.get_by_role("link")).to_have_text(["admin changed anton: full name"])
    page.go_back()
    page.get_by_role("link", name="Open anton").click()
    expect(page.get_by_role("heading", name="anton", exact=True)).to_be_visible()


def test_what_the_filter_shows_is_exported_as_lines(
    console: OpenAs, server: LiveServer, tmp_path: Path
) -> None:
    post(server, "/v1/users", {"username": "exported", "password": PASSWORD})
    page = console("admin").open("/admin/accounts/auditevent/?event=user.created&q=exported")

    with page.expect_download() as download:
        page.get_by_role("button", name="JSON lines").click()
    file = tmp_path / "trail.jsonl"
    download.value.save_as(file)

    (line,) = [json.loads(one) for one in file.read_text().splitlines()]
    assert line["sentence"] == "admin created the user exported"
    assert re.fullmatch(r"audit-\d{8}-\d{6}\.jsonl", download.value.suggested_filename)
    page.goto("/admin/accounts/auditevent/?event=audit.exported")
    expect(page.get_by_role("region", name="Events")).to_contain_text(
        "admin exported audit events as jsonl"
    )


def test_the_trail_is_paged_by_keyboard(console: OpenAs, server: LiveServer) -> None:
    for number in range(52):
        body = {"full_name": f"Admin {number}"}
        server.client.patch("/v1/users/1", json=body).raise_for_status()
    server.client.patch("/v1/users/1", json={"full_name": ""}).raise_for_status()
    page = console("admin").open("/admin/accounts/auditevent/")

    page.get_by_role("link", name="Older").focus()
    page.keyboard.press("Enter")

    page.wait_for_url("**before=*")
    page.get_by_role("link", name="Newer").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**after=*")
