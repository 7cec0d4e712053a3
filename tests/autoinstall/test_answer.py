"""`POST .../answer`: who is answered, by which token, from where, and with which config."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client

from accounts.models import AuditEvent
from autoinstall.models import AnswerToken, Attempt
from provisioning.logs import ContextFilter
from tests.answers import nothing_changes
from tests.autoinstall.attempts import newest, one_attempt, sentence_of
from tests.autoinstall.factories import ask, machine, make_config, make_token, system_info

Token = tuple[AnswerToken, str]

MOUNTS = ["/api2/json/auto-install/answer", "/v1/auto-install/answer"]


@pytest.fixture
def config(token: Token) -> Any:
    return make_config(id="rack", authorized_tokens=["rack-7"]).config


def by_path(credential: str, mount: str = MOUNTS[0]) -> str:
    return f"{mount}/{credential}"


# --- Answered ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mount", MOUNTS)
def test_a_machine_with_a_right_token_is_answered(mount: str, token: Token, config: Any) -> None:
    answer = ask(token[1], path=mount)

    assert answer.status_code == 200
    assert answer.json()["global"]["fqdn"] == "pve1.example.com"


def test_an_answer_leaves_one_row_that_tells_all_of_it(token: Token, config: Any) -> None:
    with one_attempt(
        "answer.issued",
        outcome="answered",
        reason="",
        repeats=1,
        source="192.0.2.7",
        request_id="install-1",
        user_agent="ureq/3.0.11",
        token_name="rack-7",
        credential="header",
        product="pve",
        release="9.2-1",
        serial="SN-0001",
        identity="uuid 5c1f0f3e-58a1-4c55-9d51-1f6f0a3c0001",
        config_name="rack",
        answer_format="json",
        status="answer-sent",
        omitted=[],
    ):
        ask(
            token[1],
            REMOTE_ADDR="192.0.2.7",
            HTTP_USER_AGENT="ureq/3.0.11",
            HTTP_X_REQUEST_ID="install-1",
        )


def test_an_answer_is_recorded_with_its_machine_as_the_actor(token: Token, config: Any) -> None:
    ask(token[1], REMOTE_ADDR="192.0.2.7")

    event = AuditEvent.objects.latest("id")
    assert (event.event, event.outcome) == ("answer.issued", "success")
    assert (event.actor, event.actor_name, event.source) == (None, "token:rack-7", "192.0.2.7")
    assert event.target_name == "rack"
    assert event.data["serial"] == "SN-0001"


def test_a_used_token_is_stamped_with_when_and_from_where(token: Token, config: Any) -> None:
    ask(token[1], REMOTE_ADDR="2001:db8::9")

    row = AnswerToken.objects.get(name="rack-7")
    assert (row.uses, row.last_used_from) == (1, "2001:db8::9")
    assert row.last_used_at == newest().received_at


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_case_of_the_scheme_does_not_matter(scheme: str, token: Token, config: Any) -> None:
    assert ask(None, HTTP_AUTHORIZATION=f"{scheme} {token[1]}").status_code == 200


@pytest.mark.parametrize(
    "fields",
    [
        {"expire_at": 0},
        {"expire_at": int(time.time()) + 3600},
        {"expire_at": 2**53},
        {"enabled": True},
        {"max_uses": 1},
        {"source_cidrs": ["127.0.0.1/32"]},
        {"source_cidrs": ["10.0.0.0/8", "127.0.0.0/8"]},
    ],
)
def test_a_token_is_good_within_its_limits(fields: dict[str, Any], db: None) -> None:
    _, credential = make_token("limited", **fields)
    make_config(authorized_tokens=["limited"])

    assert ask(credential).status_code == 200


def test_another_method_is_405_and_changes_nothing(token: Token, config: Any) -> None:
    with nothing_changes():
        answer = Client().get(MOUNTS[0], HTTP_AUTHORIZATION=f"Bearer {token[1]}")

    sentence_of(answer, 405)
    assert answer.headers["Allow"] == "POST"


# --- Refused -----------------------------------------------------------------------------------


def wrong(credential: str) -> str:
    """The same id with another secret."""
    return credential[:-1] + ("0" if credential[-1] != "0" else "1")


def used_up() -> str:
    _, credential = make_token("once", max_uses=1)
    make_config(authorized_tokens=["once"])
    assert ask(credential, machine(1)).status_code == 200
    return credential


# The case -> the arguments of `ask`, and what the row says of the reason.
REFUSED: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "missing": (dict, "without a token"),
    "empty": (lambda: {"HTTP_AUTHORIZATION": ""}, "without a token"),
    "no colon": (lambda: {"HTTP_AUTHORIZATION": "Bearer rack-7"}, "without a token"),
    "no scheme": (lambda: {"HTTP_AUTHORIZATION": make_token("t-1")[1]}, "without a token"),
    "another scheme": (
        lambda: {"HTTP_AUTHORIZATION": f"Basic {make_token('t-2')[1]}"},
        "without a token",
    ),
    "two spaces": (
        lambda: {"HTTP_AUTHORIZATION": f"Bearer  {make_token('t-3')[1]}"},
        "no such answer token",
    ),
    "not ASCII": (lambda: {"HTTP_AUTHORIZATION": "Bearer r\u00e4ck-7:x"}, "no such answer token"),
    "lone surrogates": (lambda: {"HTTP_AUTHORIZATION": "Bearer a\udcffb:c\udcff"}, "no such"),
    "unknown id": (lambda: {"credential": "nobody-here:0"}, "no such answer token"),
    "id of another case": (
        lambda: {"credential": make_token("T-4")[1].replace("T-4", "t-4")},
        "no such answer token",
    ),
    "wrong secret": (lambda: {"credential": wrong(make_token("t-5")[1])}, "secret is wrong"),
    "secret of another case": (
        lambda: {"credential": "t-6:" + make_token("t-6")[1].partition(":")[2].upper() + "A"},
        "secret is wrong",
    ),
    "empty secret": (lambda: {"credential": make_token("t-7")[0].name + ":"}, "secret is wrong"),
    "disabled": (lambda: {"credential": make_token("t-8", enabled=False)[1]}, "disabled"),
    "expired in this very second": (
        lambda: {"credential": make_token("t-9", expire_at=int(time.time()))[1]},
        "expired",
    ),
    "long expired": (lambda: {"credential": make_token("t-10", expire_at=1)[1]}, "expired"),
    "from outside": (
        lambda: {"credential": make_token("t-11", source_cidrs=["10.7.0.0/24"])[1]},
        "outside of the token's source networks",
    ),
    "used up": (lambda: {"credential": used_up()}, "as often as it may be"),
    "path not allowed": (lambda: {"path": by_path(make_token("t-12")[1])}, "allow-in-path"),
    "wrong in the path": (
        lambda: {"path": by_path(wrong(make_token("t-13", allow_in_path=True)[1]))},
        "secret is wrong",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refused_request_leaves_one_row_that_knows_the_reason(case: str, db: None) -> None:
    arguments, reason = REFUSED[case]
    given = arguments()

    with one_attempt("answer.refused", outcome="refused", status="", config_name=""):
        answer = ask(given.pop("credential", None), **given)

    assert (answer.status_code, answer.content) == (401, b"")
    assert reason in newest().reason
    event = AuditEvent.objects.latest("id")
    assert (event.outcome, event.actor_name) == ("denied", "anonymous")


def test_every_refusal_is_answered_alike(db: None) -> None:
    answers = []
    for arguments, _ in REFUSED.values():
        given = arguments()
        answers.append(ask(given.pop("credential", None), HTTP_X_REQUEST_ID="same", **given))

    assert {answer.status_code for answer in answers} == {401}
    assert {answer.content for answer in answers} == {b""}
    assert len({str(sorted(answer.headers.items())) for answer in answers}) == 1


def test_a_refused_request_neither_stamps_nor_uses_the_token(db: None) -> None:
    _, credential = make_token("limited", max_uses=3, source_cidrs=["10.7.0.0/24"])

    with nothing_changes(Attempt, AuditEvent):
        ask(credential)


def test_a_use_is_counted_for_an_answer_only(db: None) -> None:
    _, credential = make_token("limited", max_uses=1)
    make_config(authorized_tokens=["limited"])

    ask(credential, b"{}")
    ask(credential, system_info(name="Elsewhere 1"))
    assert AnswerToken.objects.get(name="limited").uses == 0

    assert ask(credential).status_code == 200
    assert AnswerToken.objects.get(name="limited").uses == 1


def test_a_refused_body_is_kept_to_be_looked_at(db: None) -> None:
    ask("nobody-here:0", b'{"half": ')

    assert newest().raw == '{"half": '


# --- In the path -------------------------------------------------------------------------------


@pytest.mark.parametrize("mount", MOUNTS)
def test_a_token_that_allows_it_is_taken_from_the_path(mount: str, db: None) -> None:
    _, credential = make_token("older", allow_in_path=True)
    make_config(authorized_tokens=["older"])

    with one_attempt("answer.issued", credential="path", token_name="older"):
        assert ask(None, path=by_path(credential, mount)).status_code == 200


def test_a_token_for_the_path_is_also_taken_from_the_header(db: None) -> None:
    _, credential = make_token("older", allow_in_path=True)
    make_config(authorized_tokens=["older"])

    with one_attempt("answer.issued", credential="header"):
        ask(credential)


def test_a_token_in_the_path_is_percent_decoded(db: None) -> None:
    _, credential = make_token("older", allow_in_path=True)
    make_config(authorized_tokens=["older"])

    assert ask(None, path=by_path(credential.replace(":", "%3A"))).status_code == 200


# --- By address --------------------------------------------------------------------------------


def secretless(name: str, *networks: str) -> str:
    make_token(name, source_cidrs=list(networks), allow_without_secret=True)
    make_config(id=f"of-{name}", authorized_tokens=[name])
    return f"of-{name}"


@pytest.mark.parametrize(
    ("network", "address"),
    [
        ("10.7.0.0/24", "10.7.0.9"),
        ("10.7.0.9/32", "10.7.0.9"),
        ("2001:db8:7::/64", "2001:db8:7::9"),
        ("10.7.0.0/24", "::ffff:10.7.0.9"),
    ],
)
def test_a_network_that_needs_no_secret_is_enough(network: str, address: str, db: None) -> None:
    secretless("near", network)

    with one_attempt("answer.issued", credential="source", token_name="near", source=address):
        assert ask(None, REMOTE_ADDR=address).status_code == 200


@pytest.mark.parametrize("address", ["10.7.1.9", "2001:db8:7::9", "::ffff:10.7.1.9", ""])
def test_outside_of_the_network_a_secret_is_needed(address: str, db: None) -> None:
    secretless("near", "10.7.0.0/24")

    assert ask(None, REMOTE_ADDR=address).status_code == 401


def test_source_networks_alone_do_not_replace_the_secret(db: None) -> None:
    make_token("near", source_cidrs=["10.7.0.0/24"])
    make_config(authorized_tokens=["near"])

    assert ask(None, REMOTE_ADDR="10.7.0.9").status_code == 401


def test_of_two_networks_the_narrower_wins(db: None) -> None:
    secretless("wide", "10.0.0.0/8")
    secretless("narrow", "10.7.0.0/24", "192.0.2.0/24")
    secretless("middle", "10.7.0.0/16")

    ask(None, REMOTE_ADDR="10.7.0.9")

    assert (newest().token_name, newest().config_name) == ("narrow", "of-narrow")


def test_of_two_equal_networks_the_older_token_wins(db: None) -> None:
    secretless("older", "10.7.0.0/24")
    secretless("newer", "10.7.0.0/24")

    ask(None, REMOTE_ADDR="10.7.0.9")

    assert newest().token_name == "older"


def test_a_wrong_secret_is_refused_also_where_none_is_needed(db: None) -> None:
    secretless("near", "10.7.0.0/24")

    assert ask("near:wrong", REMOTE_ADDR="10.7.0.9").status_code == 401


def test_a_limited_network_holds_for_an_ipv4_address_written_as_ipv6(db: None) -> None:
    _, credential = make_token("near", source_cidrs=["10.7.0.0/24"])
    make_config(authorized_tokens=["near"])

    assert ask(credential, REMOTE_ADDR="::ffff:10.7.0.9").status_code == 200


# --- Behind a proxy ----------------------------------------------------------------------------


@pytest.fixture
def proxy(settings: Any) -> str:
    settings.TRUSTED_PROXIES = ["10.0.0.1/32"]
    return "10.0.0.1"


def test_behind_a_trusted_proxy_the_machine_itself_is_the_source(proxy: str, db: None) -> None:
    secretless("near", "10.7.0.0/24")

    with one_attempt("answer.issued", source="10.7.0.9", credential="source"):
        ask(None, REMOTE_ADDR=proxy, HTTP_X_FORWARDED_FOR="203.0.113.5, 10.7.0.9")


def test_nobody_else_can_claim_to_be_elsewhere(proxy: str, db: None) -> None:
    secretless("near", "10.7.0.0/24")

    with one_attempt("answer.refused", source="203.0.113.5"):
        ask(None, REMOTE_ADDR="203.0.113.5", HTTP_X_FORWARDED_FOR="10.7.0.9")


# --- Secrets stay secret -----------------------------------------------------------------------


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the server's own handler writes, with the filters that it has in production."""
    (handler,) = (
        handler
        for handler in logging.getLogger().handlers
        if isinstance(handler, logging.StreamHandler)
        and any(isinstance(one, ContextFilter) for one in handler.filters)
    )
    written = io.StringIO()
    before = handler.setStream(written)
    assert before is not None
    yield written
    handler.setStream(before)


