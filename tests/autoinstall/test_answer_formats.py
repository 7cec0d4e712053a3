"""JSON or TOML, and only what this installer knows: read by a strict parser that is not ours."""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from accounts.models import AuditEvent
from autoinstall.models import AnswerToken, Attempt, TemplateCounter
from tests.autoinstall import strict
from tests.autoinstall.attempts import newest, one_attempt, sentence_of
from tests.autoinstall.factories import (
    ROOT_PASSWORD,
    STATIC,
    TAKES_JSON,
    ask,
    make_config,
    password_hash,
    system_info,
)

Token = tuple[AnswerToken, str]
Version = tuple[int, int]

CAPTURED: dict[str, Any] = json.loads(
    (Path(__file__).parent / "data" / "installer-9.2.json").read_text()
)
FINGERPRINT = ":".join(["AB"] * 32)
BASE = "https://ps.example.com:8443"

# One config for every corner of the answer's schema.
CONFIGS: dict[str, dict[str, Any]] = {
    "the least": {},
    "all of global": {
        "root-ssh-keys": ["ssh-ed25519 AAAAexample ops@example.com"],
        "reboot-on-error": True,
        "reboot-mode": "power-off",
        "subscription-key": "pve2c-0123456789",
    },
    "name by DHCP": {"use-dhcp-fqdn": True, "fqdn": ""},
    "name and domain by DHCP": {"use-dhcp-fqdn": True, "dhcp-fqdn-domain": "lab.example.com"},
    "static network": STATIC,
    "static network of IPv6": {
        **STATIC,
        "cidr": "2001:db8::10/64",
        "gateway": "fe80::1",
        "dns": "2001:db8::53",
    },
    "pinned names": {"netif-name-pinning-enabled": True},
    "mapped names": {
        "netif-name-pinning-enabled": True,
        "netif-name-mapping": {"A0:36:9F:3C:55:10": "mgmt0", "a0:36:9f:3c:55:11": "storage0"},
    },
    "static network with mapped names": {
        **STATIC,
        "netif-name-pinning-enabled": True,
        "netif-name-mapping": {"a0:36:9f:3c:55:10": "mgmt0"},
    },
    "all of lvm": {
        "filesystem": {
            "filesystem": "ext4",
            "hdsize": 80.5,
            "swapsize": 8,
            "maxroot": 20,
            "maxvz": 0,
            "minfree": 1.25,
        },
        "disk-list": ["nvme0n1"],
    },
    "xfs by filter": {
        "filesystem": {"filesystem": "xfs"},
        "disk-mode": "filter",
        "disk-list": None,
        "disk-filter": {"ID_MODEL": "NORTHWIND*", "ID_BUS": "ata"},
        "disk-filter-match": "all",
    },
    "all of zfs": {
        "filesystem": {
            "filesystem": "zfs",
            "raid": "RAIDZ-1",
            "ashift": 13,
            "arc-max": 4096,
            "checksum": "sha256",
            "compress": "zstd",
            "copies": 2,
            "hdsize": 100,
        },
        "disk-list": ["sda", "sdb", "sdc"],
    },
    "all of btrfs": {
        "filesystem": {
            "filesystem": "btrfs",
            "raid": "RAID10",
            "compress": "zlib",
            "hdsize": 64,
        },
        "disk-list": ["sda", "sdb", "sdc", "sdd"],
    },
    "hook": {"post-hook-base-url": f"{BASE}/", "post-hook-cert-fp": FINGERPRINT},
    "first boot by URL": {
        "first-boot": {
            "source": "from-url",
            "url": "https://ps.example.com/first.sh",
            "ordering": "network-online",
            "cert-fingerprint": FINGERPRINT,
        }
    },
    "first boot from the image": {"first-boot": {"source": "from-iso"}},
    "letters of the world": {
        "target-filter": {"/dmi/system/name": "*"},
        "fqdn": "pve1.example.com",
    },
}
# What an installer needs that takes no hash.
KEEPING: dict[str, Any] = {"root-password": ROOT_PASSWORD, "keep-root-password": True}
# The product and the release of its image -> the release of Proxmox VE with the same installer.
RELEASES: dict[tuple[str, str], Version] = {
    ("pve", "8.2"): (8, 2),
    ("pve", "8.3"): (8, 3),
    ("pve", "8.4"): (8, 4),
    ("pve", "9.0"): (9, 0),
    ("pve", "9.1"): (9, 1),
    ("pve", "9.2"): (9, 2),
    ("pbs", "3.3"): (8, 3),
    ("pbs", "3.4"): (8, 4),
    ("pbs", "4.0"): (9, 0),
    ("pbs", "4.1"): (9, 1),
    ("pbs", "4.2"): (9, 2),
    ("pmg", "8.2"): (8, 3),
    ("pmg", "9.0"): (9, 0),
    ("pdm", "1.0"): (9, 1),
    ("pdm", "1.1"): (9, 2),
}


