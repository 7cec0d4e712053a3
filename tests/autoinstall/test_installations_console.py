"""Installations and attempts in the console: what machines asked, what became of it, and why."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import AuditEvent, User
from autoinstall.admin import hardware, lists, why
from autoinstall.models import AnswerToken, Attempt, Installation
from autoinstall.models.attempt import new_id
from provisioning.identifiers import first_id_at
from tests.answers import one_event
from tests.autoinstall.attempts import newest
from tests.autoinstall.console import (
    BASE,
    logged_in,
    queries_of,
    refused,
    text_of,
    with_permissions,
)
from tests.autoinstall.factories import ask, machine, make_config, make_token, system_info

Made = tuple[AnswerToken, str]
HOOK = {"post-hook-base-url": "https://p.example"}
REPORT: dict[str, Any] = json.loads((Path(__file__).parent / "data/post-hook.json").read_text())


@pytest.fixture
def rack(token: Made) -> str:
    """The credential of `rack-7`, whose config `rack` awaits a report."""
    make_config(
        id="rack",
        authorized_tokens=["rack-7"],
        fqdn="pve{{ nr }}.example.com",
        template_counters={"nr": 5},
        **HOOK,
    )
    return token[1]


def finish(answer: Any, **report: Any) -> None:
    hook = answer.json()["post-installation-webhook"]
    path = hook["url"].removeprefix("https://p.example")
    body = json.dumps({**REPORT, **report, "token": hook["auth-token"]})
    assert Client().post(path, body, content_type="application/json").status_code == 200


def let_time_out(attempt: Attempt) -> None:
    Attempt.objects.filter(pk=attempt.pk).update(deadline_at=timezone.now() - timedelta(minutes=9))


def page_of(noun: str, attempt: Attempt | None = None) -> str:
    return f"{noun}/{(attempt or newest()).pk}/change/"


def serials_in(text: str) -> set[str]:
    return set(re.findall(r"\bSN-\d{4}\b", text.partition('id="result_list"')[2]))


@pytest.fixture
def of_each_state(rack: str) -> None:
    """SN-0001 finished, SN-0002 timed out, SN-0003 in progress, SN-0004 without an answer, SN-0005
    with an answer and no report awaited."""
    finish(ask(rack, machine(1)), fqdn="pve5.example.com")
    ask(rack, machine(2))
    let_time_out(newest())
    ask(rack, machine(3))
    make_token("others")
    make_config(id="other", authorized_tokens=["others"])
    unknown = system_info("SN-0004", "5c1f0f3e-58a1-4c55-9d51-000000000004", name="Unknown")
    ask(rack, unknown)
    make_config(id="quiet", authorized_tokens=["rack-7"], target_filter={"/dmi/system/name": "Q*"})
    ask(rack, system_info("SN-0005", "5c1f0f3e-58a1-4c55-9d51-000000000005", name="Quiet"))


# --- The list of installations -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, {"SN-0001", "SN-0002", "SN-0003", "SN-0004", "SN-0005"}),
        ({"state": "finished"}, {"SN-0001"}),
        ({"state": "timed-out"}, {"SN-0002"}),
        ({"state": "in-progress"}, {"SN-0003"}),
        ({"state": "no-answer-found"}, {"SN-0004"}),
        ({"state": "answer-sent"}, {"SN-0005"}),
        ({"config": "quiet"}, {"SN-0005"}),
        ({"config": "rack"}, {"SN-0001", "SN-0002", "SN-0003"}),
        ({"config": "gone"}, set()),
        ({"token": "rack-7", "state": "finished"}, {"SN-0001"}),
        ({"token": "others"}, set()),
        ({"product": "pbs"}, set()),
        ({"product": "pve", "config": "quiet"}, {"SN-0005"}),
    ],
)
def test_installations_are_filtered(
    viewer: User, of_each_state: None, query: dict[str, str], found: set[str]
) -> None:
    assert serials_in(text_of(viewer, "installation/", **query)) == found


def test_the_list_shows_states_and_the_name_that_a_machine_reported(
    viewer: User, of_each_state: None
) -> None:
    text = text_of(viewer, "installation/")

    for state in ("finished", "timed-out", "in-progress", "no-answer-found", "answer-sent"):
        assert re.search(rf'class="badge [a-z]+">{state}<', text)
    assert "pve5.example.com" in text


def test_the_time_of_asking_is_a_filter(viewer: User, rack: str) -> None:
    now = timezone.now()
    for number, days in ((1, 0), (2, 3), (3, 20), (4, 90)):
        ask(rack, machine(number))
        at = now - timedelta(days=days)
        Attempt.objects.filter(pk=newest().pk).update(id=first_id_at(at), received_at=at)

    def since(days: int) -> set[str]:
        day = f"{now - timedelta(days=days):%Y-%m-%d}"
        return serials_in(text_of(viewer, "installation/", since=day))

    assert since(0) == {"SN-0001"}
    assert since(6) == {"SN-0001", "SN-0002"}
    assert since(29) == {"SN-0001", "SN-0002", "SN-0003"}
    until = f"{now - timedelta(days=19):%Y-%m-%dT%H:%M:%SZ}"
    assert serials_in(text_of(viewer, "installation/", until=until)) == {"SN-0003", "SN-0004"}


@pytest.mark.parametrize("value", ["never", "2026-13-45", "2026-02-30T00:00:00"])
def test_a_time_that_is_none_leads_to_the_whole_list(viewer: User, rack: str, value: str) -> None:
    response = logged_in(viewer).get("/admin/autoinstall/installation/", {"since": value})

    assert response.status_code == 302
    assert response["Location"] == "/admin/autoinstall/installation/?e=1"


@pytest.mark.parametrize(
    "sought",
    [
        "SN-0002",
        "5c1f0f3e-58a1-4c55-9d51-000000000002",
        "5C1F0F3E-58A1-4C55-9D51-000000000002",
        "uuid 5c1f0f3e-58a1-4c55-9d51-000000000002",
        "A0:36:9F:00:00:02",
        "a0-36-9f-00-00-02",
        "10.7.0.22",
    ],
)
@pytest.mark.parametrize("noun", ["installation", "attempt"])
def test_a_machine_is_found_by_what_names_it(
    viewer: User, rack: str, sought: str, noun: str
) -> None:
    for number in (1, 2, 3):
        ask(rack, machine(number), REMOTE_ADDR=f"10.7.0.2{number}")

    assert serials_in(text_of(viewer, f"{noun}/", q=sought)) == {"SN-0002"}


def test_a_mac_address_that_an_old_installer_wrote_in_lower_case_is_found(
    viewer: User, rack: str
) -> None:
    ask(rack, system_info("SN-0007", macs=("a0:36:9f:aa:bb:cc",)))

    assert serials_in(text_of(viewer, "attempt/", q="A0:36:9F:AA:BB:CC")) == {"SN-0007"}


def test_an_attempt_is_found_by_its_id_and_by_the_request_s(viewer: User, rack: str) -> None:
    ask(rack, machine(1), HTTP_X_REQUEST_ID="request-of-1")
    ask(rack, machine(2))

    assert serials_in(text_of(viewer, "attempt/", q=str(newest().pk))) == {"SN-0002"}
    assert serials_in(text_of(viewer, "attempt/", q="request-of-1")) == {"SN-0001"}


@pytest.mark.parametrize("sought", ["SN-000", "%", "' OR 1=1 --"])
def test_a_search_finds_whole_values_only(viewer: User, rack: str, sought: str) -> None:
    ask(rack, machine(1))

    assert serials_in(text_of(viewer, "attempt/", q=sought)) == set()


@pytest.mark.parametrize("noun", ["installation", "attempt"])
def test_an_empty_list_says_what_to_do_next(viewer: User, noun: str) -> None:
    text = text_of(viewer, f"{noun}/")

    assert "Make an answer token and a prepared config" in text
    assert "prune_installations" in text


# --- Lists of a million rows -------------------------------------------------------------------


def fill(count: int) -> None:
    Attempt.objects.bulk_create(
        Attempt(
            id=new_id(),
            outcome="answered",
            status="finished",
            serial=f"SN-{number:04}",
            config_name="rack",
            token_name="rack-7",
            product="pve",
            raw="x" * 100,
            hook_data={"fqdn": "a.example.com"},
            finished_at=timezone.now(),
        )
        for number in range(count)
    )


@pytest.mark.parametrize("noun", ["installation", "attempt"])
def test_a_list_runs_the_same_number_of_queries_for_1_and_for_200_rows(
    viewer: User, noun: str
) -> None:
    client = logged_in(viewer)
    path = f"{BASE}/{noun}/?all="
    fill(1)
    with_one = queries_of(client, path)
    fill(199)

    with_many = queries_of(client, path)

    assert Attempt.objects.count() == 200
    assert len(with_many) == len(with_one)


@pytest.mark.parametrize("noun", ["installation", "attempt"])
def test_a_list_reads_no_system_information_and_counts_no_further_than_it_pages(
    viewer: User, noun: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accounts.console.paging.MOST_ROWS", 60)
    fill(90)

    queries = queries_of(logged_in(viewer), f"{BASE}/{noun}/")

    of_attempts = [one["sql"] for one in queries if "autoinstall_attempt" in one["sql"]]
    assert len(of_attempts) == 2  # to count, and to read
    assert not any('"raw"' in sql for sql in of_attempts)
    assert all("LIMIT" in sql for sql in of_attempts)
    assert f"The newest 60 {noun}s" in text_of(viewer, f"{noun}/", p="2")


def test_what_no_index_knows_is_looked_for_among_the_newest(
    viewer: User, rack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 6):
        finish(ask(rack, machine(number), REMOTE_ADDR="10.7.0.9"))
    monkeypatch.setattr(lists, "MOST_READ", 2)
    monkeypatch.setattr(lists, "MOST_SIFTED", 3)

    def serials(**query: str) -> set[str]:
        return serials_in(text_of(viewer, "installation/", **query))

    assert serials(q="10.7.0.9") == {"SN-0004", "SN-0005"}
    for query in ({"product": "pve"}, {"state": "finished"}):
        assert serials(**query) == {"SN-0003", "SN-0004", "SN-0005"}
    assert serials(q="SN-0001") == {"SN-0001"}
    assert len(serials(config="rack")) == 5


# --- One installation --------------------------------------------------------------------------


def events_in(text: str) -> list[str]:
    titles = re.findall(r'<span class="title">(?:<a [^>]*>)?([^<]+)', text)
    return [title.strip() for title in titles]


def test_the_timeline_of_a_finished_installation(viewer: User, rack: str) -> None:
    finish(ask(rack, machine(1), REMOTE_ADDR="10.7.0.21"))

    text = text_of(viewer, page_of("installation"))

    assert events_in(text) == ["Asked from 10.7.0.21", "Answered by rack", "Finished"]
    assert "As JSON, with nr = 5" in text
    assert "Token rack-7, in the header" in text


def test_the_timeline_says_when_a_report_is_due_and_when_it_did_not_come(
    viewer: User, rack: str
) -> None:
    ask(rack, machine(1))
    assert events_in(text_of(viewer, page_of("installation")))[2:] == [
        "Installing: its report is due"
    ]

    let_time_out(newest())

    text = text_of(viewer, page_of("installation"))
    assert events_in(text)[2:] == ["Timed out"]
    assert "A late report still finishes it." in text


def test_a_report_that_came_too_late_is_called_so(viewer: User, rack: str) -> None:
    answer = ask(rack, machine(1))
    let_time_out(newest())
    finish(answer)

    assert "later than its deadline" in text_of(viewer, page_of("installation"))


def test_later_and_earlier_requests_of_the_same_machine_are_linked(viewer: User, rack: str) -> None:
    ask(rack, machine(1))
    first = newest()
    ask(rack, machine(2))
    ask(rack, machine(1))
    last = newest()

    assert events_in(text_of(viewer, page_of("installation", first)))[-1] == (
        "Asked again: in progress"
    )
    assert f"/installation/{last.pk}/" in text_of(viewer, page_of("installation", first))
    earlier = text_of(viewer, page_of("installation", last)).partition("The same machine")[2]
    assert f"/installation/{first.pk}/" in earlier


def test_hardware_and_report_are_readable(viewer: User, rack: str) -> None:
    info = system_info("SN-0001", macs=("A0:36:9F:10:20:01", "A0:36:9F:10:20:02"))
    finish(ask(rack, {**info, "cpu": {"model": "N1", "cores": 16}, "memory": {"mib": 65536}}))

    text = text_of(viewer, page_of("installation"))

    for told in (
        *("SN-0001", "5c1f0f3e-58a1-4c55-9d51-1f6f0a3c0001", "Northwind R210", "Proxmox VE 9.2-1"),
        *("eno2", "A0:36:9F:10:20:02", "cpu / cores", "memory / mib", "65536"),
        *("pve7.lab.example.org", "/dev/sda", "480.1 GB", "10.7.0.17/24", "zfs (RAID1)"),
        *("1 socket, 16 cores, 32 threads", "efi, secure boot", "0d4f6b1e92a84c3f8f75d2a0b6c1e934"),
    ):
        assert told in text


def test_the_page_tells_what_was_handed_out(viewer: User, rack: str) -> None:
    ask(rack, machine(1), accept=None)
    row = newest()
    Attempt.objects.filter(pk=row.pk).update(omitted=["global.subscription-key"])

    text = text_of(viewer, page_of("installation"))

    assert row.answer_digest and row.answer_digest in text
    assert "nr = 5" in text and "TOML" in text and "global.subscription-key" in text


WEIRD: list[Any] = [None, 5, "text", [], [1, [2]], {}, {"a": [{"b": None}]}, True, 1e300]


@pytest.mark.parametrize("value", WEIRD)
def test_a_report_of_any_shape_can_be_looked_at(viewer: User, rack: str, value: Any) -> None:
    finish(ask(rack, machine(1)), **dict.fromkeys(REPORT, value))

    assert "finished" in text_of(viewer, page_of("installation"))
    assert "SN-0001" in text_of(viewer, "installation/")


@pytest.mark.parametrize("value", WEIRD)
def test_parts_of_any_shape_make_a_sheet(value: Any) -> None:
    keys = ("product", "iso", "dmi", "network_interfaces", *REPORT)

    hardware.hardware(dict.fromkeys(keys, value))
    hardware.report(dict.fromkeys(keys, value))
    hardware.report({"disks": [{"size": value, "udev-properties": value}]})


def test_what_a_machine_says_cannot_inject_html(viewer: User, rack: str) -> None:
    evil = "<script>evil</script>"
    info = system_info(evil, macs=(evil,), cpu={evil: evil})
    finish(
        ask(rack, info, HTTP_USER_AGENT=evil),
        fqdn=evil,
        disks=[{"udev-properties": {"DEVNAME": evil}}],
    )

    for path in ("installation/", "attempt/", page_of("installation"), page_of("attempt")):
        text = text_of(viewer, path)
        assert "<script>evil" not in text
        assert "&lt;script&gt;evil" in text


def test_no_page_shows_the_secret_of_the_report(admin: User, rack: str) -> None:
    answer = ask(rack, machine(1))
    finish(answer)
    secret = answer.json()["post-installation-webhook"]["auth-token"]

    for path in ("installation/", page_of("installation"), page_of("attempt")):
        text = text_of(admin, path)
        assert secret not in text
        assert newest().hook_digest not in text


# --- Why this answer? --------------------------------------------------------------------------


def test_the_page_says_for_each_filter_why_it_matches_or_not(
    viewer: User, of_each_state: None
) -> None:
    text = text_of(viewer, page_of("installation", Attempt.objects.get(serial="SN-0004")))

    assert "No config matches, and there is no default for the token rack-7." in text
    why = text.partition('id="why"')[2]
    assert "/dmi/system/name" in why
    assert "does not match &#x27;Q*&#x27;" in why
    assert "not for this token" in why


def test_the_page_names_the_config_that_wins(viewer: User, rack: str) -> None:
    ask(rack, machine(1))

    text = text_of(viewer, page_of("installation"))

    assert "rack is the first that matches." in text
    assert re.search(r'<strong>rack</strong> <span class="badge good">wins<', text)
    assert "fqdn = &quot;pve5.example.com&quot;" in text  # it holds 5 already


def test_an_answer_can_be_explained_when_its_token_is_gone(viewer: User, rack: str) -> None:
    ask(rack, machine(1))
    Attempt.objects.update(token_name="gone-1")

    assert "The token gone-1 is gone" in text_of(viewer, page_of("installation"))


def test_with_many_configs_it_is_explained_when_somebody_asks(
    viewer: User, rack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(why, "EXPLAINED_AT_ONCE", 0)
    ask(rack, machine(1))

    short = text_of(viewer, page_of("installation"))
    long = text_of(viewer, page_of("installation"), why="1")

    assert 'href="?why=1#why"' in short and "is the first that matches" not in short
    assert "rack is the first that matches." in long


def test_explaining_changes_nothing(viewer: User, rack: str) -> None:
    ask(rack, machine(1))
    before = list(Attempt.objects.values()), AuditEvent.objects.count()

    text_of(viewer, page_of("installation"))

    assert (list(Attempt.objects.values()), AuditEvent.objects.count()) == before


def test_who_may_not_read_configs_gets_no_explanation(rack: str) -> None:
    ask(rack, machine(1))
    user = with_permissions("installation_read")

    text = text_of(user, page_of("installation"))

    assert 'id="why"' not in text
    assert "/preparedconfig/" not in text and "/answertoken/" not in text


def test_a_filter_suggests_only_names_that_one_may_read(viewer: User, rack: str) -> None:
    make_token("never-used")
    make_config(id="never-matched", authorized_tokens=["never-used"])
    user = with_permissions("installation_read")

    for_viewer, for_user = text_of(viewer, "attempt/"), text_of(user, "attempt/")

    for name in ("never-used", "never-matched"):
        assert name in for_viewer
        assert name not in for_user


# --- Acts --------------------------------------------------------------------------------------


def test_a_machine_without_an_answer_leads_to_a_new_config(
    operator: User, viewer: User, of_each_state: None
) -> None:
    without = Attempt.objects.get(serial="SN-0004")
    link = f"{BASE}/preparedconfig/add/?attempt={without.pk}"

    for noun in ("installation", "attempt"):
        assert link in text_of(operator, page_of(noun, without))
        assert "preparedconfig/add" not in text_of(viewer, page_of(noun, without))
    answered = Attempt.objects.get(serial="SN-0001")
    assert "preparedconfig/add" not in text_of(operator, page_of("installation", answered))


def test_an_operator_deletes_an_installation(operator: User, rack: str) -> None:
    ask(rack, machine(1))
    row = newest()

    with one_event(
        event="installation.deleted", actor=operator, target_type="attempt", target_id=str(row.pk)
    ):
        response = logged_in(operator).post(
            f"{BASE}/installation/{row.pk}/delete/", {"post": "yes"}, follow=True
        )

    assert response.redirect_chain[-1][0] == f"{BASE}/installation/"
    assert not Attempt.objects.exists()


@pytest.mark.parametrize("noun", ["installation", "attempt"])
@pytest.mark.parametrize("who", ["viewer", "developer"])
def test_who_only_reads_finds_no_act_and_a_forged_one_is_refused(
    who: str, noun: str, request: pytest.FixtureRequest, rack: str
) -> None:
    ask(rack, machine(1))
    user = request.getfixturevalue(who)

    assert ">Delete<" not in text_of(user, page_of(noun))
    for act in ("delete", "change"):
        with refused(user):
            path = f"{BASE}/{noun}/{newest().pk}/{act}/"
            assert logged_in(user).post(path, {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("noun", ["installation", "attempt"])
def test_who_may_read_no_installations_sees_none(rack: str, noun: str) -> None:
    ask(rack, machine(1))
    user = with_permissions("prepared_config_read")

    for path in (f"{BASE}/{noun}/", f"{BASE}/{page_of(noun)}"):
        with refused(user):
            assert logged_in(user).get(path).status_code == 403


@pytest.mark.parametrize("noun", ["installation", "attempt"])
def test_nobody_adds_one(admin: User, noun: str) -> None:
    with refused(admin):
        assert logged_in(admin).post(f"{BASE}/{noun}/add/", {}).status_code == 403


def test_an_attempt_without_installation_has_no_page_as_one(viewer: User, rack: str) -> None:
    ask("rack-7:wrong")

    response = logged_in(viewer).get(f"{BASE}/{page_of('installation')}")

    assert response.status_code == 302
    assert not Installation.objects.exists()


def test_attempt_and_installation_lead_to_each_other(viewer: User, rack: str) -> None:
    ask(rack, machine(1))
    pk = newest().pk

    assert f'href="{BASE}/installation/{pk}/change/"' in text_of(viewer, page_of("attempt"))
    assert f'href="{BASE}/attempt/{pk}/change/"' in text_of(viewer, page_of("installation"))


# --- Attempts ----------------------------------------------------------------------------------


def test_each_refusal_has_its_reason_in_words(viewer: User, rack: str) -> None:
    make_token("disabled-1", enabled=False)
    ask(None)
    ask("rack-7:wrong")
    ask("nobody:secret")
    ask(rack, b"{no json")
    ask(rack, path=f"/api2/json/auto-install/answer/{rack}")

    text = text_of(viewer, "attempt/")

    for reason in (
        "The request came without a token.",
        "The secret is wrong.",
        "There is no such answer token.",
        "The body is not valid JSON",
    ):
        assert reason in text


def test_a_credential_in_the_path_or_by_address_is_marked(viewer: User, token: Made) -> None:
    _, in_path = make_token("old-images", allow_in_path=True)
    make_token("lab-net", allow_without_secret=True, source_cidrs=["10.9.0.0/24"])
    make_config(authorized_tokens=["old-images", "lab-net"])

    ask(None, path=f"/api2/json/auto-install/answer/{in_path}")
    assert (
        "in the path" in text_of(viewer, "attempt/", credential="path").partition("result_list")[2]
    )
    ask(None, REMOTE_ADDR="10.9.0.7")
    text = text_of(viewer, "attempt/", credential="source")
    by_address = text.partition("result_list")[2].partition("</table>")[0]
    assert ">by address<" in by_address and "old-images" not in by_address


@pytest.mark.parametrize(
    ("query", "outcomes"),
    [
        ({"outcome": "refused"}, ["refused"]),
        ({"outcome": "answered"}, ["answered"]),
        ({"credential": "none"}, ["refused"]),
        ({"token": "rack-7"}, ["answered"]),
    ],
)
def test_attempts_are_filtered(
    viewer: User, rack: str, query: dict[str, str], outcomes: list[str]
) -> None:
    ask(rack, machine(1))
    ask(None)

    text = text_of(viewer, "attempt/", **query)

    assert re.findall(r'field-outcome_badge"><span class="badge \w+">([a-z-]+)<', text) == outcomes


def test_many_refusals_in_one_row_are_counted(viewer: User, rack: str) -> None:
    ask(None)
    Attempt.objects.update(repeats=4711, outcome="limit")

    assert "4711" in text_of(viewer, "attempt/")
    assert "4711 alike" in text_of(viewer, page_of("attempt"))


def test_what_was_not_understood_can_be_read_as_it_came(viewer: User, rack: str) -> None:
    ask(rack, b'{"half": ')

    text = text_of(viewer, page_of("attempt"))

    assert "{&quot;half&quot;: " in text
    assert 'id="why"' not in text


@pytest.mark.parametrize("query", [{"outcome": "lost"}, {"credential": "x"}, {"state": "x"}])
def test_an_unknown_filter_is_no_error(viewer: User, query: dict[str, str]) -> None:
    noun = "installation" if "state" in query else "attempt"

    assert logged_in(viewer).get(f"{BASE}/{noun}/", query).status_code == 302
