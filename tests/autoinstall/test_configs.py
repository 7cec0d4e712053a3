"""`/v1/auto-install/prepared`: which machine gets which answer."""

from __future__ import annotations

import json
import logging
import re
from typing import Any
from urllib.parse import quote

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from passlib.hash import sha512_crypt
from rest_framework.test import APIClient

from accounts.models import AuditEvent, User
from autoinstall.models import (
    AnswerToken,
    HeldValue,
    PreparedConfig,
    TemplateCounter,
)
from tests.answers import assert_error, last_event, nothing_changes, one_event
from tests.autoinstall.factories import (
    MODEL,
    STATIC,
    ask,
    config_body,
    machine,
    make_config,
    make_token,
    password_hash,
    system_info,
)
from tests.autoinstall.prepared import (
    FINGERPRINT,
    PREPARED,
    RACK,
    Api,
    Made,
    counting,
    patch,
    path_of,
    post,
)


@pytest.fixture
def client(operator: User, api: Api) -> APIClient:
    return api(operator)


@pytest.fixture
def rack(token: Made) -> PreparedConfig:
    """The config `rack` for the token `rack-7`."""
    return make_config(id="rack", authorized_tokens=["rack-7"]).config


def crypts(password: str, stored: str) -> bool:
    return bool(sha512_crypt.verify(password, stored))


# --- Create ------------------------------------------------------------------------------------


def test_a_config_is_created(client: APIClient, operator: User, token: Made) -> None:
    with one_event(event="prepared-config.created", actor=operator, target_name="rack"):
        answer = post(client, id="rack", authorized_tokens=["rack-7"])

    assert answer.status_code == 201
    assert answer.headers["Location"] == RACK
    assert answer.json() == {
        "config": {
            "id": "rack",
            "authorized-tokens": ["rack-7"],
            "is-default": False,
            "target-filter": {"/dmi/system/name": MODEL},
            "country": "at",
            "fqdn": "pve1.example.com",
            "use-dhcp-fqdn": False,
            "keyboard": "de",
            "mailto": "ops@example.com",
            "timezone": "Europe/Vienna",
            "reboot-on-error": False,
            "reboot-mode": "reboot",
            "use-dhcp-network": True,
            "netif-name-pinning-enabled": False,
            "filesystem": {"filesystem": "zfs", "raid": "RAID1"},
            "disk-mode": "fixed",
            "disk-list": ["sda", "sdb"],
        },
        "warnings": [],
    }
    row = PreparedConfig.objects.get()
    assert (row.name, row.is_default, row.priority) == ("rack", False, 0)
    assert list(row.authorized_tokens.values_list("name", flat=True)) == ["rack-7"]


def test_the_event_of_a_creation_tells_the_config_without_its_secrets(
    client: APIClient, token: Made
) -> None:
    post(
        client,
        id="rack",
        authorized_tokens=["rack-7"],
        subscription_key="pve1c-0123456789",
        root_password="never-to-be-seen",
    )

    event = last_event(event="prepared-config.created")
    assert event.data["config"]["subscription-key"] == "********"
    assert event.data["config"]["country"] == "at"
    assert "never-to-be-seen" not in json.dumps(event.data)
    assert "$6$" not in json.dumps(event.data)


# --- The password ------------------------------------------------------------------------------


@pytest.mark.parametrize("password", ["12345678", "x" * 64, "Pässwörd 机架", "a b'\"\\$(c)"])
def test_a_password_becomes_a_crypt_hash_that_verifies(
    password: str, client: APIClient, token: Made
) -> None:
    assert post(client, authorized_tokens=["rack-7"], root_password=password).status_code == 201

    stored = PreparedConfig.objects.get().root_password_hash
    assert re.fullmatch(r"\$6\$rounds=[0-9]+\$[./0-9A-Za-z]{8,16}\$[./0-9A-Za-z]{86}", stored)
    assert crypts(password, stored)
    assert not crypts(password + "x", stored)


