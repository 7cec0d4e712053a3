"""`POST /v1/auto-install/preview`: which config, why, and which answer; nothing is handed out."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from autoinstall.documents import MAX_COUNTER, Secrets
from autoinstall.models import AnswerToken
from autoinstall.services import configs
from tests.answers import assert_error, nothing_changes
from tests.autoinstall.attempts import newest
from tests.autoinstall.factories import (
    ACTOR,
    ROOT_PASSWORD,
    STATIC,
    ask,
    config_body,
    machine,
    make_config,
    make_token,
    password_hash,
    system_info,
)

Token = tuple[AnswerToken, str]
Api = Callable[[User | None], APIClient]
PATH = "/v1/auto-install/preview"
MASK = "********"
COUNTING = {"fqdn": "pve{{ nr }}.example.com", "template_counters": {"nr": 0}}


@pytest.fixture
def client(admin: User, api: Api) -> APIClient:
    return api(admin)


def look(client: APIClient, info: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A preview, in which nothing at all changes."""
    body = {"system-info": info or system_info(), **more}
    if "attempt" in more:
        del body["system-info"]
    with nothing_changes():
        answer = client.post(PATH, body, format="json")
    assert answer.status_code == 200, answer.content
    result: dict[str, Any] = answer.json()
    return result


def verdict_of(result: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (one for one in result["configs"] if one["id"] == name)
    return dict(found)


# --- Which config, and why ---------------------------------------------------------------------


def test_it_tells_which_machine_it_is(client: APIClient) -> None:
    assert look(client, machine(7) | {"iso": {"release": "8.4", "isorelease": "1"}})["machine"] == {
        "identity": "uuid 5c1f0f3e-58a1-4c55-9d51-000000000007",
        "serial": "SN-0007",
        "product": "pve",
        "release": "8.4-1",
        "installer": "8.4",
    }


def test_without_any_config_there_is_no_answer(client: APIClient) -> None:
    result = look(client)

    assert (result["winner"], result["answer"], result["configs"]) == (None, None, [])
    assert result["why"] == "No config matches, and there is no default."


def test_every_filter_tells_what_it_found(token: Token, client: APIClient) -> None:
    make_config(
        id="rack",
        authorized_tokens=["rack-7"],
        priority=3,
        target_filter={
            "/dmi/system/name": "Northwind *",
            "/network_interfaces/*/mac": "a0:36:9f:*",
            "/dmi/system/serial": "XX-*",
            "/dmi/system/colour": "*",
            "/product/enable_btrfs": "true",
        },
    )

    verdict = verdict_of(look(client), "rack")

    assert (verdict["priority"], verdict["matches"], verdict["authorized"]) == (3, False, True)
    filters = {one["pointer"]: one for one in verdict["filters"]}
    assert {pointer: one["matches"] for pointer, one in filters.items()} == {
        "/dmi/system/name": True,
        "/network_interfaces/*/mac": True,
        "/dmi/system/serial": False,
        "/dmi/system/colour": False,
        "/product/enable_btrfs": False,
    }
    assert filters["/dmi/system/name"]["found"] == ["Northwind R210"]
    assert filters["/dmi/system/serial"]["found"] == ["SN-0001"]
    assert "SN-0001" in filters["/dmi/system/serial"]["reason"]
    assert filters["/dmi/system/colour"]["found"] == []
    assert filters["/product/enable_btrfs"]["found"] == [True]
    assert all(one["reason"] for one in filters.values())


def test_the_first_match_wins_and_the_others_are_named(token: Token, client: APIClient) -> None:
    make_config(id="second", authorized_tokens=["rack-7"])
    make_config(id="first", authorized_tokens=["rack-7"], priority=-1)

    result = look(client)

    assert result["winner"] == "first"
    assert "second would match as well" in result["why"]
    assert [one["id"] for one in result["configs"]] == ["first", "second"]


def test_without_a_match_the_default_wins(token: Token, client: APIClient) -> None:
    make_config(id="default", authorized_tokens=["rack-7"], is_default=True)
    make_config(id="other", authorized_tokens=["rack-7"], target_filter={"/dmi/system/name": "no"})

    result = look(client)

    assert result["winner"] == "default"
    assert "default" in result["why"]


def test_a_token_sees_only_what_it_may_fetch(token: Token, client: APIClient) -> None:
    make_token("other")
    make_config(id="theirs", authorized_tokens=["other"])
    make_config(id="ours", authorized_tokens=["rack-7"])

    result = look(client, token="rack-7")

    assert result["winner"] == "ours"
    assert verdict_of(result, "theirs")["authorized"] is False
    assert look(client)["winner"] == "theirs"
    assert look(client, token="other")["winner"] == "theirs"


def test_a_token_without_configs_is_named(token: Token, client: APIClient) -> None:
    make_config(id="theirs")

    result = look(client, token="rack-7")

    assert result["winner"] is None
    assert "rack-7" in result["why"]


def test_of_many_configs_the_nearest_are_shown_and_the_winner_always(
    token: Token, client: APIClient
) -> None:
    for number in range(105):
        make_config(
            authorized_tokens=["rack-7"], target_filter={"/dmi/system/serial": f"ZZ-{number}"}
        )
    make_config(id="winner", authorized_tokens=["rack-7"], priority=99)

    result = look(client)

    assert result["winner"] == "winner"
    assert (len(result["configs"]), result["configs-left-out"]) == (100, 6)
    assert verdict_of(result, "winner")["matches"] is True


# --- The answer --------------------------------------------------------------------------------


def test_the_answer_is_that_of_the_machine_with_its_secrets_masked(
    token: Token, client: APIClient
) -> None:
    make_config(
        authorized_tokens=["rack-7"],
        **COUNTING,
        **STATIC,
        subscription_key="pve2c-0123456789",
        post_hook_base_url="https://ps.example.com",
    )

    shown = look(client)["answer"]

    served = ask(token[1]).json()
    hook = served["post-installation-webhook"]
    for table, key in (("global", "root-password-hashed"), ("global", "subscription-key")):
        served[table][key] = MASK
    hook["auth-token"] = MASK
    hook["url"] = hook["url"].replace(str(newest().pk), "00000000-0000-0000-0000-000000000000")
    assert shown["json"] == served
    assert (shown["rejected"], shown["error"]) == ([], None)
    assert shown["omitted"] == ["global.subscription-key"]  # of the TOML


@pytest.mark.parametrize("release", ["8.3", "8.4", "9.1", "9.2"])
def test_no_secret_is_in_a_preview_whatever_the_installer(
    release: str, token: Token, client: APIClient
) -> None:
    make_config(
        authorized_tokens=["rack-7"],
        subscription_key="pve2c-0123456789",
        post_hook_base_url="https://ps.example.com",
    )

    result = look(client, system_info(release=release))

    assert password_hash() not in str(result)
    assert "pve2c-0123456789" not in str(result)
    toml = tomllib.loads(result["answer"]["toml"])
    assert (
        toml["global"]["root_password_hashed" if release == "8.3" else "root-password-hashed"]
        == MASK
    )
    assert toml["post-installation-webhook"]["url"].endswith(f"/post-hook?token={MASK}")


def test_the_toml_is_that_of_this_installer(token: Token, client: APIClient) -> None:
    make_config(
        authorized_tokens=["rack-7"], reboot_mode="power-off", subscription_key="pve2c-0123456789"
    )
    info = system_info(release="8.4")

    shown = look(client, info)["answer"]

    toml = tomllib.loads(shown["toml"])
    served = tomllib.loads(ask(token[1], info, accept="*/*").content.decode())
    served["global"]["root-password-hashed"] = MASK
    assert toml == served
    assert shown["omitted"] == newest().omitted == ["global.reboot-mode", "global.subscription-key"]


def test_an_installer_that_cannot_be_served_is_shown_as_an_error(
    token: Token, client: APIClient
) -> None:
    make_config(authorized_tokens=["rack-7"])

    shown = look(client, system_info(release="8.2"))["answer"]

    assert "takes no hashed root password" in shown["error"]
    assert shown["toml"] is None


def test_the_kept_password_for_the_oldest_installers_is_masked(
    token: Token, client: APIClient
) -> None:
    kept = {"root-password": ROOT_PASSWORD, "keep-root-password": True}
    make_config(id="rack", authorized_tokens=["rack-7"], **kept)
    draft = {
        "id": "draft",
        "keep-root-password": True,
        "priority": -1,
        "root-password-hashed": None,
    }

    saved = look(client, system_info(release="8.2"))
    unsaved = look(client, system_info(release="8.2"), config=config_body(**draft))

    assert (saved["winner"], unsaved["winner"]) == ("rack", "draft")
    for shown in (saved["answer"], unsaved["answer"]):
        assert 'root_password = "********"' in shown["toml"]
        assert shown["rejected"] == [] and shown["error"] is None
        assert ROOT_PASSWORD not in json.dumps(shown)


def test_a_template_that_fails_is_shown_as_an_error(token: Token, client: APIClient) -> None:
    make_config(id="rack", authorized_tokens=["rack-7"], fqdn="{{ dmi.system.serial }}.example.com")

    result = look(client, system_info("not a name"))

    assert result["winner"] == "rack"
    assert result["answer"]["error"].startswith("fqdn: ")
    assert (result["answer"]["json"], result["answer"]["toml"]) == (None, None)


def test_what_the_installer_would_reject_is_listed(token: Token, client: APIClient) -> None:
    make_config(
        authorized_tokens=["rack-7"],
        filesystem={"filesystem": "btrfs", "raid": "RAID1"},
    )

    shown = look(client, system_info(product="pbs"))["answer"]

    assert [one["path"] for one in shown["rejected"]] == ["disk-setup.filesystem"]
    assert "btrfs" in shown["rejected"][0]["reason"]


# --- Counters ----------------------------------------------------------------------------------


def peek(client: APIClient, info: dict[str, Any]) -> dict[str, int]:
    counters: dict[str, int] = look(client, info)["answer"]["counters"]
    return counters


def agree(client: APIClient, token: Token, info: dict[str, Any]) -> dict[str, int]:
    """What the preview shows is what the machine then gets."""
    shown = peek(client, info)
    answer = ask(token[1], info)
    assert answer.status_code == 200, answer.content
    assert newest().counters == shown
    return shown


@pytest.mark.parametrize("is_sticky", [True, False])
def test_the_counters_are_those_that_the_machine_then_gets(
    is_sticky: bool, token: Token, client: APIClient
) -> None:
    make_config(authorized_tokens=["rack-7"], sticky_counters=is_sticky, **COUNTING)

    numbers = [agree(client, token, machine(n))["nr"] for n in (0, 1, 0, 2, 1)]

    assert numbers == ([0, 1, 0, 2, 1] if is_sticky else [0, 1, 2, 3, 4])


def test_the_counters_agree_after_a_counter_was_set_back(token: Token, client: APIClient) -> None:
    make_config(id="rack", authorized_tokens=["rack-7"], **COUNTING)
    for number in range(3):
        ask(token[1], machine(number))
    configs.change_config(
        name="rack",
        values={"template-counters": {"nr": 1}},
        delete=[],
        secrets=Secrets(),
        actor=ACTOR,
    )

    assert agree(client, token, machine(5)) == {"nr": 3}
    assert agree(client, token, machine(1)) == {"nr": 1}


def test_the_counters_agree_for_a_machine_without_identity(token: Token, client: APIClient) -> None:
    make_config(authorized_tokens=["rack-7"], **COUNTING)
    nobody = system_info("None", "", macs=())

    assert [agree(client, token, nobody)["nr"] for _ in range(2)] == [0, 1]


def test_a_counter_at_its_end_is_shown_as_an_error(token: Token, client: APIClient) -> None:
    make_config(
        authorized_tokens=["rack-7"],
        fqdn="pve{{ nr }}.example.com",
        template_counters={"nr": MAX_COUNTER},
    )
    agree(client, token, machine(0))
    assert ask(token[1], machine(1)).status_code == 400

    shown = look(client, machine(1))["answer"]

    assert shown["error"] and "at its end" in shown["error"]


# --- A config that is not saved ----------------------------------------------------------------


def test_a_draft_is_tried_among_the_others(token: Token, client: APIClient) -> None:
    make_config(id="saved", authorized_tokens=["rack-7"])
    draft = config_body(id="draft", priority=-1, fqdn="draft.example.com")

    result = look(client, config=draft)

    assert result["winner"] == "draft"
    assert result["answer"]["json"]["global"]["fqdn"] == "draft.example.com"
    assert result["answer"]["json"]["global"]["root-password-hashed"] == MASK


def test_a_draft_comes_after_configs_of_the_same_priority(token: Token, client: APIClient) -> None:
    make_config(id="saved", authorized_tokens=["rack-7"])

    assert look(client, config=config_body(id="draft"))["winner"] == "saved"


def test_a_draft_of_a_saved_config_stands_in_its_place(token: Token, client: APIClient) -> None:
    make_config(id="first", authorized_tokens=["rack-7"])
    make_config(id="second", authorized_tokens=["rack-7"])
    draft = config_body(id="first", **{"authorized-tokens": ["rack-7"]}, fqdn="new.example.com")

    result = look(client, config=draft)

    assert (result["winner"], len(result["configs"])) == ("first", 2)
    assert result["answer"]["json"]["global"]["fqdn"] == "new.example.com"


def test_a_draft_begins_with_its_own_counters(token: Token, client: APIClient) -> None:
    draft = config_body(
        id="draft", fqdn="pve{{ nr }}.example.com", **{"template-counters": {"nr": 40}}
    )

    shown = look(client, config=draft)["answer"]

    assert (shown["counters"], shown["json"]["global"]["fqdn"]) == ({"nr": 40}, "pve40.example.com")


def test_a_draft_keeps_what_machines_hold_of_the_saved_one(token: Token, client: APIClient) -> None:
    make_config(id="rack", authorized_tokens=["rack-7"], **COUNTING)
    ask(token[1], machine(0))
    draft = config_body(
        id="rack", fqdn="new{{ nr }}.example.com", **{"template-counters": {"nr": 0}}
    )

    assert look(client, machine(0), config=draft)["answer"]["counters"] == {"nr": 0}
    assert look(client, machine(1), config=draft)["answer"]["counters"] == {"nr": 1}


def test_a_draft_without_tokens_is_tried_for_any_token(token: Token, client: APIClient) -> None:
    assert look(client, config=config_body(id="draft"), token="rack-7")["winner"] == "draft"


def test_a_draft_of_other_tokens_is_not_authorized(token: Token, client: APIClient) -> None:
    make_token("other")
    draft = config_body(id="draft", **{"authorized-tokens": ["other"]})

    result = look(client, config=draft, token="rack-7")

    assert result["winner"] is None
    assert verdict_of(result, "draft")["authorized"] is False


def test_a_draft_that_could_not_be_saved_is_400(client: APIClient) -> None:
    body = {"system-info": system_info(), "config": config_body(country="xx")}

    with nothing_changes():
        assert_error(client.post(PATH, body, format="json"), 400, field="country")


def test_a_draft_needs_the_right_to_save_it(viewer: User, api: Api, token: Token) -> None:
    client = api(viewer)
    make_config(id="rack", authorized_tokens=["rack-7"])
    body = {"system-info": system_info(), "config": config_body(id="draft")}

    assert look(client)["winner"] == "rack"
    assert_error(client.post(PATH, body, format="json"), 403)


# --- A past attempt ----------------------------------------------------------------------------


@pytest.mark.parametrize("accept", ["application/json", "*/*"])
def test_a_past_attempt_is_previewed_by_its_id(
    accept: str, token: Token, client: APIClient
) -> None:
    make_config(id="rack", authorized_tokens=["rack-7"], **COUNTING)
    ask(token[1], machine(0))
    ask(token[1], machine(1), accept=accept)

    result = look(client, attempt=str(newest().pk))

    assert (result["winner"], result["machine"]["serial"]) == ("rack", "SN-0001")
    assert result["answer"]["counters"] == {"nr": 1}


def test_an_attempt_without_a_match_can_be_previewed_with_the_config_made_for_it(
    token: Token, client: APIClient
) -> None:
    ask(token[1], system_info(name="Elsewhere 1"))
    attempt = str(newest().pk)
    make_config(id="made", authorized_tokens=["rack-7"], target_filter={"/dmi/system/name": "E*"})

    assert look(client, attempt=attempt)["winner"] == "made"


def test_an_attempt_that_brought_no_system_information_is_400(
    token: Token, client: APIClient
) -> None:
    ask(token[1], b"{")
    malformed = str(newest().pk)

    assert_error(client.post(PATH, {"attempt": malformed}, format="json"), 400, field="attempt")


def test_an_unknown_attempt_is_400(client: APIClient) -> None:
    body = {"attempt": "00000000-0000-7000-8000-000000000000"}

    assert_error(client.post(PATH, body, format="json"), 400, field="attempt")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "system-info"),
        ({"system-info": system_info(), "attempt": "x"}, "system-info"),
        ({"attempt": "x"}, "attempt"),
        ({"attempt": 5}, "attempt"),
        ({"system-info": []}, "system-info"),
        ({"system-info": {}}, "system-info"),
        ({"system-info": system_info(dmi=5)}, "system-info"),
        ({"system-info": system_info(), "token": "nobody-here"}, "token"),
        ({"system-info": system_info(), "token": 5}, "token"),
        ({"system-info": system_info(), "config": []}, "config"),
        ({"system-info": system_info(), "config": {}}, "id"),
        ({"system-info": system_info(), "colour": "red"}, "colour"),
        ({"system-info": None, "attempt": None}, "system-info"),
        ({"system-info": system_info("a\0b")}, "system-info.dmi.system.serial"),
    ],
)
def test_a_wrong_question_is_400_and_names_its_field(
    body: dict[str, Any], field: str, client: APIClient, token: Token
) -> None:
    make_config(authorized_tokens=["rack-7"])

    with nothing_changes():
        assert_error(client.post(PATH, body, format="json"), 400, field=field)


def test_a_stranger_may_not_look(stranger: User, api: Api) -> None:
    body = {"system-info": system_info()}

    assert_error(api(stranger).post(PATH, body, format="json"), 403)
    assert_error(api(None).post(PATH, body, format="json"), 401)
