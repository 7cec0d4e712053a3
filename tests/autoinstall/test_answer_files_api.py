"""`/v1/auto-install/answer-files`: prepared configs from and to the installer's `answer.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from passlib.hash import sha512_crypt
from rest_framework.test import APIClient

from accounts.models import AuditEvent, User
from autoinstall.models import AnswerToken, PreparedConfig
from tests.answers import assert_error, last_event, nothing_changes, one_event
from tests.autoinstall.factories import STATIC, ask, make_config, make_token, password_hash

Api = Callable[[User | None], APIClient]
Made = tuple[AnswerToken, str]

FILES = "/v1/auto-install/answer-files"
PREPARED = "/v1/auto-install/prepared"
ANSWER = """\
[global]
country = "at"
fqdn = "pve7.example.com"
keyboard = "de"
mailto = "ops@example.com"
timezone = "Europe/Vienna"
root-password = "a-long-password"

[network]
source = "from-dhcp"

[disk-setup]
filesystem = "ext4"
disk-list = ["sda"]
lvm.maxroot = 20
"""
MORE = {"id": "rack", "target-filter": {"/dmi/system/serial": "SN-*"}}


@pytest.fixture
def client(operator: User, api: Api) -> APIClient:
    return api(operator)


def post(client: APIClient, text: str = ANSWER, /, **more: Any) -> Any:
    wire = {**MORE, **{key.replace("_", "-"): value for key, value in more.items()}}
    return client.post(FILES, {"answer-file": text, "config": wire}, format="json")


# --- Import ------------------------------------------------------------------------------------


def test_an_answer_file_is_imported(client: APIClient, operator: User, token: Made) -> None:
    with one_event(event="prepared-config.created", actor=operator, target_name="rack"):
        answer = post(client, authorized_tokens=["rack-7"])

    assert answer.status_code == 201, answer.content
    assert answer.headers["Location"] == f"{PREPARED}/rack"
    assert answer.json() == {
        "config": {
            "id": "rack",
            "authorized-tokens": ["rack-7"],
            "is-default": False,
            "target-filter": {"/dmi/system/serial": "SN-*"},
            "country": "at",
            "fqdn": "pve7.example.com",
            "use-dhcp-fqdn": False,
            "keyboard": "de",
            "mailto": "ops@example.com",
            "timezone": "Europe/Vienna",
            "reboot-on-error": False,
            "reboot-mode": "reboot",
            "use-dhcp-network": True,
            "netif-name-pinning-enabled": False,
            "filesystem": {"filesystem": "ext4", "maxroot": 20.0},
            "disk-mode": "fixed",
            "disk-list": ["sda"],
        },
        "warnings": [],
    }
    assert last_event().data["imported"] is True
    assert sha512_crypt.verify("a-long-password", PreparedConfig.objects.get().root_password_hash)


def test_what_was_imported_is_served(client: APIClient, token: Made) -> None:
    post(client, authorized_tokens=["rack-7"])

    answer = ask(token[1])

    assert answer.json()["disk-setup"]["lvm"] == {"maxroot": 20.0}


def test_an_imported_file_without_tokens_gets_one(client: APIClient) -> None:
    assert ask(post(client).json()["token"]["credential"]).status_code == 200


def test_the_fields_beside_the_file_win(client: APIClient, token: Made) -> None:
    config = post(client, country="de", root_password="another-long-one").json()["config"]

    assert config["country"] == "de"
    stored = PreparedConfig.objects.get().root_password_hash
    assert sha512_crypt.verify("another-long-one", stored)


def test_the_older_spelling_is_understood(client: APIClient) -> None:
    text = ANSWER.replace("root-password", "root_password").replace("disk-list", "disk_list")

    assert post(client, text).json()["config"]["disk-list"] == ["sda"]


def test_neither_password_nor_hash_of_the_file_is_shown(client: APIClient) -> None:
    line = f'root-password-hashed = "{password_hash()}"'
    text = ANSWER.replace('root-password = "a-long-password"', line)

    said = post(client, text).content + client.get(f"{FILES}/rack").content

    assert PreparedConfig.objects.get().root_password_hash == password_hash()
    assert password_hash() not in said.decode()
    assert "$6$" not in str(list(AuditEvent.objects.values("data")))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('country = "at"', 'contry = "at"', ("line 2", "contry")),
        ('country = "at"', 'country = "xx"', ("line 2", "'xx'")),
        ('keyboard = "de"', "keyboard = 5", ("line 4", "keyboard")),
        ("[network]", "[net]", ("line 9", "net")),
        ('source = "from-dhcp"', 'source = "from-answer"', ("line 9", "cidr")),
        ("lvm.maxroot", "zfs.ashift", ("line 15", "zfs")),
        ('disk-list = ["sda"]', 'disk-list = ["sda", "sdb"]', ("line 14", "disk")),
        ('timezone = "Europe/Vienna"', 'timezone = "Etc/UTC"', ("line 6", "Etc/UTC")),
        (
            'fqdn = "pve7.example.com"',
            'fqdn = "{{ x }}.example.com"',
            ("line 3, global.fqdn", "'x'"),
        ),
        ('fqdn = "pve7.example.com"', 'fqdn = "{{ x"', ("line 3, global.fqdn", "compile")),
        ('fqdn = "pve7.example.com"', 'fqdn = "pve7', ("line 3",)),
        ("[global]", "[global", ("line 1",)),
    ],
)
def test_what_is_wrong_in_a_file_is_named_and_nothing_is_imported(
    old: str, new: str, words: tuple[str, ...], client: APIClient
) -> None:
    assert old in ANSWER

    with nothing_changes():
        answer = post(client, ANSWER.replace(old, new))

    details = assert_error(answer, 400)["details"]
    text = " ".join(sentence for sentences in details.values() for sentence in sentences)
    assert all(word in text for word in words), details


def test_every_problem_of_a_file_is_named_with_its_line(client: APIClient) -> None:
    text = ANSWER.replace('"at"', '"xx"').replace('"de"', '"qwerty"')

    with nothing_changes():
        details = assert_error(post(client, text), 400, field="answer-file")["details"]

    assert [one.split(":")[0] for one in details["answer-file"]] == [
        "line 2, global.country",
        "line 4, global.keyboard",
    ]


def test_a_secret_of_a_refused_file_is_not_shown(client: APIClient) -> None:
    for password in ("short", "x" * 65):
        text = ANSWER.replace("a-long-password", password)

        with nothing_changes():
            answer = post(client, text)

        assert_error(answer, 400)
        assert f'"{password}"' not in answer.content.decode().replace("\\", "")


def test_a_file_without_a_password_needs_one_beside_it(client: APIClient) -> None:
    text = ANSWER.replace('root-password = "a-long-password"', "")

    with nothing_changes():
        assert_error(post(client, text), 400, field="root-password")
    assert post(client, text, root_password="another-long-one").status_code == 201


def test_a_file_without_an_id_needs_one_beside_it(client: APIClient) -> None:
    with nothing_changes():
        assert_error(
            client.post(FILES, {"answer-file": ANSWER}, format="json"),
            400,
            field="id",
        )


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "answer-file"),
        ({"answer-file": None}, "answer-file"),
        ({"answer-file": 5}, "answer-file"),
        ({"answer-file": "x" * (256 * 1024 + 1)}, "answer-file"),
        ({"answer-file": ANSWER, "config": None}, "config"),
        ({"answer-file": ANSWER, "config": []}, "config"),
        ({"answer-file": ANSWER, "config": MORE, "colour": "blue"}, "colour"),
        ({"answer-file": ANSWER, "config": {**MORE, "colour": "blue"}}, "colour"),
        ({"answer-file": ANSWER, "config": {**MORE, "authorized-tokens": ["x-y-z"]}}, "authorized"),
        ({"answer-file": ANSWER, "config": {**MORE, "root-password": "short"}}, "root-password"),
        ({"answer-file": ANSWER, "config": {"id": "rack"}}, "target-filter"),
    ],
)
def test_an_import_that_breaks_a_rule_is_400(
    body: dict[str, Any], field: str, client: APIClient
) -> None:
    with nothing_changes():
        answer = client.post(FILES, body, format="json")

    assert any(name.startswith(field) for name in assert_error(answer, 400)["details"])


def test_an_id_that_is_taken_is_409(client: APIClient) -> None:
    make_config(id="rack")

    with nothing_changes():
        assert_error(post(client), 409)


# --- Export ------------------------------------------------------------------------------------


def test_a_config_is_exported_without_its_password(
    client: APIClient, operator: User, token: Made
) -> None:
    make_config(id="rack", authorized_tokens=["rack-7"], **STATIC)

    with one_event(
        event="prepared-config.exported",
        actor=operator,
        target_name="rack",
        data={"with_hash": False},
    ):
        answer = client.get(f"{FILES}/rack")

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/toml"
    found = tomllib.loads(answer.content.decode())
    assert found["global"]["country"] == "at"
    assert found["network"] == {
        "source": "from-answer",
        "cidr": "10.7.0.10/24",
        "gateway": "10.7.0.1",
        "dns": "10.7.0.1",
        "filter": {"ID_NET_NAME": "eno1*"},
    }
    assert found["disk-setup"]["zfs"] == {"raid": "RAID1"}
    assert not [key for key in found["global"] if "password" in key]
    assert password_hash() not in answer.content.decode()


@pytest.mark.parametrize(
    "wire",
    [
        {},
        STATIC,
        {"is-default": True, "target-filter": None},
        {"use-dhcp-fqdn": True, "dhcp-fqdn-domain": "example.com"},
        {
            **STATIC,
            "fqdn": "{{ site }}{{ nr }}.example.com",
            "cidr": "10.0.0.{{ nr + 10 }}/24",
            "template-counters": {"nr": 3},
            "template-variables": {"site": 'a"b\\c'},
        },
        {
            "netif-name-pinning-enabled": True,
            "netif-name-mapping": {"a0:36:9f:10:20:01": "lan0"},
        },
        {
            "filesystem": {"filesystem": "btrfs", "raid": "RAID0", "hdsize": 2.5},
            "disk-mode": "filter",
            "disk-list": None,
            "disk-filter": {"ID_SERIAL": "[A-F]*"},
            "disk-filter-match": "all",
        },
        {
            "root-ssh-keys": ["ssh-ed25519 AAAA ops@example.com", "ssh-rsa B ü"],
            "reboot-on-error": True,
            "reboot-mode": "power-off",
            "subscription-key": "pve1c-0123456789",
            "post-hook-base-url": "https://p.example.com",
            "post-hook-cert-fp": ":".join(["0f"] * 32),
            "first-boot": {"source": "from-url", "url": "https://example.com/x"},
            "priority": -7,
            "sticky-counters": False,
            "post-hook-deadline-minutes": 5,
        },
    ],
)
def test_what_was_exported_is_imported_as_the_same(
    wire: dict[str, Any], client: APIClient, token: Made
) -> None:
    make_config(**{"id": "rack", "authorized-tokens": ["rack-7"], **wire})
    before = client.get(f"{PREPARED}/rack").json()
    text = client.get(f"{FILES}/rack").content.decode()
    client.delete(f"{PREPARED}/rack")

    body = {"answer-file": text, "config": {"root-password": "a-long-password"}}
    answer = client.post(FILES, body, format="json")

    assert answer.status_code == 201, answer.content
    assert answer.json()["config"] == before


@pytest.mark.parametrize("name", ["a/b (copy)", "100% sure?", "日本語"])
def test_an_id_may_be_any_text(name: str, client: APIClient) -> None:
    make_config(id=name)

    assert client.get(f"{FILES}/{quote(name, safe='')}").status_code == 200


@pytest.mark.parametrize("name", ["nobody", "no/body", "a%00b", "%ff"])
def test_a_config_that_is_not_there_is_404(name: str, client: APIClient) -> None:
    with nothing_changes():
        assert_error(client.get(f"{FILES}/{name}"), 404)


# --- Who may -----------------------------------------------------------------------------------


def test_a_viewer_exports_and_does_not_import(viewer: User, api: Api, token: Made) -> None:
    make_config(id="rack", authorized_tokens=["rack-7"])
    client = api(viewer)

    assert client.get(f"{FILES}/rack").status_code == 200
    with nothing_changes(AuditEvent):
        assert_error(post(client), 403)


def test_a_stranger_does_neither(stranger: User, api: Api) -> None:
    make_config(id="rack")
    make_token("other")
    client = api(stranger)

    with nothing_changes(AuditEvent):
        assert_error(client.get(f"{FILES}/rack"), 403)
        assert_error(post(client), 403)