def test_the_answer_holds_the_hash_and_not_the_password(client: APIClient, token: Made) -> None:
    post(client, authorized_tokens=["rack-7"], root_password="never-to-be-seen")

    answer = ask(token[1])

    assert crypts("never-to-be-seen", answer.json()["global"]["root-password-hashed"])
    assert "never-to-be-seen" not in answer.content.decode()


@pytest.mark.parametrize(
    "stored",
    [
        "$y$j9T$abcdefghijklmnop$" + "x" * 43,
        "$6$abcdefgh$" + "x" * 86,
        "$5$rounds=5000$abcdefgh$" + "x" * 43,
        "$2b$12$" + "x" * 53,
    ],
)
def test_a_hash_is_taken_as_it_is(stored: str, client: APIClient, token: Made) -> None:
    post(client, authorized_tokens=["rack-7"], root_password_hashed=stored)

    assert PreparedConfig.objects.get().root_password_hash == stored


def test_of_password_and_hash_the_password_wins(client: APIClient, token: Made) -> None:
    body = config_body(authorized_tokens=["rack-7"])
    body |= {"root-password": "the-password", "root-password-hashed": "$6$abcdefgh$" + "x" * 86}

    assert client.post(PREPARED, body, format="json").status_code == 201

    assert crypts("the-password", PreparedConfig.objects.get().root_password_hash)


def test_no_hash_is_ever_shown(client: APIClient, token: Made) -> None:
    said = [post(client, id="rack", authorized_tokens=["rack-7"])]
    said += [client.get(PREPARED), client.get(RACK), patch(client, country="de")]
    said += [patch(client, root_password="another-long-one")]
    said += [patch(client, root_password_hashed="not a hash at all")]
    said += [post(client, id="rack")]
    for path in ("prepared/rack", "prepared"):
        said += [client.get(f"/api2/json/auto-install/{path}")]
    hashes = {password_hash(), PreparedConfig.objects.get().root_password_hash}

    text = "".join(answer.content.decode() for answer in said)
    text += json.dumps(list(AuditEvent.objects.values("event", "data", "target_name")))
    assert len(hashes) == 2
    assert not [stored for stored in hashes if stored[:20] in text]
    assert "another-long-one" not in text
    assert "not a hash at all" not in text


def test_a_new_password_is_recorded_but_not_shown(client: APIClient, rack: PreparedConfig) -> None:
    with one_event(
        event="prepared-config.changed",
        target_name="rack",
        data={"changed": {"root-password": ["********", "********"]}},
    ):
        answer = patch(client, root_password="another-long-one")

    assert answer.status_code == 200
    rack.refresh_from_db()
    assert crypts("another-long-one", rack.root_password_hash)


def test_a_change_without_a_password_keeps_the_hash(
    client: APIClient, rack: PreparedConfig
) -> None:
    patch(client, country="de")

    before = rack.root_password_hash
    rack.refresh_from_db()
    assert rack.root_password_hash == before


def test_a_config_needs_a_password(client: APIClient, token: Made) -> None:
    with nothing_changes():
        answer = post(client, authorized_tokens=["rack-7"], root_password_hashed=None)

    assert_error(answer, 400, field="root-password")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("root-password", "1234567"),
        ("root-password", "x" * 65),
        ("root-password", "with\nnewline"),
        ("root-password", ""),
        ("root-password", 12345678),
        ("root-password", None),
        ("root-password-hashed", "plain"),
        ("root-password-hashed", ""),
        ("root-password-hashed", "$6$abc:def$" + "x" * 86),
        ("root-password-hashed", "$6$abcdefgh$" + "x" * 86 + "\n"),
        ("root-password-hashed", "!" + "$6$abcdefgh$" + "x" * 86),
        ("root-password-hashed", None),
    ],
)
def test_a_password_that_is_none_is_refused_without_being_shown(
    field: str, value: Any, client: APIClient, token: Made, caplog: pytest.LogCaptureFixture
) -> None:
    body = {**config_body(authorized_tokens=["rack-7"]), field: value}

    with nothing_changes(), caplog.at_level(logging.DEBUG):
        answer = client.post(PREPARED, body, format="json")

    assert_error(answer, 400, field=field)
    if value and isinstance(value, str):
        assert value not in answer.content.decode()
        assert value not in caplog.text