def toml_of(credential: str, product: str = "pve", release: str = "9.1", **more: Any) -> Any:
    return ask(credential, system_info(product=product, release=release), accept="*/*", **more)


# --- Which of them -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (TAKES_JSON, "application/json; charset=utf-8"),
        ("application/json", "application/json; charset=utf-8"),
        ("application/toml;q=0.5,application/json", "application/json; charset=utf-8"),
        ("*/*", "application/toml"),
        ("", "application/toml"),
        (None, "application/toml"),
        ("application/toml", "application/toml"),
        ("text/html", "application/toml"),
    ],
)
def test_who_names_json_gets_json_and_everybody_else_toml(
    accept: str | None, content_type: str, token: Token
) -> None:
    make_config(authorized_tokens=["rack-7"])

    answer = ask(token[1], accept=accept)

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, content_type)
    assert newest().answer_format == ("json" if "json" in content_type else "toml")


@pytest.mark.parametrize("accept", [TAKES_JSON, "*/*"])
def test_the_row_keeps_a_digest_of_the_very_bytes(accept: str, token: Token) -> None:
    make_config(authorized_tokens=["rack-7"])

    answer = ask(token[1], accept=accept)

    assert newest().answer_digest == hashlib.sha256(answer.content).hexdigest()


def test_json_and_toml_say_the_same_to_an_installer_that_knows_all(token: Token) -> None:
    make_config(authorized_tokens=["rack-7"], **CONFIGS["static network with mapped names"])

    as_json, as_toml = (ask(token[1], accept=accept) for accept in (TAKES_JSON, "*/*"))

    assert as_json.json() == tomllib.loads(as_toml.content.decode())


# --- Accepted by a strict parser ---------------------------------------------------------------


@pytest.mark.parametrize("case", CONFIGS)
def test_every_answer_in_json_is_accepted_by_a_strict_parser(case: str, token: Token) -> None:
    make_config(authorized_tokens=["rack-7"], **CONFIGS[case])

    answer = ask(token[1], CAPTURED)

    assert answer.status_code == 200, answer.content
    assert strict.parse_json(answer.content)["global"]["root-password-hashed"] == password_hash()
    assert newest().omitted == []


@pytest.mark.parametrize(("product", "release"), RELEASES)
@pytest.mark.parametrize("case", CONFIGS)
def test_every_answer_in_toml_is_accepted_by_the_installer_that_asks(
    case: str, product: str, release: str, token: Token
) -> None:
    installer = RELEASES[product, release]
    kept = KEEPING if installer < (8, 3) else {}
    make_config(authorized_tokens=["rack-7"], **CONFIGS[case], **kept)

    answer = toml_of(token[1], product, release)

    if installer < (9, 0) and "DHCP" in case:
        assert "cannot take its name from DHCP" in sentence_of(answer, 400)
    else:
        assert answer.status_code == 200, answer.content
        strict.parse_toml(answer.content, installer)


