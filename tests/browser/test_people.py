"""People at the console as an admin does it: users, roles, sessions, lockouts, one's own login."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.harness import Console, Trouble, log_in, post
from tests.live.harness import PASSWORD, LiveServer

OpenAs = Callable[..., Console]
GENERATED = re.compile(r"[a-z2-9]{5}(-[a-z2-9]{5}){3}")


def api_login(server: LiveServer, username: str, password: str) -> httpx.Response:
    body = {"username": username, "password": password}
    return httpx.post(server.url("/v1/auth/login"), json=body)


def agree(page: Page) -> None:
    """Say yes to every question of the page."""
    page.on("dialog", lambda dialog: dialog.accept())


def test_an_admin_makes_a_user_gives_roles_and_ends_sessions(
    console: OpenAs, server: LiveServer
) -> None:
    post(server, "/v1/workspaces", {"name": "lab"})
    admin = console("admin")
    page = admin.open("/admin/accounts/user/")
    agree(page)

    # Made with a generated password, which is shown once.
    page.get_by_role("link", name="Add user").click()
    page.get_by_label("Username").fill("nora")
    page.get_by_label("Full name").fill("Nora Nilsen")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("This is shown once.")).to_be_visible()
    password = page.locator(".secret code").inner_text()
    assert GENERATED.fullmatch(password)
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    admin.check_accessibility()

    # A role on her page, which takes effect.
    page.get_by_role("link", name="Go to nora").click()
    assert password not in page.content()
    page.get_by_label("Role:").select_option("Operator")
    page.get_by_label("Workspace:").select_option("lab")
    page.get_by_role("button", name="Give role").click()
    expect(page.get_by_text("nora is Operator in lab.")).to_be_visible()
    answer = api_login(server, "nora", password)
    assert answer.status_code == 200
    token = {"Authorization": f"Bearer {answer.json()['token']}"}

    # Her session can be seen and ended; the trail tells it.
    page.reload()
    sessions = page.get_by_role("region", name="Sessions")
    expect(sessions.get_by_text("python-httpx")).to_be_visible()
    sessions.get_by_role("button", name="End").click()
    expect(page.get_by_text("The session has ended.")).to_be_visible()
    expect(page.get_by_role("region", name="Recent events")).to_contain_text(
        "admin ended a session of nora"
    )
    refused = httpx.Response(200)
    for _ in range(100):  # another process may know the session for five seconds
        refused = httpx.get(server.url("/v1/auth/me"), headers=token)
        if refused.status_code == 401:
            break
        page.wait_for_timeout(100)
    assert refused.status_code == 401

    # The role goes, then she is locked out, then she is gone.
    page.get_by_role("button", name="Take away Operator in lab").click()
    expect(page.get_by_text("nora is not Operator in lab any more.")).to_be_visible()
    page.get_by_role("button", name="Deactivate").click()
    expect(page.get_by_text("nora is inactive, and logged out everywhere.")).to_be_visible()
    page.get_by_role("link", name="Delete").click()
    expect(page.get_by_role("heading", name="Delete nora?")).to_be_visible()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("link", name="nora", exact=True)).to_have_count(0)


def test_a_role_is_made_and_given_with_the_keyboard_only(
    console: OpenAs, server: LiveServer
) -> None:
    post(server, "/v1/users", {"username": "keith", "password": PASSWORD})
    page = console("admin").open("/admin/accounts/role/add/")

    page.get_by_label("Name").focus()
    page.keyboard.type("Deployer")
    page.keyboard.press("Tab")
    page.keyboard.type("Servers only")
    page.get_by_label("Create servers").focus()
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Deployer").first).to_be_visible()

    page.goto("/admin/accounts/user/?q=keith")
    page.get_by_role("link", name="keith", exact=True).focus()
    page.keyboard.press("Enter")
    page.get_by_label("Role:").focus()
    page.keyboard.type("Deployer")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    expect(page.get_by_text("keith is Deployer everywhere.")).to_be_visible()


def test_a_lockout_is_shown_with_its_seconds_and_ended_by_an_admin(
    console: OpenAs, server: LiveServer, browser: Browser
) -> None:
    post(server, "/v1/users", {"username": "lotte", "password": PASSWORD})
    post(server, "/v1/role-bindings", {"user": "lotte", "role": "Viewer"})
    trouble = Trouble()
    window = browser.new_context(base_url=server.url(""))
    lotte = Console(window, server, trouble)
    page = lotte.open("/admin/")
    for _ in range(5):
        assert api_login(server, "lotte", "wrong").status_code == 401

    page.get_by_label("Username").fill("lotte")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text(re.compile(r"try again in \d+ seconds"))
    lotte.check_accessibility()

    admin = console("admin")
    lockouts = admin.open("/admin/accounts/loginthrottle/?q=lotte")
    admin.check_accessibility()
    lockouts.get_by_role("button", name="Unlock").click()
    expect(lockouts.get_by_text("lotte can log in again.")).to_be_visible()
    page.get_by_label("Username").fill("lotte")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    window.close()
    trouble.check()


def test_after_a_logout_the_back_button_shows_nothing(server: LiveServer, browser: Browser) -> None:
    window = browser.new_context(
        base_url=server.url(""), storage_state=log_in(server, browser, "admin")
    )
    trouble = Trouble()
    page = Console(window, server, trouble).open("/admin/accounts/user/")

    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="You are logged out")).to_be_visible()
    page.go_back()

    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    expect(page.get_by_role("heading", name="Users")).to_have_count(0)
    window.close()
    trouble.check()


def test_ones_password_is_changed_and_a_forgotten_page_leads_back(
    server: LiveServer, browser: Browser
) -> None:
    post(server, "/v1/users", {"username": "petra", "password": PASSWORD})
    post(server, "/v1/role-bindings", {"user": "petra", "role": "Viewer"})
    state = log_in(server, browser, "petra")
    here = browser.new_context(base_url=server.url(""), storage_state=state)
    trouble = Trouble()
    trouble.expected.append("404")
    petra = Console(here, server, trouble)
    page = petra.open("/admin/password_change/")
    petra.check_accessibility()

    page.get_by_label("Old password").fill(PASSWORD)
    page.get_by_label("New password:").fill("an-even-longer-passphrase")
    page.get_by_label("New password confirmation").fill("an-even-longer-passphrase")
    page.get_by_role("button", name="Change my password").click()
    expect(page.get_by_role("heading", name="Your password is changed")).to_be_visible()

    page.goto("/admin/no-such-page/")
    expect(page.get_by_role("heading", name="Not found")).to_be_visible()
    page.get_by_role("link", name="Go to the overview").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    here.close()
    trouble.check()


def test_a_viewer_sees_no_people_and_is_refused_in_the_look_of_the_console(console: OpenAs) -> None:
    viewer = console("viewer")
    viewer.trouble.expected.append("403")
    page = viewer.open()

    expect(page.get_by_role("navigation", name="Console")).not_to_contain_text("Users")
    page.goto("/admin/accounts/user/")

    expect(page.get_by_role("heading", name="Not allowed")).to_be_visible()
    expect(page.get_by_role("navigation", name="Console")).to_be_visible()
    viewer.check_accessibility()


PAGES = [
    *("user/", "user/add/", "user/1/change/", "user/1/delete/", "user/2/password/", "role/"),
    *("role/add/", "role/2/change/", "rolebinding/", "rolebinding/add/", "refreshsession/"),
    *("loginthrottle/?state=all", "workspace/", "workspace/1/change/", "auditevent/"),
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_of_people_is_accessible_and_fits_a_phone(console: OpenAs, scheme: str) -> None:
    admin = console("admin", color_scheme=scheme)
    of_colour = {"runOnly": ["color-contrast", "link-in-text-block"]}  # all that the dark can break

    for path in PAGES:
        page = admin.open(f"/admin/accounts/{path}")
        admin.check_accessibility(**(of_colour if scheme == "dark" else {}))
        page.set_viewport_size({"width": 390, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
        page.set_viewport_size({"width": 1280, "height": 720})
