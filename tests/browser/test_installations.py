"""Installations and attempts as a person looks at them: what happened, why, and what to do about it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.harness import Console, post
from tests.live.harness import LiveServer

OpenAs = Callable[..., Console]
# Only the rows of these tests: others may have left theirs.
INSTALLATIONS = "/admin/autoinstall/installation/?token=machines-7"
ATTEMPTS = "/admin/autoinstall/attempt/?token=machines-7"
DATA = Path(__file__).parents[1] / "autoinstall" / "data"
INFO: dict[str, Any] = json.loads((DATA / "installer-9.2.json").read_text())
REPORT: dict[str, Any] = json.loads((DATA / "post-hook.json").read_text())
CONFIG = {
    "id": "rack",
    "authorized-tokens": ["machines-7"],
    "country": "at",
    "keyboard": "de",
    "target-filter": {"/dmi/system/name": "Northwind *"},
    "timezone": "UTC",
    "mailto": "o@e.at",
    "fqdn": "pve{{ nr }}.e.at",
    "template-counters": {"nr": 5},
    "disk-list": ["sda"],
    "filesystem": {"filesystem": "ext4"},
    "root-password": "a-long-password",
}


def ask(server: LiveServer, credential: str, serial: str, name: str = "Northwind R210") -> Any:
    """As the machine with this serial."""
    system = {"serial": serial, "uuid": "", "name": name, "sku": ""}
    body = {**INFO, "dmi": {**INFO["dmi"], "system": system}}
    headers = {"Authorization": f"Bearer {credential}", "Accept": "application/json"}
    return server.client.post("/v1/auto-install/answer", json=body, headers=headers)


@pytest.fixture(scope="module")
def machines(server: LiveServer) -> Iterator[str]:
    """The credential; SN-1 finished, SN-2 in progress, SN-3 without an answer, and one refused."""
    credential = str(post(server, "/v1/auto-install/tokens", {"id": "machines-7"})["credential"])
    config = {**CONFIG, "post-hook-base-url": server.url("")}
    post(server, "/v1/auto-install/prepared", config)
    hook = ask(server, credential, "SN-1").json()["post-installation-webhook"]
    report = {**REPORT, "token": hook["auth-token"]}
    assert server.client.post(hook["url"], json=report).status_code == 200
    ask(server, credential, "SN-2")
    ask(server, credential, "SN-3", name="Unknown Box")
    ask(server, "machines-7:wrong", "SN-4")
    yield credential
    for row in server.get("/v1/auto-install/installations", token="machines-7"):
        server.client.delete(f"/v1/auto-install/installations/{row['id']}")
    server.client.delete("/v1/auto-install/prepared/rack")
    server.client.delete("/v1/auto-install/tokens/machines-7")


def rows_of(page: Page) -> Any:
    return page.locator("#result_list tbody tr")


def test_an_operator_follows_an_installation_from_the_list_to_its_report(
    console: OpenAs, machines: str
) -> None:
    operator = console("operator", permissions=["clipboard-read", "clipboard-write"])
    page = operator.open(INSTALLATIONS)
    expect(rows_of(page)).to_have_count(3)
    page.get_by_role("link", name="finished", exact=True).click()
    expect(rows_of(page)).to_have_count(1)
    page.get_by_role("link", name="pve7.lab.example.org").click()

    timeline = page.locator("ol.timeline")
    expect(timeline).to_contain_text("Asked from 127.0.0.1")
    expect(timeline).to_contain_text("Answered by rack")
    expect(timeline).to_contain_text("Finished")
    disks = page.get_by_role("region", name="Disks")
    expect(disks.get_by_role("cell", name="/dev/sda")).to_be_visible()
    expect(page.get_by_text("rack is the first that matches.")).to_be_visible()

    page.get_by_text("The report as it came").click()
    page.locator("details:has(#report-raw)").get_by_role("button", name="Copy").click()
    page.wait_for_function("navigator.clipboard.readText().then((t) => t.includes('machine-id'))")
    copied = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert copied["fqdn"] == REPORT["fqdn"] and "token" not in copied


def test_a_machine_without_an_answer_shows_why_and_leads_to_a_config_for_it(
    console: OpenAs, machines: str
) -> None:
    operator = console("operator")
    page = operator.open(f"{INSTALLATIONS}&state=no-answer-found")
    page.get_by_role("link", name="SN-3").focus()
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", name="Unknown Box SN-3")).to_be_visible()
    why = page.get_by_role("region", name="Why this answer?")
    expect(why).to_contain_text("No config matches, and there is no default")
    expect(why).to_contain_text("value 'Unknown Box' does not match 'Northwind *'")
    link = page.get_by_role("link", name="Make a config from this machine")
    attempt = page.url.split("/")[-3]
    expect(link).to_have_attribute(
        "href", f"/admin/autoinstall/preparedconfig/add/?attempt={attempt}"
    )


def test_a_viewer_finds_the_reason_of_a_refusal_and_no_act(console: OpenAs, machines: str) -> None:
    viewer = console("viewer")
    page = viewer.open(ATTEMPTS)
    page.get_by_role("link", name="refused", exact=True).click()
    expect(rows_of(page)).to_have_count(1)
    expect(rows_of(page)).to_contain_text("The secret is wrong.")
    rows_of(page).get_by_role("link").first.click()

    expect(page.locator("ol.timeline")).to_contain_text("The secret is wrong.")
    expect(page.locator("main").get_by_role("button", name="Delete")).to_have_count(0)
    page.goto(f"{ATTEMPTS}&q=SN-2")
    expect(rows_of(page)).to_have_count(1)
    page.locator("#result_list tbody a").first.click()
    page.get_by_role("link", name="The installation").click()
    expect(page.locator("ol.timeline")).to_contain_text("Installing: its report is due")
    expect(page.locator("main").get_by_role("button", name="Delete")).to_have_count(0)


def test_the_list_is_filtered_by_a_name_that_is_typed(console: OpenAs, machines: str) -> None:
    page = console("viewer").open(INSTALLATIONS)
    field = page.get_by_role("combobox", name="Prepared config")

    field.fill("rack")
    field.press("Enter")

    expect(rows_of(page)).to_have_count(2)
    expect(field).to_have_value("rack")
    page.get_by_role("link", name="timed-out", exact=True).click()
    expect(page.get_by_text("Nothing matches.")).to_be_visible()
    assert "config=rack" in page.url and "state=timed-out" in page.url


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_are_accessible_and_fit_on_a_phone(
    console: OpenAs, machines: str, scheme: str
) -> None:
    phone = {"width": 390, "height": 800}
    operator = console("operator", color_scheme=scheme, viewport=phone)
    for path in (INSTALLATIONS, ATTEMPTS):
        page = operator.open(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        operator.check_accessibility()
    page.goto(f"{INSTALLATIONS}&state=finished")
    page.get_by_role("link", name="pve7.lab.example.org").click()
    page.get_by_role("heading", name="pve7.lab.example.org").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_text("The system information as it came").click()
    operator.check_accessibility()


def test_deleting_an_installation_asks_first(
    console: OpenAs, server: LiveServer, machines: str
) -> None:
    ask(server, machines, "SN-9")
    page = console("operator").open(f"{INSTALLATIONS}&q=SN-9")
    page.get_by_role("link", name="SN-9").click()
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.get_by_role("button", name="Delete").click()
    expect(page.locator("ol.timeline")).to_be_visible()

    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete").click()

    expect(page.get_by_text("was deleted successfully")).to_be_visible()
    assert server.get("/v1/auto-install/installations", serial="SN-9") == []