def test_an_id_that_is_taken_is_409(client: APIClient, rack: PreparedConfig) -> None:
    with nothing_changes():
        answer = post(client, id="rack", authorized_tokens=["rack-7"])

    assert "rack" in assert_error(answer, 409)["message"]


# --- The default -------------------------------------------------------------------------------


def test_the_default_needs_no_filter(client: APIClient, token: Made) -> None:
    answer = post(client, is_default=True, target_filter=None, authorized_tokens=["rack-7"])

    assert answer.status_code == 201
    assert ask(token[1], system_info(name="unheard of")).status_code == 200


def test_a_second_default_is_409_and_the_first_is_named(client: APIClient, token: Made) -> None:
    make_config(id="first", is_default=True, authorized_tokens=["rack-7"])

    with nothing_changes():
        answer = post(client, id="second", is_default=True, authorized_tokens=["rack-7"])

    assert "first" in assert_error(answer, 409)["message"]


def test_a_config_cannot_become_a_second_default(client: APIClient, rack: PreparedConfig) -> None:
    make_config(id="first", is_default=True)

    with nothing_changes():
        assert_error(patch(client, is_default=True), 409)


def test_the_database_itself_holds_one_default_at_most(token: Made) -> None:
    make_config(id="first", is_default=True)
    second = make_config(id="second").config

    with pytest.raises(IntegrityError), transaction.atomic():
        PreparedConfig.objects.filter(pk=second.pk).update(is_default=True)


def test_when_the_default_has_stepped_down_another_can_take_its_place(
    client: APIClient, rack: PreparedConfig
) -> None:
    make_config(id="first", is_default=True)

    assert patch(client, f"{PREPARED}/first", is_default=False).status_code == 200
    assert patch(client, is_default=True).status_code == 200
    assert PreparedConfig.objects.get(is_default=True).name == "rack"


def test_a_default_without_a_filter_cannot_step_down(client: APIClient, token: Made) -> None:
    make_config(id="first", is_default=True, target_filter=None)

    with nothing_changes():
        answer = patch(client, f"{PREPARED}/first", is_default=False)

    assert_error(answer, 400, field="target-filter")


def test_the_default_may_be_saved_again(client: APIClient) -> None:
    make_config(id="first", is_default=True)

    assert patch(client, f"{PREPARED}/first", is_default=True, country="de").status_code == 200


# --- Tokens ------------------------------------------------------------------------------------


def test_a_config_that_names_no_token_gets_one_of_its_own(
    client: APIClient, operator: User
) -> None:
    answer = post(client, id="rack")

    made = answer.json()["token"]
    assert re.fullmatch("rack-[0-9a-f]{8}", made["token"]["id"])
    assert made["token"]["comment"] == "Automatically generated."
    assert made["token"]["created-by"] == "oscar"
    assert made["token"]["enabled"] is True
    assert "expire-at" not in made["token"]
    assert made["credential"] == f"{made['token']['id']}:{made['secret']}"
    assert answer.json()["config"]["authorized-tokens"] == [made["token"]["id"]]
    assert ask(made["credential"]).status_code == 200
    assert set(AuditEvent.objects.filter(actor=operator).values_list("event", flat=True)) >= {
        "answer-token.created",
        "prepared-config.created",
    }


@pytest.mark.parametrize(
    ("name", "beginning"),
    [
        ("a/b (copy)", "a-b--copy-"),
        ("rack: 7", "rack--7"),
        ("...", "config"),
        ("-x-", "x"),
        ("日本語", "config"),
        ("Größe 7", "Gr--e-7"),
        ("x" * 64, "x" * 55),
        ("a/b (copy) " * 5 + "123456789", "a-b--copy--"),
    ],
)
def test_the_id_of_such_a_token_is_a_valid_one_whatever_the_config_is_called(
    name: str, beginning: str, client: APIClient
) -> None:
    answer = post(client, id=name)

    assert answer.status_code == 201, answer.content
    made = answer.json()["token"]["token"]["id"]
    assert made.startswith(beginning.rstrip("-"))
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._\-]{2,63}", made)
    assert client.patch(f"/v1/auto-install/tokens/{made}", {}, format="json").status_code == 200
    assert ask(answer.json()["token"]["credential"]).status_code == 200
    again = post(client, authorized_tokens=[made])
    assert again.status_code == 201


