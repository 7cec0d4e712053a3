"""Prepared configs as a person makes, tries, copies, imports and reads them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.autoinstall.factories import TAKES_JSON, system_info
from tests.browser.harness import Console, post
from tests.live.harness import LiveServer

OpenAs = Callable[..., Console]
LIST = "/admin/autoinstall/preparedconfig/"
MODEL = "Eastgate E7"
PASSWORD = "a-root-password"
MADE = ("by-hand", "machine-wx-1", "eastgate-copy", "imported", "by-keyboard", "no-script")
PHONE = {"width": 390, "height": 800}
ANSWER = """[global]
keyboard = "de"
country = "at"
fqdn = "imported.example.com"
mailto = "ops@example.com"
timezone = "Europe/Vienna"
root-password = "imported-password"

[network]
source = "from-dhcp"

[disk-setup]
filesystem = "zfs"
zfs.raid = "RAID1"
disk-list = ["sda", "sdb"]
"""


@pytest.fixture(scope="module")
def saved(server: LiveServer) -> dict[str, Any]:
    """A token, a config, and two machines of one model and one of another that have asked with it."""
    made = post(server, "/v1/auto-install/tokens", {"id": "hall-3"})
    body = {
        "id": "eastgate",
        "authorized-tokens": ["hall-3"],
        "target-filter": {"/dmi/system/name": "Eastgate*"},
        "country": "at",
        "fqdn": "pve{{ nr }}.example.com",
        "keyboard": "de",
        "mailto": "ops@example.com",
        "timezone": "Europe/Vienna",
        "root-password": PASSWORD,
        "filesystem": {"filesystem": "zfs", "raid": "RAID1"},
        "disk-list": ["sda", "sdb"],
        "template-counters": {"nr": 1},
        "priority": 5,
    }
    config = post(server, "/v1/auto-install/prepared", body)
    for serial, model in (("EG-1", MODEL), ("EG-2", MODEL), ("WX-1", "Westgate W1")):
        number = int(serial[-1]) + 100 * (serial[0] == "W")
        info = system_info(
            serial,
            f"7d3b1c52-0e86-4f0a-b2d4-{number:012x}",
            name=model,
            macs=(f"A0:36:9F:3C:00:{number:02X}",),
        )
        headers = {"Authorization": f"Bearer {made['credential']}", "Accept": TAKES_JSON}
        server.client.post("/api2/json/auto-install/answer", json=info, headers=headers)
    return dict(config)


@pytest.fixture(autouse=True)
def _tidy(server: LiveServer) -> Iterator[None]:
    """What a test makes, the next one must not meet."""
    yield
    for name in MADE:
        server.client.delete(f"/v1/auto-install/prepared/{name}")


def fill_in(page: Page, name: str) -> None:
    """All that a new config needs."""
    page.get_by_label("Id", exact=True).fill(name)
    page.get_by_label("Pointer 1", exact=True).fill("/dmi/system/name")
    page.get_by_label("Pattern 1", exact=True).first.fill("Eastgate*")
    page.get_by_label("Token 1", exact=True).fill("hall-3")
    page.get_by_label("Full host name (FQDN)").fill("pve1.example.com")
    page.get_by_label("E-mail of root").fill("ops@example.com")
    page.get_by_label("Country").select_option("at")
    page.get_by_label("Root password", exact=True).fill(PASSWORD)
    page.get_by_label("Names of the disks").fill("sda")


def field(page: Page, name: str) -> Any:
    return page.locator(f'[data-field="{name}"]')


def verdict(page: Page) -> Any:
    return page.locator("[data-verdict]")


def test_a_config_is_made_with_the_guided_form(
    console: OpenAs, server: LiveServer, saved: dict[str, Any]
) -> None:
    operator = console("operator")
    page = operator.open(LIST)
    page.get_by_role("link", name="New prepared config").click()
    expect(verdict(page)).to_contain_text("fields need your attention")
    expect(page.locator(".errorlist:visible")).to_have_count(0)  # nothing was touched yet

    fill_in(page, "by-hand")

    expect(verdict(page)).to_contain_text("The installer's rules are kept.")
    expect(verdict(page)).to_contain_text("also eastgate")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("The prepared config by-hand is saved.")).to_be_visible()
    expect(page.locator(".messagelist .warning")).to_contain_text("also eastgate")
    config = server.get("/v1/auto-install/prepared/by-hand")
    assert config["target-filter"] == {"/dmi/system/name": "Eastgate*"}
    assert config["filesystem"] == {"filesystem": "ext4"}
    page.get_by_role("link", name="Delete").click()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="Prepared configs")).to_be_visible()
    expect(page.get_by_role("link", name="by-hand", exact=True)).to_have_count(0)


def test_what_the_installer_would_refuse_is_said_as_one_types(
    console: OpenAs, saved: dict[str, Any]
) -> None:
    page = console("operator").open(f"{LIST}add/")
    fill_in(page, "typed")
    expect(verdict(page)).to_contain_text("are kept")

    page.get_by_label("Time zone").fill("Etc/UTC")
    expect(field(page, "timezone")).to_contain_text("is no time zone of zone.tab")
    expect(page.get_by_label("Time zone")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_role("link", name="Global 1")).to_be_visible()
    page.get_by_label("Names of the disks").fill("sda sdb")
    expect(field(page, "disk_list")).to_contain_text("ext4 takes exactly one")
    page.get_by_label("Filesystem").select_option("zfs")
    page.locator("#id_zfs_raid").select_option("RAID1")
    page.get_by_label("Time zone").fill("Europe/Vienna")
    expect(verdict(page)).to_contain_text("are kept")
    expect(field(page, "timezone").locator("[data-errors]")).to_be_hidden()

    # Saving what is wrong shows the same, and what was typed stays.
    page.get_by_label("E-mail of root").fill("nobody")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing is saved")
    expect(field(page, "mailto")).to_contain_text("is no e-mail address")
    expect(page.get_by_label("Names of the disks")).to_have_value("sda sdb")
    expect(page.get_by_label("Root password", exact=True)).to_have_value("")
    expect(field(page, "root_password")).to_contain_text("taken over already")
    page.get_by_label("E-mail of root").fill("ops@example.com")
    expect(verdict(page)).to_contain_text("are kept")


def test_only_what_matters_for_a_choice_is_shown(console: OpenAs, saved: dict[str, Any]) -> None:
    page = console("operator").open(f"{LIST}add/")

    expect(field(page, "cidr")).to_be_hidden()
    page.get_by_label("A static address").check()
    expect(field(page, "cidr")).to_be_visible()
    expect(field(page, "dhcp_fqdn_domain")).to_be_hidden()
    page.get_by_label("The name that DHCP gives").check()
    expect(field(page, "dhcp_fqdn_domain")).to_be_visible()
    expect(field(page, "fqdn")).to_be_hidden()
    page.get_by_label("Filesystem").select_option("btrfs")
    expect(field(page, "btrfs_raid")).to_be_visible()
    expect(field(page, "zfs_raid")).to_be_hidden()
    page.get_by_text("Sizes and options").click()
    expect(field(page, "btrfs_compress")).to_be_visible()
    expect(field(page, "lvm_maxroot")).to_be_hidden()
    page.get_by_label("Those that a filter matches").check()
    expect(field(page, "disk_filter")).to_be_visible()
    expect(field(page, "disk_list")).to_be_hidden()


def test_filters_are_rows_with_suggestions_and_a_count_of_machines(
    console: OpenAs, saved: dict[str, Any]
) -> None:
    page = console("operator").open(f"{LIST}add/")
    filters = field(page, "target_filter")

    assert "/dmi/chassis/sku" in page.locator("#list-pointers option").evaluate_all(
        "options => options.map(one => one.value)"
    )
    filters.get_by_label("Pointer 1", exact=True).fill("/dmi/system/name")
    filters.get_by_label("Pattern 1", exact=True).focus()
    suggested = page.locator("#list-values option").evaluate_all("all => all.map(one => one.value)")
    assert {MODEL, "Westgate W1"} <= set(suggested)
    filters.get_by_label("Pattern 1", exact=True).fill("Eastgate*")
    expect(filters.locator("p[data-reach]")).to_contain_text("All together match 2 of the last")
    filters.get_by_role("button", name="Add a filter").click()
    expect(filters.get_by_label("Pointer 2", exact=True)).to_be_focused()
    filters.get_by_label("Pointer 2", exact=True).fill("/dmi/system/serial")
    filters.get_by_label("Pattern 2", exact=True).fill("EG-1")
    expect(filters.locator("p[data-reach]")).to_contain_text("All together match 1 of the last")
    filters.get_by_role("button", name="Remove Pointer 2").click()
    expect(filters.locator("p[data-reach]")).to_contain_text("All together match 2 of the last")


def test_the_preview_says_why_and_what_and_moves_no_counter(
    console: OpenAs, server: LiveServer, saved: dict[str, Any]
) -> None:
    operator = console("operator")
    page = operator.open(LIST)
    page.get_by_role("link", name="eastgate", exact=True).click()
    result = page.get_by_role("region", name="Result of the preview")
    counter = server.get("/v1/auto-install/prepared/eastgate")["template-counters"]

    page.get_by_label("Search the machines seen").fill("EG-2")
    expect(page.get_by_label("Machine", exact=True).locator("option")).to_have_count(2)
    page.get_by_label("Machine", exact=True).select_option(index=1)
    expect(result).to_contain_text("This machine would get eastgate.")
    expect(result).to_contain_text(f"found {MODEL}")
    expect(result).to_contain_text('fqdn = "pve2.example.com"')
    expect(result).to_contain_text('root-password-hashed = "********"')
    operator.check_accessibility()

    # The form as it is now, though it is not saved.
    page.get_by_label("Pattern 1", exact=True).first.fill("Other*")
    page.get_by_role("button", name="Preview").click()
    expect(result).to_contain_text("This machine would get nothing.")
    expect(result).to_contain_text(f"value '{MODEL}' does not match 'Other*'")
    page.get_by_text("Paste system information").click()
    page.get_by_label("System information (JSON)").fill("{")
    page.get_by_role("button", name="Preview").click()
    expect(result).to_contain_text("The body is not valid JSON")
    assert server.get("/v1/auto-install/prepared/eastgate")["template-counters"] == counter


def test_a_config_is_begun_from_a_machine_and_its_token_shown_once(
    console: OpenAs, server: LiveServer, saved: dict[str, Any]
) -> None:
    operator = console("operator")
    attempts = server.get("/v1/auto-install/attempts", serial="WX-1")
    page = operator.open(f"{LIST}add/?attempt={attempts[0]['id']}")
    expect(page.get_by_label("Id", exact=True)).to_have_value("machine-wx-1")
    expect(page.get_by_label("Pattern 1", exact=True).first).to_have_value(
        re.compile("7d3b1c52-0e86")
    )
    expect(field(page, "target_filter")).to_contain_text("All together match 1 of the last")
    expect(field(page, "country")).to_contain_text("is missing")
    result = page.get_by_role("region", name="Result of the preview")
    expect(result).to_contain_text("The config cannot be answered yet")
    expect(result).to_contain_text("Country: is missing")

    page.get_by_role("button", name="Remove Token 1").click()
    page.get_by_label("Full host name (FQDN)").fill("west.example.com")
    page.get_by_label("E-mail of root").fill("ops@example.com")
    page.get_by_label("Country").select_option("at")
    page.get_by_label("Root password", exact=True).fill(PASSWORD)
    page.get_by_label("Names of the disks").fill("sda")
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_role("heading", name="The token's secret, shown once")).to_be_visible()
    expect(page.locator(".secret")).to_contain_text("--answer-auth-token machine-wx-1-")
    operator.check_accessibility()
    page.get_by_role("link", name="Back to machine-wx-1").click()
    expect(page.get_by_role("heading", name="machine-wx-1")).to_be_visible()


def test_a_config_is_copied_exported_and_imported(
    console: OpenAs, server: LiveServer, saved: dict[str, Any]
) -> None:
    operator = console("operator")
    page = operator.open(LIST)
    page.get_by_role("link", name="eastgate", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Export answer.toml").click()
    text = download.value.path().read_text()
    assert 'fqdn = "pve{{ nr }}.example.com"' in text and "$6$" not in text
    page.get_by_role("link", name="Copy").click()
    expect(page.get_by_label("Id", exact=True)).to_have_value("eastgate-copy")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("The prepared config eastgate-copy is saved.")).to_be_visible()

    page.goto(LIST)
    page.get_by_role("link", name="Import answer.toml").click()
    page.get_by_label("Text of an answer.toml").fill(ANSWER.replace("mailto", "mailtoo"))
    page.get_by_role("button", name="Read it").click()
    expect(page.get_by_role("alert")).to_contain_text("line 5, global.mailtoo:")
    operator.check_accessibility()
    page.get_by_label("Text of an answer.toml").fill(ANSWER)
    page.get_by_role("button", name="Read it").click()
    expect(page.get_by_label("Full host name (FQDN)")).to_have_value("imported.example.com")
    expect(page.locator("#id_zfs_raid")).to_have_value("RAID1")
    page.get_by_label("Id", exact=True).fill("imported")
    page.get_by_label("The default config").check()
    page.get_by_label("Token 1", exact=True).fill("hall-3")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("The prepared config imported is saved.")).to_be_visible()


def test_a_priority_is_changed_in_the_list(
    console: OpenAs, server: LiveServer, saved: dict[str, Any]
) -> None:
    page = console("operator").open(f"{LIST}?q=eastgate")
    priority = page.get_by_role("row", name="eastgate").get_by_label("Priority")

    priority.fill("3")
    page.get_by_role("button", name="Save priorities").click()

    expect(priority).to_have_value("3")
    assert server.get("/v1/auto-install/prepared/eastgate")["priority"] == 3


def test_a_viewer_reads_and_previews_and_finds_no_form(
    console: OpenAs, saved: dict[str, Any]
) -> None:
    viewer = console("viewer")
    page = viewer.open(f"{LIST}?q=eastgate")
    expect(page.get_by_role("link", name="New prepared config")).to_have_count(0)
    expect(page.get_by_label("Priority")).to_have_count(0)

    page.get_by_role("link", name="eastgate", exact=True).click()

    expect(page.get_by_text("Eastgate*", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Save")).to_have_count(0)
    expect(page.get_by_role("link", name=re.compile("Copy|Delete"))).to_have_count(0)
    page.get_by_label("Search the machines seen").fill("EG-1")
    expect(page.get_by_label("Machine", exact=True).locator("option")).to_have_count(2)
    page.get_by_label("Machine", exact=True).select_option(index=1)
    expect(page.get_by_role("region", name="Result of the preview")).to_contain_text("eastgate")
    viewer.check_accessibility()


def test_the_form_works_by_keyboard_alone(
    console: OpenAs, server: LiveServer, saved: dict[str, Any]
) -> None:
    page = console("operator").open(f"{LIST}add/?copy={key_of(console, 'eastgate')}")
    name = page.get_by_label("Id", exact=True)

    name.focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("by-keyboard")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Pointer 1", exact=True)).to_be_focused()
    page.get_by_role("button", name="Add a filter").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Pointer 2", exact=True)).to_be_focused()
    page.keyboard.type("/dmi/system/serial")
    page.keyboard.press("Tab")
    page.keyboard.type("EG-*")
    page.keyboard.press("Enter")  # saves

    expect(page.get_by_text("The prepared config by-keyboard is saved.")).to_be_visible()
    made = server.get("/v1/auto-install/prepared/by-keyboard")
    assert made["target-filter"]["/dmi/system/serial"] == "EG-*"


def key_of(console: OpenAs, name: str) -> str:
    page = console("viewer").open(f"{LIST}?q={name}")
    link = page.get_by_role("link", name=name, exact=True).get_attribute("href") or ""
    return link.split("/")[-3]


def test_without_script_everything_still_works(
    console: OpenAs, server: LiveServer, saved: dict[str, Any]
) -> None:
    page = console("operator", java_script_enabled=False).open(f"{LIST}add/")
    fill_in(page, "no-script")
    page.get_by_label("Pointer 2", exact=True).fill("/dmi/system/serial")  # a blank row is there
    page.get_by_label("Pattern 2", exact=True).first.fill("EG-*")
    machine = page.locator("#machine option", has_text="EG-2").get_attribute("value")
    page.get_by_label("Machine", exact=True).select_option(machine)

    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("region", name="Result of the preview")).to_contain_text("no-script")
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_text("The prepared config no-script is saved.")).to_be_visible()
    assert len(server.get("/v1/auto-install/prepared/no-script")["target-filter"]) == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_are_accessible_and_fit_a_phone(
    console: OpenAs, saved: dict[str, Any], scheme: str
) -> None:
    operator = console("operator", color_scheme=scheme, viewport=PHONE)
    for path in (LIST, f"{LIST}import/", f"{LIST}add/?copy={key_of(console, 'eastgate')}"):
        page = operator.open(path)
        if page.locator("[data-verdict]").count():
            for more in page.locator("details:not([open]) > summary").all():
                if more.is_visible():
                    more.click()
            page.get_by_label("A static address").check()  # wrong now: errors are shown, too
            expect(field(page, "cidr")).to_contain_text("is missing")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], path
        operator.check_accessibility()