@pytest.mark.parametrize("is_allowed", [True, False])
@pytest.mark.parametrize(
    "place",
    [
        "{mount}/{id}:{secret}",
        "{mount}/{id}:{secret}/",
        "{mount}/{id}%3A{secret}",
        "{mount}//{id}:{secret}",
        "{mount}/{secret}:{id}",
        "{mount}/{secret}",
        "{mount}/{secret}:{secret}",
        "{mount}/{id}:{secret}?x=1",
        "/v1//auto-install/answer/{id}:{secret}",
        "/api2/extjs/auto-install/answer/{id}:{secret}",
    ],
)
def test_a_secret_in_the_path_is_nowhere_to_be_read(
    place: str, is_allowed: bool, db: None, log: io.StringIO
) -> None:
    _, credential = make_token("older", allow_in_path=is_allowed)
    make_config(authorized_tokens=["older"])
    name, _, secret = credential.partition(":")
    path = place.format(mount=MOUNTS[1], id=name, secret=secret)

    for answer in (ask(None, path=path), ask(None, b"{", path=path), Client().get(path)):
        assert secret not in str(answer.headers)

    assert log.getvalue(), "nothing was logged at all"
    assert secret not in log.getvalue()
    assert secret not in str(list(Attempt.objects.values()) + list(AuditEvent.objects.values()))