@pytest.mark.parametrize(
    "wire",
    [
        {"country": "xx"},
        {"target-filter": {}},
        {"template-counters": {"n": -1}},
        {"netdev-filter": {"x": "y"}},
        {"fqdn": "{{ nobody }}.example.com"},
        {"root-password-hashed": None},
        {"colour": "blue"},
    ],
)
def test_a_refused_config_leaves_no_token_behind(wire: dict[str, Any], client: APIClient) -> None:
    with nothing_changes():
        assert_error(post(client, **wire), 400)


def test_a_conflict_leaves_no_token_behind(client: APIClient, rack: PreparedConfig) -> None:
    with nothing_changes():
        assert_error(post(client, id="rack"), 409)


def test_an_empty_list_of_tokens_makes_a_new_one_each_time(
    client: APIClient, rack: PreparedConfig
) -> None:
    first = patch(client, authorized_tokens=[]).json()
    second = patch(client, authorized_tokens=[]).json()

    assert first["token"]["token"]["id"] != second["token"]["token"]["id"]
    assert second["config"]["authorized-tokens"] == [second["token"]["token"]["id"]]
    assert AnswerToken.objects.count() == 3
    assert ask(first["token"]["credential"]).status_code == 400
    assert ask(second["token"]["credential"]).status_code == 200


def test_a_change_that_does_not_name_tokens_keeps_them(
    client: APIClient, rack: PreparedConfig
) -> None:
    answer = patch(client, country="de").json()

    assert "token" not in answer
    assert answer["config"]["authorized-tokens"] == ["rack-7"]


def test_tokens_are_answered_in_the_order_in_which_they_were_given(
    client: APIClient, rack: PreparedConfig
) -> None:
    make_token("bbb")
    make_token("aaa")

    patch(client, authorized_tokens=["bbb", "rack-7", "aaa"])
    assert client.get(RACK).json()["authorized-tokens"] == ["bbb", "rack-7", "aaa"]
    patch(client, authorized_tokens=["aaa", "bbb", "aaa"])
    assert client.get(RACK).json()["authorized-tokens"] == ["aaa", "bbb"]


def test_only_its_tokens_fetch_a_config(client: APIClient, rack: PreparedConfig) -> None:
    other = make_token("other")[1]

    assert ask(other).status_code == 400


# --- Change ------------------------------------------------------------------------------------


def test_a_change_is_stored_and_recorded(
    client: APIClient, operator: User, rack: PreparedConfig
) -> None:
    changed = {"country": ["at", "de"], "priority": [None, 5]}

    with one_event(
        event="prepared-config.changed",
        actor=operator,
        target_name="rack",
        data={"changed": changed},
    ):
        answer = patch(client, country="de", priority=5)

    assert answer.status_code == 200
    assert answer.json()["config"]["country"] == "de"
    rack.refresh_from_db()
    assert (rack.document["country"], rack.priority) == ("de", 5)
    assert rack.updated_at > rack.created_at


def test_put_changes_only_what_it_names_as_patch_does(
    client: APIClient, rack: PreparedConfig
) -> None:
    before = client.get(RACK).json()

    assert client.put(RACK, {"country": "de"}, format="json").status_code == 200
    assert client.get(RACK).json() == {**before, "country": "de"}


def test_the_next_machine_gets_the_change(
    client: APIClient, rack: PreparedConfig, token: Made
) -> None:
    assert ask(token[1]).json()["global"]["country"] == "at"

    patch(client, country="de")

    assert ask(token[1]).json()["global"]["country"] == "de"


