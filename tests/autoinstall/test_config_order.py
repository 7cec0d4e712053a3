"""Counters, priority and overlaps of prepared configs: what the next machine gets."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from autoinstall.models import (
    HeldValue,
    PreparedConfig,
    TemplateCounter,
)
from tests.answers import assert_error, nothing_changes
from tests.autoinstall.factories import (
    STATIC,
    ask,
    machine,
    make_config,
    system_info,
)
from tests.autoinstall.prepared import RACK, Api, Made, counting, patch, post


@pytest.fixture
def client(operator: User, api: Api) -> APIClient:
    return api(operator)


@pytest.fixture
def rack(token: Made) -> PreparedConfig:
    """The config `rack` for the token `rack-7`."""
    return make_config(id="rack", authorized_tokens=["rack-7"]).config


# --- Counters ----------------------------------------------------------------------------------


def named(answer: Any) -> str:
    assert answer.status_code == 200, answer.content
    return str(answer.json()["global"]["fqdn"])


def test_a_counter_shows_what_the_next_machine_gets(client: APIClient, token: Made) -> None:
    counting()

    ask(token[1], machine(1))

    assert client.get(RACK).json()["template-counters"] == {"nr": 6}


def test_a_counter_can_be_set_anew(client: APIClient, token: Made) -> None:
    counting()
    ask(token[1], machine(1))

    answer = patch(client, template_counters={"nr": 100})

    assert answer.json()["config"]["template-counters"] == {"nr": 100}
    assert named(ask(token[1], machine(2))) == "pve100.example.com"
    assert named(ask(token[1], machine(1))) == "pve5.example.com"


def test_a_change_of_something_else_does_not_move_a_counter(client: APIClient, token: Made) -> None:
    counting()
    ask(token[1], machine(1))

    patch(client, country="de")

    assert TemplateCounter.objects.get().value == 6
    assert HeldValue.objects.count() == 1


def test_a_counter_that_is_set_back_skips_what_machines_hold_and_says_so(
    client: APIClient, token: Made
) -> None:
    counting()
    for number in (1, 2):
        ask(token[1], machine(number))

    answer = patch(client, template_counters={"nr": 5})

    (warning,) = answer.json()["warnings"]
    assert "2 values of 'nr' from 5 on" in warning
    assert named(ask(token[1], machine(3))) == "pve7.example.com"


def test_a_counter_that_is_taken_out_gives_its_values_back(client: APIClient, token: Made) -> None:
    counting()
    ask(token[1], machine(1))

    patch(client, fqdn="pve.example.com", template_counters={})

    assert not TemplateCounter.objects.exists()
    assert not HeldValue.objects.exists()
    patch(client, fqdn="pve{{ nr }}.example.com", template_counters={"nr": 5})
    assert named(ask(token[1], machine(2))) == "pve5.example.com"


def test_a_counter_that_a_template_uses_cannot_be_taken_out(client: APIClient, token: Made) -> None:
    counting()

    with nothing_changes():
        answer = patch(client, template_counters={})

    assert "'nr'" in assert_error(answer, 400, field="fqdn")["details"]["fqdn"][0]


def test_a_counter_that_hides_a_part_of_the_machine_is_reported(client: APIClient) -> None:
    answer = post(client, template_counters={"product": 1})

    assert answer.status_code == 201
    assert any("'product' hides" in warning for warning in answer.json()["warnings"])


# --- Which one wins ----------------------------------------------------------------------------


def winner(credential: str, info: dict[str, Any] | None = None) -> str:
    """The country is the mark by which these tests know a config."""
    answer = ask(credential, info)
    assert answer.status_code == 200, answer.content
    return str(answer.json()["global"]["country"])


def test_of_two_that_match_the_older_wins(token: Made) -> None:
    make_config(country="at", authorized_tokens=["rack-7"])
    make_config(country="de", authorized_tokens=["rack-7"])

    assert winner(token[1]) == "at"


def test_a_smaller_priority_wins_over_age(token: Made) -> None:
    make_config(country="at", authorized_tokens=["rack-7"])
    make_config(country="de", authorized_tokens=["rack-7"], priority=-1)
    make_config(country="fr", authorized_tokens=["rack-7"], priority=1)

    assert winner(token[1]) == "de"


def test_a_change_keeps_the_age_and_a_priority_changes_the_order(
    client: APIClient, token: Made
) -> None:
    make_config(id="rack", country="at", authorized_tokens=["rack-7"])
    make_config(country="de", authorized_tokens=["rack-7"])
    patch(client, mailto="new@example.com")
    assert winner(token[1]) == "at"

    patch(client, priority=1)

    assert winner(token[1]) == "de"


def test_the_preview_tries_configs_in_the_same_order(client: APIClient, token: Made) -> None:
    for name, priority in (("first", 1), ("second", 0), ("third", -1), ("fourth", -1)):
        make_config(id=name, authorized_tokens=["rack-7"], priority=priority)

    found = client.post(
        "/v1/auto-install/preview",
        {"system-info": system_info(), "token": "rack-7"},
        format="json",
    ).json()

    assert found["winner"] == "third"
    assert [one["id"] for one in found["configs"]] == ["third", "fourth", "second", "first"]


def test_the_default_comes_last_whatever_its_priority(token: Made) -> None:
    make_config(country="at", authorized_tokens=["rack-7"], is_default=True, priority=-100)
    make_config(country="de", authorized_tokens=["rack-7"], priority=100)

    assert winner(token[1]) == "de"
    assert winner(token[1], system_info(name="unheard of")) == "at"


OVERLAPPING = [
    ({"/dmi/system/name": "A*"}, {"/dmi/system/name": "AB"}),
    ({"/dmi/system/name": "A*"}, {"/dmi/system/serial": "SN-1"}),
    ({"/dmi/system/name": "A"}, {"/dmi/system/name": "A", "/dmi/system/serial": "SN-1"}),
    ({"/dmi/system/name": "[AB]"}, {"/dmi/system/name": "B"}),
]
DISJOINT = [
    ({"/dmi/system/name": "A"}, {"/dmi/system/name": "B"}),
    (
        {"/dmi/system/name": "A", "/dmi/system/serial": "SN-1"},
        {"/dmi/system/name": "A", "/dmi/system/serial": "SN-2"},
    ),
    ({"/dmi/system/name": "A"}, {"/dmi/system/name": "a"}),
]


@pytest.mark.parametrize(("first", "second"), OVERLAPPING)
def test_filters_that_overlap_are_reported(
    first: dict[str, str], second: dict[str, str], client: APIClient, token: Made
) -> None:
    make_config(id="first", authorized_tokens=["rack-7"], target_filter=first)

    answer = post(client, authorized_tokens=["rack-7"], target_filter=second)

    assert answer.status_code == 201
    (warning,) = answer.json()["warnings"]
    assert "first" in warning


@pytest.mark.parametrize(("first", "second"), DISJOINT)
def test_filters_that_cannot_overlap_are_not_reported(
    first: dict[str, str], second: dict[str, str], client: APIClient, token: Made
) -> None:
    make_config(id="first", authorized_tokens=["rack-7"], target_filter=first)

    answer = post(client, authorized_tokens=["rack-7"], target_filter=second)

    assert answer.json()["warnings"] == []


def test_configs_of_different_tokens_do_not_overlap(client: APIClient, token: Made) -> None:
    make_config(id="first")

    assert post(client, authorized_tokens=["rack-7"]).json()["warnings"] == []


def test_the_default_overlaps_with_none(client: APIClient, token: Made) -> None:
    make_config(id="first", authorized_tokens=["rack-7"])

    made = post(client, authorized_tokens=["rack-7"], is_default=True)

    assert made.json()["warnings"] == []


def test_a_change_reports_overlaps_as_well(client: APIClient, rack: PreparedConfig) -> None:
    make_config(id="other", authorized_tokens=["rack-7"], target_filter={"/dmi/system/name": "X"})
    assert patch(client, country="de").json()["warnings"] == []

    (warning,) = patch(client, target_filter={"/dmi/system/name": "X*"}).json()["warnings"]

    assert "other" in warning


@pytest.mark.parametrize(
    ("wire", "words"),
    [
        ({"use-dhcp-fqdn": True}, "global.fqdn"),
        (
            {**STATIC, "netdev-filter": {"ID_A": "x", "ID_B": "y"}},
            "network.filter",
        ),
        ({"filesystem": {"filesystem": "btrfs", "raid": "RAID1"}}, "btrfs"),
    ],
)
def test_what_works_but_may_surprise_is_reported(
    wire: dict[str, Any], words: str, client: APIClient
) -> None:
    answer = post(client, **wire)

    assert answer.status_code == 201
    assert any(words in warning for warning in answer.json()["warnings"])