@pytest.mark.parametrize(
    "place",
    [
        "/api2/json/auto-install/answer/{credential}",
        "/api2/json//auto-install/answer/{credential}",
        "/api2/extjs/auto-install/answer/{credential}",
        "/v1//auto-install/answer/{credential}",
        "/v1/auto-install//answer/{credential}",
        "/v1/auto-install/Answer/{credential}",
        "/v1/auto-install/anwser/{credential}",
    ],
)
def test_no_sentence_at_the_console_shows_a_secret_of_the_path(place: str, db: None) -> None:
    _, credential = make_token("older", allow_in_path=True)
    path = place.format(credential=credential)

    for answer in (ask(None, path=path), Client().get(path)):
        assert answer.status_code >= 400
        assert credential not in answer.content.decode()


@pytest.mark.parametrize(
    "header",
    [
        "Bearer {id}:{secret}",
        "Bearer {secret}:{id}",
        "Bearer {secret}",
        "Bearer {secret}:{secret}",
        "Bearer {secret}:",
        "{id}:{secret}",
        "Basic {id}:{secret}",
        "Bearer {id}:{secret}x",
        "Bearer {id} {secret}",
    ],
)
def test_a_secret_in_the_header_is_nowhere_to_be_read(
    header: str, token: Token, config: Any, log: io.StringIO
) -> None:
    name, _, secret = token[1].partition(":")

    answer = ask(None, HTTP_AUTHORIZATION=header.format(id=name, secret=secret))

    assert log.getvalue() or answer.status_code == 200, "nothing was logged at all"
    everything = log.getvalue() + str(
        list(Attempt.objects.values()) + list(AuditEvent.objects.values())
    )
    assert secret not in everything + str(answer.headers) + answer.content.decode()