def test_the_audit_trail_masks_the_subscription_key(
    client: APIClient, rack: PreparedConfig
) -> None:
    patch(client, subscription_key="pve1c-0123456789")

    changed = last_event(event="prepared-config.changed").data["changed"]
    assert changed == {"subscription-key": [None, "********"]}


@pytest.mark.parametrize(
    ("field", "before", "after"),
    [
        ("netdev-filter", {"ID_A": "a", "ID_B": "b"}, {"ID_C": "c"}),
        ("target-filter", {"/dmi/system/name": "a"}, {"/dmi/system/serial": "b"}),
        ("disk-filter", {"ID_A": "a"}, {"ID_B": "b"}),
        ("template-counters", {"a": 1, "b": 2}, {"b": 3}),
        ("template-variables", {"a": "1", "b": "2"}, {"b": "3"}),
        ("root-ssh-keys", ["ssh-rsa A a", "ssh-rsa B b"], ["ssh-rsa C c"]),
        ("disk-list", ["sda", "sdb", "sdc"], ["sdd", "sde"]),
        (
            "filesystem",
            {"filesystem": "zfs", "raid": "RAID1", "ashift": 12, "copies": 2},
            {"filesystem": "zfs", "raid": "RAID1", "compress": "lz4"},
        ),
        ("first-boot", {"source": "from-iso", "ordering": "fully-up"}, {"source": "from-iso"}),
    ],
)
def test_maps_lists_and_the_filesystem_are_replaced_whole(
    field: str, before: Any, after: Any, client: APIClient, token: Made
) -> None:
    make_config(id="rack", authorized_tokens=["rack-7"], **{field: before})
    assert client.get(RACK).json()[field] == before

    assert patch(client, **{field: after}).status_code == 200

    assert client.get(RACK).json()[field] == after


@pytest.mark.parametrize(
    ("field", "value", "more"),
    [
        ("netdev-filter", {"ID_A": "a"}, {}),
        ("disk-filter", {"ID_A": "a"}, {}),
        ("root-ssh-keys", ["ssh-rsa A a"], {}),
        ("post-hook-base-url", "https://p.example.com", {}),
        ("post-hook-cert-fp", FINGERPRINT, {}),
        ("template-counters", {"n": 1}, {}),
        ("subscription-key", "pve1c-0123456789", {}),
        ("cidr", "10.0.0.2/24", {}),
        ("gateway", "10.0.0.1", {}),
        ("dns", "10.0.0.1", {}),
        ("disk-list", ["sda"], {"disk-mode": "filter", "disk-filter": {"ID_A": "a"}}),
        ("disk-filter-match", "all", {}),
        ("priority", 5, {}),
        ("dhcp-fqdn-domain", "example.com", {"use-dhcp-fqdn": True}),
        (
            "netif-name-mapping",
            {"a0:36:9f:10:20:01": "lan0"},
            {"netif-name-pinning-enabled": True},
        ),
        ("first-boot", {"source": "from-iso"}, {}),
        ("template-variables", {"a": "b"}, {}),
        ("sticky-counters", False, {}),
        ("post-hook-deadline-minutes", 5, {}),
    ],
)
def test_delete_unsets_a_field(
    field: str, value: Any, more: dict[str, Any], client: APIClient, token: Made
) -> None:
    make_config(id="rack", **{"authorized-tokens": ["rack-7"], **more, field: value})
    before = client.get(RACK).json()

    answer = patch(client, delete=[field])

    assert answer.status_code == 200, answer.content
    after = client.get(RACK).json()
    assert {**after, field: value} == before
    assert field not in after


def test_the_target_filter_of_the_default_can_be_deleted(client: APIClient) -> None:
    make_config(id="rack", is_default=True)

    assert patch(client, delete=["target-filter"]).status_code == 200
    assert "target-filter" not in client.get(RACK).json()


def test_the_target_filter_of_another_cannot_be_deleted(
    client: APIClient, rack: PreparedConfig
) -> None:
    with nothing_changes():
        assert_error(patch(client, delete=["target-filter"]), 400, field="target-filter")


