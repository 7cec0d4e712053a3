"""Answer tokens as an operator uses them: make one, copy it, rotate it, throw it away."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Dialog, Page, expect

from tests.browser.harness import Console, post
from tests.live.harness import LiveServer

OpenAs = Callable[..., Console]
TOKENS = "/admin/autoinstall/answertoken/"


@pytest.fixture
def clean(server: LiveServer) -> Iterator[None]:
    """No token of these tests is left for the next."""
    yield
    server.client.delete("/v1/auto-install/prepared/rack")
    for name in ("rack-7", "rack-9", "lab-net"):
        server.client.delete(f"/v1/auto-install/tokens/{name}")


def credential_on(page: Page) -> str:
    return page.locator("#credential").inner_text()


def is_answered(server: LiveServer, credential: str) -> bool:
    """Whether the token is good: then there is only no config for the machine."""
    answer = server.client.post(
        "/v1/auto-install/answer", json={}, headers={"Authorization": f"Bearer {credential}"}
    )
    return answer.status_code == 400


def test_an_operator_makes_a_token_by_keyboard_and_its_secret_is_shown_this_once(
    console: OpenAs, server: LiveServer, clean: None
) -> None:
    operator = console("operator", permissions=["clipboard-read", "clipboard-write"])
    page = operator.open(TOKENS)
    page.get_by_role("link", name="Add answer token").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("ID:")).to_be_focused()
    operator.check_accessibility()
    page.keyboard.type("rack-9")
    page.keyboard.press("Tab")
    page.keyboard.type("Row C")
    page.keyboard.press("Enter")

    page.get_by_role("heading", name="Copy the token now: it is shown this once").wait_for()
    credential = credential_on(page)
    assert credential.startswith("rack-9:") and is_answered(server, credential)
    operator.check_accessibility()

    page.get_by_role("button", name="Copy the token").press("Enter")
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == credential
    page.get_by_role("button", name="Copy the command").press("Enter")
    page.wait_for_function(
        "navigator.clipboard.readText().then((text) => text.includes('prepare-iso'))"
    )
    command = page.evaluate("navigator.clipboard.readText()")
    assert command.startswith("proxmox-auto-install-assistant prepare-iso proxmox-ve_9.2-1.iso")
    assert f"--url {server.url('/api2/json/auto-install/answer')}" in command
    assert command.endswith(f"--answer-auth-token {credential}")

    secret = credential.partition(":")[2]
    page.reload()
    expect(page.get_by_role("heading", name="rack-9")).to_be_visible()
    assert secret not in page.content()
    page.go_back()
    page.wait_for_load_state()
    assert secret not in page.content()
    page.go_forward()
    page.wait_for_load_state()
    assert secret not in page.content() and secret not in page.url


def test_leaving_the_page_takes_the_secret_along(
    console: OpenAs, server: LiveServer, clean: None
) -> None:
    post(server, "/v1/auto-install/tokens", {"id": "rack-7"})
    page = console("operator").open(TOKENS)
    page.get_by_role("link", name="rack-7").click()
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Rotate the secret").click()
    page.locator("#credential").wait_for()
    secret = credential_on(page).partition(":")[2]

    page.get_by_role("link", name="I have copied it").click()
    expect(page.get_by_role("button", name="Save")).to_be_visible()
    page.go_back()
    page.wait_for_load_state()

    assert secret not in page.content()


def test_rotating_asks_first_and_ends_the_old_secret(
    console: OpenAs, server: LiveServer, clean: None
) -> None:
    old = post(server, "/v1/auto-install/tokens", {"id": "rack-7"})["credential"]
    page = console("operator").open(TOKENS)
    page.get_by_role("link", name="rack-7").click()
    questions: list[str] = []

    def say_no(dialog: Dialog) -> None:
        questions.append(dialog.message)
        dialog.dismiss()

    page.once("dialog", say_no)
    page.get_by_role("button", name="Rotate the secret").click()
    assert "every image that holds it has to be prepared again" in questions[0]
    assert is_answered(server, old)

    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Rotate the secret").click()
    page.locator("#credential").wait_for()
    assert is_answered(server, credential_on(page))
    assert not is_answered(server, old)


def test_bad_input_stands_beside_its_field_and_nothing_typed_is_lost(
    console: OpenAs, server: LiveServer, clean: None
) -> None:
    operator = console("operator", color_scheme="dark")
    page = operator.open(f"{TOKENS}add/")
    page.get_by_label("ID:").fill("lab-net")
    page.get_by_label("Expires:").fill("2031-05-01T12:30")
    page.get_by_label("Allow without secret").check()
    page.get_by_role("button", name="Create and show the secret").click()

    expect(page.get_by_text("Needs source-cidrs")).to_be_visible()
    expect(page.get_by_label("ID:")).to_have_value("lab-net")
    expect(page.get_by_label("Expires:")).to_have_value("2031-05-01T12:30")
    operator.check_accessibility()

    page.get_by_label("Source networks:").fill("10.9.0.0/24")
    page.get_by_role("button", name="Create and show the secret").click()
    page.locator("#credential").wait_for()
    token = server.get("/v1/auto-install/tokens/lab-net")
    assert (token["source-cidrs"], token["expire-at"]) == (["10.9.0.0/24"], 1_935_405_000)


def test_an_operator_changes_and_deletes_a_token_but_not_one_in_use(
    console: OpenAs, server: LiveServer, clean: None
) -> None:
    post(server, "/v1/auto-install/tokens", {"id": "rack-7"})
    config = {
        "id": "rack",
        "authorized-tokens": ["rack-7"],
        "country": "at",
        "keyboard": "de",
        "target-filter": {"/dmi/system/name": "x"},
        "timezone": "UTC",
        "mailto": "o@e.at",
        "fqdn": "a.e.at",
        "filesystem": {"filesystem": "ext4"},
        "disk-list": ["sda"],
        "root-password": "a-long-password",
    }
    post(server, "/v1/auto-install/prepared", config)
    operator = console("operator")
    page = operator.open(TOKENS)
    page.get_by_role("link", name="rack-7").click()
    expect(page.get_by_role("link", name="rack", exact=True)).to_be_visible()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.reload()  # colours that fade would be measured halfway
        operator.check_accessibility()

    page.get_by_label("Most uses:").fill("3")
    page.get_by_role("button", name="Save").click()
    row = page.get_by_role("row").filter(has_text="rack-7")
    expect(row).to_contain_text("0 of 3")

    page.get_by_role("link", name="rack-7").first.click()
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete").click()
    sentence = "The answer token rack-7 is in use by prepared configs: rack."
    expect(page.get_by_text(sentence)).to_be_visible()

    server.client.delete("/v1/auto-install/prepared/rack")
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("was deleted successfully")).to_be_visible()
    expect(page.get_by_role("link", name="rack-7", exact=True)).to_have_count(0)


def test_a_viewer_sees_tokens_and_no_act_and_a_phone_cuts_nothing_off(
    console: OpenAs, server: LiveServer, clean: None
) -> None:
    post(server, "/v1/auto-install/tokens", {"id": "rack-7", "comment": "Row B", "max-uses": 9})
    viewer = console("viewer", viewport={"width": 390, "height": 800})

    page = viewer.open(TOKENS)
    expect(page.get_by_role("link", name="Add answer token")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.reload()  # colours that fade would be measured halfway
        viewer.check_accessibility()
    page.get_by_role("link", name="rack-7").click()

    expect(page.get_by_role("definition").filter(has_text="Row B")).to_be_visible()
    acts = page.locator("main").get_by_role("button")
    expect(acts).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    operator = console("operator", viewport={"width": 390, "height": 800})
    page = operator.open(f"{TOKENS}add/")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