def test_the_one_time_secret_is_in_the_answer_and_nowhere_else(
    token: Token, log: io.StringIO
) -> None:
    make_config(authorized_tokens=["rack-7"], post_hook_base_url="https://ps.example.com")

    hook = ask(token[1]).json()["post-installation-webhook"]

    assert len(hook["auth-token"]) == 32
    everything = str(list(Attempt.objects.values()) + list(AuditEvent.objects.values()))
    assert hook["auth-token"] not in everything + log.getvalue()


# --- Too many refusals -------------------------------------------------------------------------


@pytest.fixture
def few(settings: Any) -> int:
    settings.REFUSALS_PER_MINUTE = 3
    return 3


def refuse(times: int, address: str = "192.0.2.7") -> list[int]:
    return [ask("nobody-here:0", REMOTE_ADDR=address).status_code for _ in range(times)]


def test_beyond_the_limit_a_refusal_is_429_and_says_when_to_come_back(few: int, db: None) -> None:
    assert refuse(few) == [401] * few

    answer = ask("nobody-here:0", REMOTE_ADDR="192.0.2.7")

    sentence_of(answer, 429)
    assert 1 <= int(answer.headers["Retry-After"]) <= 61


def test_beyond_the_limit_one_row_and_one_event_stand_for_all(few: int, db: None) -> None:
    refuse(few)
    events = AuditEvent.objects.count()

    refuse(5)

    assert Attempt.objects.filter(outcome="refused").count() == few
    row = Attempt.objects.get(outcome="limit")
    assert (row.repeats, row.source) == (5, "192.0.2.7")
    assert AuditEvent.objects.count() == events + 1