def test_what_is_deleted_and_set_is_set(client: APIClient, rack: PreparedConfig) -> None:
    patch(client, priority=3)

    patch(client, priority=9, delete=["priority"])

    assert client.get(RACK).json()["priority"] == 9


@pytest.mark.parametrize(
    "delete",
    [
        ["country"],
        ["id"],
        ["fqdn"],
        ["filesystem"],
        ["authorized-tokens"],
        ["is-default"],
        ["root-password"],
        ["root-password-hashed"],
        ["netdev_filter"],
        ["colour"],
        ["cidr", "colour"],
        "cidr",
        {"cidr": True},
        [5],
        None,
    ],
)
def test_what_cannot_be_deleted_is_400(
    delete: Any, client: APIClient, rack: PreparedConfig
) -> None:
    with nothing_changes():
        assert_error(patch(client, delete=delete), 400, field="delete")


def test_a_deletion_that_the_rest_cannot_do_without_is_400(client: APIClient, token: Made) -> None:
    make_config(id="rack", authorized_tokens=["rack-7"], **STATIC)

    with nothing_changes():
        assert_error(patch(client, delete=["gateway"]), 400, field="gateway")


@pytest.mark.parametrize("value", ["other", "RACK", 5, None])
def test_an_id_cannot_be_changed(value: Any, client: APIClient, rack: PreparedConfig) -> None:
    with nothing_changes():
        assert_error(patch(client, id=value), 400, field="id")


def test_an_id_may_be_said_again(client: APIClient, rack: PreparedConfig) -> None:
    assert patch(client, id="rack", country="de").status_code == 200


def test_what_was_read_can_be_written_back(client: APIClient, token: Made) -> None:
    make_config(
        id="rack",
        authorized_tokens=["rack-7"],
        **STATIC,
        template_counters={"n": 3},
        template_variables={"a": "b"},
        priority=5,
        first_boot={"source": "from-iso"},
    )
    before = client.get(RACK).json()

    assert client.put(RACK, before, format="json").status_code == 200

    assert client.get(RACK).json() == before


@pytest.mark.parametrize("method", ["get", "patch", "put", "delete"])
@pytest.mark.parametrize("name", ["nobody", "no/body", "RACK"])
def test_a_config_that_is_not_there_is_404(
    method: str, name: str, client: APIClient, rack: PreparedConfig
) -> None:
    with nothing_changes():
        assert_error(getattr(client, method)(f"{PREPARED}/{name}", {}, format="json"), 404)


# --- Read --------------------------------------------------------------------------------------


def test_the_list_holds_the_configs_in_the_order_of_creation(
    client: APIClient, token: Made
) -> None:
    for name in ("ccc", "aaa", "bbb"):
        make_config(id=name, authorized_tokens=["rack-7"])

    listed = client.get(PREPARED).json()

    assert [one["id"] for one in listed] == ["ccc", "aaa", "bbb"]
    assert listed[1] == client.get(f"{PREPARED}/aaa").json()


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("id=second", ["second"]),
        ("token=rack-7", ["first"]),
        ("token=nobody", []),
        ("limit=1", ["first"]),
    ],
)
def test_the_list_is_filtered_and_paged(
    query: str, names: list[str], client: APIClient, token: Made
) -> None:
    make_config(id="first", authorized_tokens=["rack-7"])
    make_config(id="second")

    assert [one["id"] for one in client.get(f"{PREPARED}?{query}").json()] == names


def test_the_list_goes_on_where_the_link_says(client: APIClient, token: Made) -> None:
    for number in range(3):
        make_config(id=f"config-{number}", authorized_tokens=["rack-7"])

    first = client.get(f"{PREPARED}?limit=2&count=true")
    link = first.headers["Link"].partition(">")[0].lstrip("<")

    assert first.headers["X-Total-Count"] == "3"
    assert [one["id"] for one in client.get(link).json()] == ["config-2"]