def test_the_captured_request_gets_the_whole_answer(token: Token) -> None:
    make_config(
        authorized_tokens=["rack-7"],
        fqdn="pve{{ installation_nr }}.lab.example.org",
        template_counters={"installation_nr": 7},
        **STATIC,
        **CONFIGS["hook"],
    )

    answer = strict.parse_json(ask(token[1], CAPTURED).content)

    row = newest()
    secret = answer["post-installation-webhook"].pop("auth-token")
    assert len(secret) == 32 and set(secret) <= set("0123456789abcdef")
    assert answer == {
        "global": {
            "country": "at",
            "fqdn": "pve7.lab.example.org",
            "keyboard": "de",
            "mailto": "ops@example.com",
            "timezone": "Europe/Vienna",
            "root-password-hashed": password_hash(),
            "reboot-on-error": False,
            "reboot-mode": "reboot",
            "root-ssh-keys": [],
        },
        "network": {
            "source": "from-answer",
            "cidr": "10.7.0.10/24",
            "dns": "10.7.0.1",
            "gateway": "10.7.0.1",
            "filter": {"ID_NET_NAME": "eno1*"},
        },
        "disk-setup": {
            "filesystem": "zfs",
            "disk-list": ["sda", "sdb"],
            "filter": {},
            "zfs": {"raid": "RAID1"},
        },
        "post-installation-webhook": {
            "url": f"{BASE}/api2/json/auto-install/installations/{row.pk}/post-hook",
            "cert-fingerprint": FINGERPRINT,
        },
    }
    assert (row.status, row.counters) == ("in-progress", {"installation_nr": 7})


# --- The secret of the hook --------------------------------------------------------------------


def test_in_toml_the_secret_of_the_hook_is_in_its_url(token: Token) -> None:
    make_config(authorized_tokens=["rack-7"], **CONFIGS["hook"])

    hook = tomllib.loads(toml_of(token[1]).content.decode())["post-installation-webhook"]

    url, _, secret = hook["url"].partition("?token=")
    assert url == f"{BASE}/api2/json/auto-install/installations/{newest().pk}/post-hook"
    assert len(secret) == 32
    assert hook.keys() == {"url", "cert-fingerprint"}


def test_every_answer_has_another_secret(token: Token) -> None:
    make_config(authorized_tokens=["rack-7"], **CONFIGS["hook"])

    hooks = [ask(token[1]).json()["post-installation-webhook"] for _ in range(3)]

    assert len({hook["auth-token"] for hook in hooks}) == 3
    assert len({hook["url"] for hook in hooks}) == 3


def test_without_a_hook_nothing_is_awaited(token: Token) -> None:
    make_config(authorized_tokens=["rack-7"])

    assert "post-installation-webhook" not in ask(token[1]).json()
    assert (newest().status, newest().hook_digest, newest().deadline_at) == (
        "answer-sent",
        "",
        None,
    )


# --- What older installers do not know ---------------------------------------------------------

EVERYTHING = {
    **CONFIGS["all of global"],
    **CONFIGS["mapped names"],
    **CONFIGS["hook"],
    **CONFIGS["first boot by URL"],
    **CONFIGS["all of zfs"],
}


@pytest.mark.parametrize(
    ("release", "omitted"),
    [
        (
            "8.3",
            ["global.reboot-mode", "global.subscription-key", "network.interface-name-pinning"],
        ),
        (
            "8.4",
            ["global.reboot-mode", "global.subscription-key", "network.interface-name-pinning"],
        ),
        ("9.0", ["global.subscription-key", "network.interface-name-pinning"]),
        ("9.1", ["global.subscription-key"]),
        # They name JSON; what does not is taken for an older one, whatever it says of itself.
        ("9.2", ["global.subscription-key"]),
        ("9.10", ["global.subscription-key"]),
        ("10.0", ["global.subscription-key"]),
    ],
)
def test_what_was_left_out_for_an_older_installer_is_recorded(
    release: str, omitted: list[str], token: Token
) -> None:
    make_config(authorized_tokens=["rack-7"], **EVERYTHING)

    answer = tomllib.loads(toml_of(token[1], release=release).content.decode())

    assert newest().omitted == omitted
    for path in omitted:
        section, key = path.split(".")
        assert not {key, key.replace("-", "_")} & answer[section].keys()


def test_a_default_that_an_older_installer_does_anyway_is_no_omission(token: Token) -> None:
    make_config(authorized_tokens=["rack-7"])

    answer = toml_of(token[1], release="8.4")

    assert newest().omitted == []
    assert "reboot-mode" not in answer.content.decode()