def test_the_counting_goes_on_when_its_row_was_deleted(few: int, db: None) -> None:
    refuse(few + 2)
    Attempt.objects.all().delete()

    refuse(2)

    assert Attempt.objects.get().repeats == 2


def test_beyond_the_limit_a_right_token_is_still_served(
    few: int, token: Token, config: Any
) -> None:
    refuse(few + 2)

    assert ask(token[1], REMOTE_ADDR="192.0.2.7").status_code == 200


def test_every_address_has_a_limit_of_its_own(few: int, db: None) -> None:
    refuse(few + 1)

    assert refuse(1, "192.0.2.8") == [401]


def test_the_addresses_of_an_ipv6_network_share_a_limit(few: int, db: None) -> None:
    refuse(few, "2001:db8:7::1")

    assert refuse(1, "2001:db8:7::2") == [429]
    assert refuse(1, "2001:db8:8::1") == [401]


# --- Which config ------------------------------------------------------------------------------


def served(credential: str, info: dict[str, Any] | None = None) -> str:
    answer = ask(credential, info)
    assert answer.status_code == 200, answer.content
    return newest().config_name


def test_of_two_matches_the_older_wins(token: Token) -> None:
    make_config(id="first", authorized_tokens=["rack-7"])
    make_config(id="second", authorized_tokens=["rack-7"])

    assert served(token[1]) == "first"