@pytest.mark.parametrize("query", ["name=x", "is_default=true", "limit=x"])
def test_a_parameter_that_the_list_does_not_know_is_400(query: str, client: APIClient) -> None:
    assert_error(client.get(f"{PREPARED}?{query}"), 400)


@pytest.mark.parametrize("path", [PREPARED, "/api2/json/auto-install/prepared"])
def test_the_list_takes_as_many_queries_for_thirty_as_for_one(
    path: str, client: APIClient, token: Made, django_assert_max_num_queries: Any
) -> None:
    make_token("second")
    wire: dict[str, Any] = {
        "authorized-tokens": ["rack-7", "second"],
        "template-counters": {"a": 1, "b": 2},
    }
    make_config(**wire)
    with django_assert_max_num_queries(50) as one:
        client.get(path)
    for _ in range(29):
        make_config(**wire)

    with django_assert_max_num_queries(len(one.captured_queries)):
        client.get(path)


NAMES = [
    "a/b (copy)",
    "a b c",
    "100% sure?",
    "#7 & more",
    "日本語",
    "Größe",
    "a/../b",
    "x:y",
    "prepared/rack",
    "a+b",
    "..." + "/x",
    "🦆🦆🦆",
    "x" * 64,
    "%2F%2F",
]


@pytest.mark.parametrize("name", NAMES)
def test_an_id_may_be_any_text_and_its_url_is_the_encoded_id(
    name: str, client: APIClient, token: Made
) -> None:
    created = post(client, id=name, authorized_tokens=["rack-7"])

    assert created.status_code == 201, created.content
    assert client.get(path_of(name)).json()["id"] == name
    assert client.get(created.headers["Location"]).json()["id"] == name
    assert patch(client, path_of(name), country="de").json()["config"]["country"] == "de"
    assert client.get(f"{PREPARED}?id={quote(name)}").json()[0]["id"] == name
    assert client.delete(path_of(name)).status_code == 204
    assert not PreparedConfig.objects.exists()


# --- Delete ------------------------------------------------------------------------------------


def test_a_config_is_deleted_and_its_token_stays(
    client: APIClient, operator: User, token: Made
) -> None:
    counting()
    ask(token[1], machine(1))

    with one_event(event="prepared-config.deleted", actor=operator, target_name="rack"):
        answer = client.delete(RACK)

    assert (answer.status_code, answer.content) == (204, b"")
    assert not PreparedConfig.objects.exists()
    assert not TemplateCounter.objects.exists()
    assert not HeldValue.objects.exists()
    assert AnswerToken.objects.filter(name="rack-7").exists()
    assert ask(token[1]).status_code == 400


def test_the_event_of_a_deletion_tells_what_was_deleted(
    client: APIClient, rack: PreparedConfig
) -> None:
    before = client.get(RACK).json()

    client.delete(RACK)

    assert last_event(event="prepared-config.deleted").data["config"] == before


# --- ETags -------------------------------------------------------------------------------------


def test_the_etag_is_the_same_wherever_it_is_read(client: APIClient, token: Made) -> None:
    created = post(client, id="rack", authorized_tokens=["rack-7"]).headers["ETag"]

    assert client.get(RACK).headers["ETag"] == created
    changed = patch(client, country="de").headers["ETag"]
    assert changed != created
    assert client.get(RACK).headers["ETag"] == changed


def test_each_config_has_an_etag_of_its_own(client: APIClient, rack: PreparedConfig) -> None:
    before = client.get(RACK).headers["ETag"]

    make_config(id="other")

    assert client.get(RACK).headers["ETag"] == before
    assert client.get(f"{PREPARED}/other").headers["ETag"] != before


def test_a_new_password_moves_the_etag(client: APIClient, rack: PreparedConfig) -> None:
    before = client.get(RACK).headers["ETag"]

    assert patch(client, root_password="another-long-one").headers["ETag"] != before