def test_before_8_4_keys_are_spelled_with_underscores_and_sections_are_not(token: Token) -> None:
    make_config(authorized_tokens=["rack-7"], **EVERYTHING)

    answer = tomllib.loads(toml_of(token[1], release="8.3").content.decode())

    assert answer.keys() == {
        "global",
        "network",
        "disk-setup",
        "post-installation-webhook",
        "first-boot",
    }
    keys = {key for table in answer.values() for key in table} | answer["disk-setup"]["zfs"].keys()
    assert not any("-" in key for key in keys)
    assert {"root_password_hashed", "disk_list", "cert_fingerprint", "arc_max"} <= keys


def test_from_8_4_on_keys_are_spelled_with_dashes(token: Token) -> None:
    make_config(authorized_tokens=["rack-7"], **EVERYTHING)

    answer = tomllib.loads(toml_of(token[1], release="8.4").content.decode())

    assert not any("_" in key for table in answer.values() for key in table)


def test_patterns_keep_their_keys_before_8_4(token: Token) -> None:
    make_config(authorized_tokens=["rack-7"], **STATIC, **CONFIGS["xfs by filter"])

    answer = tomllib.loads(toml_of(token[1], release="8.3").content.decode())

    assert answer["network"]["filter"] == {"ID_NET_NAME": "eno1*"}
    assert answer["disk-setup"]["filter"] == {"ID_MODEL": "NORTHWIND*", "ID_BUS": "ata"}


@pytest.mark.parametrize(
    ("product", "release"),
    [
        ("pve", "8.2"),
        ("pve", "8.1"),
        ("pve", "7.4"),
        ("pve", "unheard-of"),
        ("pve", ""),
        ("pbs", "3.2"),
        ("pbs", "2.4"),
        ("pmg", "8.1"),
        ("pdm", "0.8"),
    ],
)
def test_an_installer_that_takes_no_hash_is_told_what_helps(
    product: str, release: str, token: Token
) -> None:
    make_config(
        authorized_tokens=["rack-7"],
        fqdn="pve{{ nr }}.example.com",
        template_counters={"nr": 4},
        **CONFIGS["hook"],
    )

    with one_attempt(
        "answer.failed",
        outcome="render-failed",
        status="",
        counters={},
        hook_digest="",
        deadline_at=None,
        answer_digest="",
        answer_format="",
        product=product,
    ):
        sentence = sentence_of(toml_of(token[1], product, release), 400)

    assert "takes no hashed root password" in sentence
    assert "8.3 or newer" in sentence and "keep-root-password" in sentence
    assert TemplateCounter.objects.get().value == 4


def test_an_old_installer_without_schema_is_read(token: Token) -> None:
    make_config(authorized_tokens=["rack-7"])
    info = system_info(release="8.2", macs=("a0:36:9f:10:20:01",))
    del info["$schema"]

    assert "no hashed root password" in sentence_of(ask(token[1], info, accept="*/*"), 400)


@pytest.mark.parametrize(("product", "release"), [("pve", "8.2"), ("pbs", "3.2"), ("pmg", "8.1")])
def test_an_installer_that_takes_no_hash_gets_the_password_that_its_config_keeps(
    product: str, release: str, token: Token
) -> None:
    filesystem = {"filesystem": "btrfs", "raid": "RAID1", "compress": "zstd"}
    make_config(authorized_tokens=["rack-7"], **{**EVERYTHING, **KEEPING, "filesystem": filesystem})

    with one_attempt(
        "answer.issued",
        status="answer-sent",  # it would not report: nothing is awaited
        hook_digest="",
        deadline_at=None,
        omitted=[
            "first-boot",
            "post-installation-webhook",
            "disk-setup.btrfs.compress",
            "global.reboot-mode",
            "global.subscription-key",
            "network.interface-name-pinning",
        ],
    ):
        answer = toml_of(token[1], product, release)

    assert answer.status_code == 200, answer.content
    table = strict.parse_toml(answer.content, (8, 2))
    assert table["global"]["root-password"] == ROOT_PASSWORD
    assert "root-password-hashed" not in table["global"]