def test_of_two_matches_the_smaller_priority_wins(token: Token) -> None:
    make_config(id="first", authorized_tokens=["rack-7"], priority=5)
    make_config(id="second", authorized_tokens=["rack-7"], priority=-1)
    make_config(id="third", authorized_tokens=["rack-7"])

    assert served(token[1]) == "second"


def test_all_filters_of_a_config_must_match(token: Token) -> None:
    both = {"/dmi/system/name": "Northwind *", "/dmi/system/serial": "SN-0002"}
    make_config(id="both", authorized_tokens=["rack-7"], target_filter=both)
    make_config(id="other", authorized_tokens=["rack-7"])

    assert served(token[1], machine(1)) == "other"
    assert served(token[1], machine(2)) == "both"


def test_a_match_wins_over_the_default_whatever_the_priority(token: Token) -> None:
    make_config(id="default", authorized_tokens=["rack-7"], is_default=True, priority=-9)
    make_config(id="match", authorized_tokens=["rack-7"])

    assert served(token[1]) == "match"


def test_a_machine_that_matches_nothing_gets_the_default(token: Token) -> None:
    make_config(id="default", authorized_tokens=["rack-7"], is_default=True)
    make_config(id="match", authorized_tokens=["rack-7"], target_filter={"/iso/release": "8.*"})

    assert served(token[1]) == "default"


def test_the_filter_of_a_default_is_not_looked_at(token: Token) -> None:
    make_config(
        id="default",
        authorized_tokens=["rack-7"],
        is_default=True,
        target_filter={"/iso/release": "1.0"},
    )

    assert served(token[1]) == "default"


@pytest.mark.parametrize("is_default", [True, False])
def test_a_config_of_another_token_is_not_given(is_default: bool, token: Token) -> None:
    make_config(id="theirs", is_default=is_default)

    with one_attempt(
        "answer.missed",
        outcome="no-match",
        status="no-answer-found",
        config_name="",
        token_name="rack-7",
        serial="SN-0001",
        answer_digest="",
    ):
        answer = ask(token[1])

    assert sentence_of(answer, 400) == (
        f"No prepared config matches this machine (serial SN-0001, attempt {newest().pk})."
    )


def test_a_machine_without_a_serial_number_is_told_so(token: Token) -> None:
    info = system_info()
    del info["dmi"]["system"]["serial"]

    assert "serial unknown" in sentence_of(ask(token[1], info), 400)


def test_an_unmatched_machine_is_recorded_as_a_failure_of_its_token(token: Token) -> None:
    ask(token[1])

    event = AuditEvent.objects.latest("id")
    assert (event.event, event.outcome) == ("answer.missed", "failed")
    assert event.actor_name == "token:rack-7"


def test_a_mac_address_matches_in_whatever_case_the_installer_sends_it(token: Token) -> None:
    make_config(
        id="by-mac",
        authorized_tokens=["rack-7"],
        target_filter={"/network_interfaces/*/mac": "a0:36:9f:*:02"},
    )
    macs = ("a0:36:9f:10:20:01", "A0:36:9F:10:20:02")

    assert served(token[1], system_info(macs=macs)) == "by-mac"
    assert served(token[1], system_info(macs=tuple(mac.swapcase() for mac in macs))) == "by-mac"


def test_schema_is_no_part_of_what_filters_see(token: Token) -> None:
    make_config(authorized_tokens=["rack-7"], target_filter={"/$schema/version": "*"})

    sentence_of(ask(token[1]), 400)
