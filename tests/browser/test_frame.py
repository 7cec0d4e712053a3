"""The frame of every page: login, navigation, themes, phones."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.harness import Console, Trouble
from tests.live.harness import LiveServer

OpenAs = Callable[..., Console]


def test_the_login_page_names_the_product_and_is_accessible(
    server: LiveServer, browser: Browser
) -> None:
    trouble = Trouble()
    window = browser.new_context(base_url=server.url(""))
    stranger = Console(window, server, trouble)

    page = stranger.open("/admin/")

    expect(page.get_by_role("heading", name="Provisioning Server")).to_be_visible()
    expect(page.get_by_role("link", name="API documentation")).to_have_attribute("href", "/v1/docs")
    stranger.check_accessibility()
    window.close()
    trouble.check()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_home_page_is_accessible(console: OpenAs, scheme: str) -> None:
    admin = console("admin", color_scheme=scheme)

    page = admin.open()

    expect(page.get_by_role("navigation", name="Console")).to_be_visible()
    admin.check_accessibility()


def test_the_theme_can_be_changed_and_stays(console: OpenAs) -> None:
    page = console("viewer", color_scheme="light").open()
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")

    page.get_by_role("button", name="Toggle theme").first.click()
    page.reload()

    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before


def test_on_a_phone_the_navigation_is_behind_a_button_and_nothing_is_cut_off(
    console: OpenAs,
) -> None:
    admin = console("admin", viewport={"width": 390, "height": 800})
    page = admin.open()
    navigation = page.get_by_role("navigation", name="Console")

    expect(navigation).to_be_hidden()
    page.get_by_role("button", name="Menu").click()

    expect(navigation).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    admin.check_accessibility()


def test_the_navigation_works_by_keyboard(console: OpenAs) -> None:
    page = console("admin").open()

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to main content")).to_be_focused()
    page.get_by_role("navigation", name="Console").get_by_role("link", name="Operations").focus()
    page.keyboard.press("Enter")

    expect(page).to_have_url(f"{page.url.split('/admin')[0]}/admin/operations/operation/")