@pytest.mark.parametrize("release", ["8.3", "9.1", "9.2"])
def test_the_kept_password_goes_to_nobody_who_takes_a_hash(release: str, token: Token) -> None:
    make_config(authorized_tokens=["rack-7"], **KEEPING)

    toml = toml_of(token[1], release=release)
    json_ = ask(token[1], system_info(release=release))

    for answer in (toml, json_):
        assert answer.status_code == 200, answer.content
        assert ROOT_PASSWORD.encode() not in answer.content


def test_a_password_kept_under_another_key_is_not_served(token: Token, settings: Any) -> None:
    right = settings.MACHINE_SECRETS_KEY
    settings.MACHINE_SECRETS_KEY = "another-key-" * 5
    make_config(authorized_tokens=["rack-7"], **KEEPING)
    settings.MACHINE_SECRETS_KEY = right

    sentence = sentence_of(toml_of(token[1], release="8.2"), 400)

    assert "cannot be read with this server's auto_install.secrets_key" in sentence


def test_an_answer_that_cannot_be_served_uses_nothing_up(token: Token) -> None:
    make_config(authorized_tokens=["rack-7"])

    toml_of(token[1], release="8.2")

    assert AnswerToken.objects.get(name="rack-7").uses == 0
    assert AuditEvent.objects.latest("id").outcome == "failed"
    assert Attempt.installations.count() == 0


# --- The strict parser itself ------------------------------------------------------------------

GOOD: dict[str, Any] = {
    "global": {
        "country": "at",
        "fqdn": "pve1.example.com",
        "keyboard": "de",
        "mailto": "ops@example.com",
        "timezone": "Europe/Vienna",
        "root-password-hashed": "$6$abc$def",
    },
    "network": {"source": "from-dhcp"},
    "disk-setup": {"filesystem": "ext4", "disk-list": ["sda"]},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(json.dumps(GOOD))
    section, _, key = path.partition(".")
    if key:
        answer[section][key] = value
    else:
        answer[section] = value
    return answer


def test_the_strict_parser_accepts_what_the_installer_does() -> None:
    assert strict.parse_json(json.dumps(GOOD).encode())["global"] == GOOD["global"]
    assert strict.parse_json(json.dumps(changed("global.subscription_key", None)).encode())


@pytest.mark.parametrize(
    "answer",
    [
        {"data": GOOD},
        changed("extra", {}),
        changed("global.extra", 1),
        changed("global.root-ssh-keys", None),
        changed("global.fqdn", "pve1"),
        changed("global.fqdn", "1.example.com"),
        changed("global.country", "xx"),
        changed("global.timezone", "Etc/UTC"),
        changed("global.mailto", "mail@example.invalid"),
        changed("global.root-password", "long-enough"),
        changed("global.root_password_hashed", "$6$abc$def"),
        changed("global.reboot-on-error", 1),
        changed("network", {}),
        changed("network.cidr", "10.0.0.1/24"),
        changed("network", {**GOOD["network"], "source": "from-answer"}),
        changed("disk-setup.disk-list", []),
        changed("disk-setup.disk-list", ["sda", "sdb"]),
        changed("disk-setup.filter", {"ID_MODEL": "*"}),
        changed("disk-setup.zfs", {"raid": "RAID0"}),
        changed("disk-setup.filesystem", "zfs"),
        changed("first-boot", {"source": "from-url"}),
        changed("post-installation-webhook", {"auth-token": "x"}),
    ],
)
def test_the_strict_parser_refuses_what_the_installer_does(answer: dict[str, Any]) -> None:
    with pytest.raises(strict.Refused):
        strict.parse_json(json.dumps(answer).encode())


@pytest.mark.parametrize("installer", [(8, 3), (8, 2)])
def test_the_strict_parser_knows_how_older_installers_spell(installer: Version) -> None:
    body = "\n".join(
        [
            "[global]",
            *(f'{key} = "{value}"' for key, value in GOOD["global"].items()),
            '[network]\nsource = "from-dhcp"',
            '[disk-setup]\nfilesystem = "ext4"\ndisk_list = ["sda"]',
        ]
    ).encode()

    with pytest.raises(strict.Refused):
        strict.parse_toml(body, installer)
    if installer == (8, 3):
        assert strict.parse_toml(
            body.replace(b"root-password-hashed", b"root_password_hashed"), installer
        )