def test_a_served_answer_is_no_change_for_who_sets_no_counter(
    client: APIClient, token: Made
) -> None:
    counting()
    seen = client.get(RACK).headers["ETag"]

    ask(token[1], machine(1))

    assert client.get(RACK).headers["ETag"] != seen
    answer = client.patch(RACK, {"priority": 3}, format="json", headers={"If-Match": seen})
    assert answer.status_code == 200
    assert answer.json()["config"]["template-counters"] == {"nr": 6}


@pytest.mark.parametrize(
    "body", [{"template-counters": {"nr": 5}}, {"delete": ["template-counters"]}]
)
def test_counters_that_moved_since_are_not_set_with_an_old_etag(
    body: dict[str, Any], client: APIClient, token: Made
) -> None:
    counting(**{"sticky-counters": False})
    seen = client.get(RACK).headers["ETag"]
    ask(token[1], machine(1))

    with nothing_changes():
        answer = client.patch(RACK, body, format="json", headers={"If-Match": seen})

    assert_error(answer, 412)


def test_a_counter_set_back_without_stickiness_is_warned_of(client: APIClient, token: Made) -> None:
    counting(**{"sticky-counters": False})
    ask(token[1], machine(1))

    warnings = patch(client, template_counters={"nr": 5}).json()["warnings"]

    assert any("goes back from 6 to 5" in one for one in warnings)


def test_values_held_from_before_are_passed_over_without_stickiness(
    client: APIClient, token: Made
) -> None:
    counting()
    names = [ask(token[1], machine(number)).json()["global"]["fqdn"] for number in (1, 2)]
    patch(client, sticky_counters=False, template_counters={"nr": 5})

    names += [ask(token[1], machine(number)).json()["global"]["fqdn"] for number in (3, 4)]

    assert names == [f"pve{number}.example.com" for number in (5, 6, 7, 8)]


@pytest.mark.parametrize("method", ["patch", "put", "delete"])
def test_a_change_with_another_etag_is_412(
    method: str, client: APIClient, rack: PreparedConfig
) -> None:
    seen = client.get(RACK).headers["ETag"]
    patch(client, country="de")

    with nothing_changes():
        answer = getattr(client, method)(
            RACK, {"country": "fr"}, format="json", headers={"If-Match": seen}
        )

    assert "rack" in assert_error(answer, 412)["message"]


@pytest.mark.parametrize("method", ["patch", "put", "delete"])
def test_a_change_with_the_right_etag_is_made(
    method: str, client: APIClient, rack: PreparedConfig
) -> None:
    seen = client.get(RACK).headers["ETag"]

    answer = getattr(client, method)(
        RACK, {"country": "fr"}, format="json", headers={"If-Match": seen}
    )

    assert answer.status_code == (204 if method == "delete" else 200)


# --- Who may -----------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["admin", "operator"])
def test_admins_and_operators_manage_configs(
    who: str, request: pytest.FixtureRequest, api: Api, token: Made
) -> None:
    client = api(request.getfixturevalue(who))

    assert post(client, id="rack", authorized_tokens=["rack-7"]).status_code == 201
    assert patch(client, country="de").status_code == 200
    assert client.delete(RACK).status_code == 204


@pytest.mark.parametrize("who", ["developer", "viewer"])
def test_developers_and_viewers_only_read_configs(
    who: str, request: pytest.FixtureRequest, api: Api, rack: PreparedConfig
) -> None:
    client = api(request.getfixturevalue(who))

    assert client.get(PREPARED).status_code == 200
    assert client.get(RACK).status_code == 200
    with nothing_changes(AuditEvent):
        assert_error(post(client, id="other"), 403)
        assert_error(patch(client, country="de"), 403)
        assert_error(client.delete(RACK), 403)


def test_a_stranger_learns_not_even_what_there_is(
    stranger: User, api: Api, rack: PreparedConfig
) -> None:
    client = api(stranger)

    with nothing_changes(AuditEvent):
        for path in (PREPARED, RACK, f"{PREPARED}/nobody"):
            assert_error(client.get(path), 403)


def test_without_a_session_there_is_401(rack: PreparedConfig) -> None:
    with nothing_changes(AuditEvent):
        assert_error(Client().get(RACK), 401)
