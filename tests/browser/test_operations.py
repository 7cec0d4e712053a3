"""Operations as people work with them: start, follow, cancel, run again, search, workflows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Dialog, Page, expect

from tests.browser.harness import Console
from tests.live.harness import LiveServer
from tests.processes import wait_until

OpenAs = Callable[..., Console]
LIST = "/admin/operations/operation/"
SCROLLED = "document.querySelector('.log').scrollTop"
PHONE = {"width": 390, "height": 800}


def release(server: LiveServer, name: str) -> None:
    """Let the CLI of this name go on."""
    Path(f"{server.journal}.go-{name}").touch()


def page_of(operation: dict[str, Any]) -> str:
    return f"{LIST}{operation['id']}/change/"


def ended(server: LiveServer, hostname: str, status: str = "completed") -> dict[str, Any]:
    return server.wait_for(server.create_server(hostname)["id"], status)


def log_of(page: Page) -> Any:
    return page.get_by_role("region", name="What the CLI wrote")


def status_of(page: Page) -> Any:
    return page.locator(".page-head .badge").first


def check_looks(console: Console) -> None:
    """Accessible in light and dark, and nothing reaches beyond the window of a phone."""
    page = console.page
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        page.evaluate("Promise.all(document.getAnimations().map((one) => one.finished))")
        console.check_accessibility()
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]  # the same two keys
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], page.url
    page.set_viewport_size({"width": 1280, "height": 800})


def test_an_operator_starts_a_server_by_keyboard_and_watches_it_to_its_end(
    console: OpenAs, server: LiveServer
) -> None:
    name = "paced-40-keyboard"
    page = console("operator").open("/admin/operations/server/")

    page.get_by_role("link", name="New server").focus()
    page.keyboard.press("Enter")
    page.get_by_label("Workspace").focus()
    for text in ("production", "\t", "local", "\t", "2xCPU-4GB", "\t", name):
        if text == "\t":
            page.keyboard.press("Tab")
        else:
            page.keyboard.type(text)
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", name=f"Create server {name}")).to_be_visible()
    address = page.url
    expect(log_of(page)).to_contain_text("out 20 é")
    expect(status_of(page)).to_have_text("running")
    expect(page.get_by_text("following")).to_be_visible()
    expect(page.get_by_role("button", name="Run again")).to_have_count(0)
    release(server, name)

    expect(status_of(page)).to_have_text("completed")
    expect(log_of(page)).to_contain_text("out 39 é")
    expect(page.locator("ol.timeline")).to_contain_text("Completed")
    expect(page.locator("pre.result")).to_contain_text("192.0.2.1")
    expect(page.get_by_role("button", name="Run again")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    assert log_of(page).inner_text().count("out 20 é") == 1
    assert page.url == address


def test_cancelling_asks_first_and_the_page_shows_the_end(
    console: OpenAs, server: LiveServer
) -> None:
    operation = server.create_server("polite-cancel")
    page = console("operator").open(page_of(operation))
    expect(log_of(page)).to_contain_text("hello")
    questions: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        questions.append(dialog.message)
        dialog.dismiss()

    page.once("dialog", dismiss)
    page.get_by_role("button", name="Cancel").click()
    assert server.operation(operation["id"])["status"] == "running"
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Cancel").click()

    expect(status_of(page)).to_have_text("cancelled")
    expect(log_of(page)).to_contain_text("goodbye")
    expect(page.locator("ol.timeline")).to_contain_text("Cancelling was asked for")
    assert "polite-cancel" in questions[0]


def test_a_failure_says_why_in_colours_and_is_run_again(
    console: OpenAs, server: LiveServer
) -> None:
    operation = ended(server, "fail-3-again", "failed")
    page = console("operator").open(page_of(operation))

    expect(page.locator(".outcome .said")).to_have_text("the cloud refused fail-3-again")
    expect(page.locator(".log .fg-1")).to_have_text("the cloud refused fail-3-again")
    expect(page.locator("ol.timeline")).to_contain_text("exit code 3")
    expect(page.get_by_role("region", name="Command")).to_contain_text("server create fail-3-again")
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Run again").click()

    expect(page.get_by_text("Create server fail-3-again runs again.")).to_be_visible()
    expect(status_of(page)).to_have_text("failed")
    again = page.url
    page.get_by_role("region", name="Facts").get_by_role("link", name="Create server").click()
    assert page.url != again
    assert operation["id"] in page.url


def test_a_log_of_100_000_lines_opens_at_its_end_and_goes_back(
    console: OpenAs, server: LiveServer
) -> None:
    operation = ended(server, "lines-50000-long")
    page = console("viewer").open(page_of(operation))
    log = log_of(page)

    expect(page.get_by_text("complete", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Load earlier lines")).to_be_attached()
    shown = "document.querySelector('.log-text').textContent.split('\\n').length"
    few = page.evaluate(shown)
    assert few < 3_000
    assert page.evaluate(
        "(() => { const box = document.querySelector('.log');"
        " return box.scrollHeight - box.scrollTop - box.clientHeight < 40; })()"
    )
    page.get_by_role("button", name="Load earlier lines").click()
    wait_until(lambda: page.evaluate(shown) > few + 1_000, "earlier lines are shown")
    page.get_by_label("Show").select_option("stdout")

    expect(log).to_contain_text("out 49999 é")
    expect(log).not_to_contain_text("err ")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert [line for line in lines if line.startswith("out ")] == [
        f"out {n} é" for n in range(50_000)
    ]


def test_following_is_paused_and_goes_on(console: OpenAs, server: LiveServer) -> None:
    name = "paced-400-pause"
    operation = server.create_server(name)
    page = console("viewer").open(page_of(operation))
    log = log_of(page)
    expect(log).to_contain_text("out 200 é")
    follow = page.get_by_role("button", name="Follow")

    log.hover()
    page.mouse.wheel(0, -1_500)
    expect(follow).to_have_attribute("aria-pressed", "false")
    place = page.evaluate(SCROLLED)
    release(server, name)
    expect(log).to_contain_text("out 399 é")
    assert page.evaluate(SCROLLED) == place
    follow.click()

    wait_until(lambda: page.evaluate(SCROLLED) > place + 1_000, "it is at the end")
    expect(follow).to_have_attribute("aria-pressed", "true")


def test_where_no_stream_is_to_be_had_the_log_is_asked_for(
    console: OpenAs, server: LiveServer
) -> None:
    name = "paced-40-poll"
    operation = server.create_server(name)
    viewer = console("viewer")
    viewer.trouble.expected += [r"503"]
    viewer.page.route("**/log/stream/**", lambda route: route.fulfill(status=503))
    page = viewer.open(page_of(operation))

    expect(page.get_by_text("looking every 2 seconds")).to_be_visible()
    release(server, name)

    expect(log_of(page)).to_contain_text("out 39 é")
    expect(status_of(page)).to_have_text("completed")
    assert log_of(page).inner_text().count("out 20 é") == 1


def test_colours_are_classes_and_nothing_in_a_log_becomes_markup(console: OpenAs) -> None:
    page = console("viewer").open(LIST)
    painted = page.evaluate(
        """async (pieces) => {
          const { Painter } = await import("/static/operations/ansi.js");
          const painter = new Painter();
          const box = document.createElement("div");
          for (const piece of pieces) box.append(painter.paint(piece));
          return box.innerHTML;
        }""",
        [
            "a<b> \x1b[1;3",
            "1mred\x1b[0m \x1b]8;;http://x\x07link\x1b]8;;\x1b\\ \x1b[2Kcleared\x07\r\n",
            "\x1b[38;5;196mx\x1b[39m\x1b[48;2;0;0;0my\x1b[m<img src=x>\x1b",
        ],
    )

    assert painted == (
        'a&lt;b&gt; <span class="fg-1 bold">red</span> link cleared\n'
        '<span class="fg-1">x</span><span class="bg-0">y</span>&lt;img src=x&gt;'
    )


def test_the_log_can_be_read_without_script(console: OpenAs, server: LiveServer) -> None:
    operation = ended(server, "lines-5-plain")

    page = console("viewer", java_script_enabled=False).open(page_of(operation))

    expect(page.get_by_text("out 4 é")).to_be_visible()
    expect(page.get_by_role("link", name="Download")).to_be_visible()
    expect(page.get_by_role("button", name="Follow")).to_be_hidden()


def test_operations_are_found(console: OpenAs, server: LiveServer) -> None:
    mine = ended(server, "ok-findme-1")
    ended(server, "fail-2-findme", "failed")
    page = console("viewer").open(LIST)

    page.get_by_role("searchbox", name="Search").fill("ok-find")
    page.keyboard.press("Enter")
    expect(page.locator("#result_list tbody tr")).to_have_count(1)
    expect(page.get_by_role("link", name="Create server ok-findme-1")).to_be_visible()
    page.get_by_role("searchbox", name="Search").fill(mine["request_id"])
    page.keyboard.press("Enter")
    expect(page.locator("#result_list tbody tr")).to_have_count(1)
    page.goto(LIST)
    page.get_by_role("navigation", name="Filter").get_by_role("link", name="Failed").click()
    page.get_by_label("From").fill("2020-01-01")
    page.get_by_role("button", name="Show", exact=True).click()

    expect(page.get_by_role("link", name="Create server fail-2-findme").first).to_be_visible()
    expect(page.get_by_role("link", name="Create server ok-findme-1")).to_have_count(0)
    assert "status__exact=failed" in page.url


# --- Workflows ---------------------------------------------------------------------------------


def step(name: str, hostname: str, *needs: str) -> dict[str, Any]:
    params = {"provider": "local", "plan": "small", "hostname": hostname}
    return {"id": name, "kind": "server_create", "params": params, "depends_on": list(needs)}


def width_of_image(page: Page, selector: str) -> int:
    image = f"document.querySelector('{selector}')"
    wait_until(lambda: page.evaluate(f"{image}.complete"), "the image is loaded")
    width: int = page.evaluate(f"{image}.naturalWidth")
    return width


def test_a_workflow_is_corrected_looked_at_submitted_and_watched(
    console: OpenAs, server: LiveServer
) -> None:
    operator = console("operator")
    page = operator.open(LIST)
    page.get_by_role("link", name="Submit workflow").click()
    body: dict[str, Any] = {"name": "rollout"}
    body["steps"] = [step("first", "hold-wf", "second"), step("second", "ok-wf", "first")]

    page.get_by_label("Workflow").fill(json.dumps(body))
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("first -> second -> first")).to_be_visible()
    body["steps"][0]["depends_on"] = []
    page.get_by_label("Workflow").fill(json.dumps(body))
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("heading", name="rollout in production: 2 steps")).to_be_visible()
    assert width_of_image(page, "#preview img") > 300
    operator.check_accessibility()
    page.get_by_role("button", name="Submit workflow").click()

    steps = page.get_by_role("region", name="Steps", exact=True)
    expect(page.get_by_role("heading", name="Workflow rollout", exact=True)).to_be_visible()
    expect(steps.get_by_role("row", name="first Create")).to_contain_text("running")
    expect(steps.get_by_role("row", name="second Create")).to_contain_text("pending")
    assert width_of_image(page, "#graph") > 300
    before = page.locator("#graph").get_attribute("src")
    operator.check_accessibility()
    release(server, "hold-wf")

    expect(steps).to_contain_text("100 % of 2 have ended")
    expect(status_of(page)).to_have_text("completed")
    expect(steps.get_by_role("row", name="second Create")).to_contain_text("completed")
    assert page.locator("#graph").get_attribute("src") != before
    assert width_of_image(page, "#graph") > 300
    steps.get_by_role("link", name="Create server ok-wf").click()
    expect(page.get_by_role("region", name="Facts")).to_contain_text(
        "Step second of Workflow rollout"
    )


# --- All of them -------------------------------------------------------------------------------


def test_a_viewer_sees_no_way_to_act(console: OpenAs, server: LiveServer) -> None:
    operation = ended(server, "ok-viewed")
    page = console("viewer").open(page_of(operation))

    expect(page.get_by_text("complete", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Run again")).to_have_count(0)
    page.goto(LIST)
    expect(page.get_by_role("link", name="New server")).to_have_count(0)
    expect(page.get_by_role("combobox", name="Action")).to_have_count(0)


def test_the_pages_are_accessible_and_fit_a_phone(console: OpenAs, server: LiveServer) -> None:
    operation = ended(server, "fail-4-a-name-so-long-that-no-phone-shows-it-in-one-line", "failed")
    operator = console("operator")

    for path in (LIST, "/admin/operations/taskserv/add/", f"{LIST}workflow/", page_of(operation)):
        operator.open(path)
        check_looks(operator)
    expect(operator.page.get_by_text("complete", exact=True)).to_be_visible()
