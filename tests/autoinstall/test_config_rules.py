"""What a prepared config may hold: every field, and every rule by which one is refused."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from autoinstall.models import (
    PreparedConfig,
)
from tests.answers import assert_error, nothing_changes
from tests.autoinstall.factories import (
    STATIC,
    ask,
    config_body,
    make_config,
)
from tests.autoinstall.prepared import FINGERPRINT, PREPARED, RACK, Api, Made, patch, post


@pytest.fixture
def client(operator: User, api: Api) -> APIClient:
    return api(operator)


@pytest.fixture
def rack(token: Made) -> PreparedConfig:
    """The config `rack` for the token `rack-7`."""
    return make_config(id="rack", authorized_tokens=["rack-7"]).config


# field -> values that are accepted; with what else the body needs for them
PLAIN: list[tuple[str, Any, dict[str, Any]]] = [
    ("country", "is", {}),
    ("fqdn", "a.b", {}),
    ("fqdn", "{{ dmi.system.serial | lower }}.example.com", {}),
    ("use-dhcp-fqdn", True, {}),
    ("keyboard", "pt-br", {}),
    ("keyboard", "en-us", {}),
    ("mailto", "a@b", {}),
    ("mailto", "{{ product.product }}@example.com", {}),
    ("timezone", "UTC", {}),
    ("timezone", "America/Argentina/Buenos_Aires", {}),
    ("reboot-on-error", True, {}),
    ("reboot-mode", "power-off", {}),
    ("root-ssh-keys", ["ssh-ed25519 AAAAC3Nza ops@example.com", "ssh-rsa AAAAB3 b"], {}),
    ("cidr", "10.0.0.{{ n + 10 }}/24", {**STATIC, "template-counters": {"n": 0}}),
    ("cidr", "2001:db8::2/64", STATIC),
    ("gateway", "2001:db8::1", STATIC),
    ("dns", "{% if product.product == 'pve' %}10.0.0.1{% else %}10.0.0.2{% endif %}", STATIC),
    ("use-dhcp-network", False, STATIC),
    ("netdev-filter", {"ID_NET_NAME": "eno[12]*", "ID_NET_NAME_MAC": "*01"}, STATIC),
    ("netif-name-pinning-enabled", True, {}),
    ("filesystem", {"filesystem": "ext4"}, {"disk-list": ["sda"]}),
    (
        "filesystem",
        {
            "filesystem": "xfs",
            "hdsize": 80.5,
            "swapsize": 8.0,
            "maxroot": 20.0,
            "maxvz": 0.0,
            "minfree": 4.0,
        },
        {"disk-list": ["sda"]},
    ),
    (
        "filesystem",
        {
            "filesystem": "zfs",
            "raid": "RAIDZ-1",
            "ashift": 12,
            "arc-max": 2048,
            "checksum": "sha256",
            "compress": "zstd",
            "copies": 2,
            "hdsize": 80.0,
        },
        {"disk-list": ["sda", "sdb", "sdc"]},
    ),
    (
        "filesystem",
        {"filesystem": "btrfs", "raid": "RAID0", "compress": "lzo", "hdsize": 2.0},
        {"disk-list": ["nvme0n1"]},
    ),
    ("disk-list", ["nvme0n1", "nvme1n1"], {}),
    ("disk-list", ["vda", "xvdb"], {}),
    ("disk-filter", {"ID_SERIAL": "*SSD*"}, {"disk-mode": "filter", "disk-list": None}),
    (
        "disk-filter-match",
        "all",
        {"disk-mode": "filter", "disk-list": None, "disk-filter": {"ID_MODEL": "X*"}},
    ),
    ("post-hook-base-url", "https://provisioning.example.com:8083/x", {}),
    ("post-hook-base-url", "http://[2001:db8::1]:8083", {}),
    ("post-hook-cert-fp", FINGERPRINT, {"post-hook-base-url": "https://p.example.com"}),
    ("template-counters", {"n": 0, "rack_no": 2**31 - 1}, {}),
    ("subscription-key", "pve1c-0123456789", {}),
    ("subscription-key", "pbsb-0123456789", {}),
    ("target-filter", {"/dmi/system/serial": "SN-*", "/iso/release": "9.?"}, {}),
    ("is-default", True, {"target-filter": None}),
    # --- beyond those of Datacenter Manager ---
    ("priority", -5, {}),
    ("priority", 1_000_000, {}),
    ("dhcp-fqdn-domain", "example.com", {"use-dhcp-fqdn": True}),
    (
        "netif-name-mapping",
        {"a0:36:9f:10:20:01": "lan0", "a0:36:9f:10:20:02": "lan1"},
        {"netif-name-pinning-enabled": True},
    ),
    ("first-boot", {"source": "from-iso"}, {}),
    (
        "first-boot",
        {
            "source": "from-url",
            "ordering": "network-online",
            "url": "https://example.com/first-boot.sh",
            "cert-fingerprint": FINGERPRINT,
        },
        {},
    ),
    ("template-variables", {"site": "vie1", "Room": ""}, {}),
    ("sticky-counters", False, {}),
    ("post-hook-deadline-minutes", 1, {}),
    ("post-hook-deadline-minutes", 43200, {}),
]


@pytest.mark.parametrize(("field", "value", "more"), PLAIN)
def test_a_field_is_stored_and_answered_as_given(
    field: str, value: Any, more: dict[str, Any], client: APIClient, token: Made
) -> None:
    wire = {"id": "rack", "authorized-tokens": ["rack-7"], **more, field: value}

    answer = post(client, **wire)

    assert answer.status_code == 201, answer.content
    assert answer.json()["config"][field] == value
    assert client.get(RACK).json() == answer.json()["config"]


@pytest.mark.parametrize("field", sorted({field for field, _, _ in PLAIN}))
def test_every_field_can_be_changed(field: str, client: APIClient, rack: PreparedConfig) -> None:
    value, more = next((value, more) for name, value, more in PLAIN if name == field)
    wire = {key: one for key, one in more.items() if one is not None}
    unset = [key for key, one in more.items() if one is None]

    answer = patch(client, **{**wire, field: value}, delete=unset)

    assert answer.status_code == 200, answer.content
    assert client.get(RACK).json()[field] == value


@pytest.mark.parametrize(
    "field",
    [
        *("root-ssh-keys", "cidr", "gateway", "dns", "netdev-filter", "disk-filter"),
        *("disk-filter-match", "post-hook-base-url", "post-hook-cert-fp", "template-counters"),
        *("subscription-key", "priority", "dhcp-fqdn-domain", "netif-name-mapping", "first-boot"),
        *("template-variables", "sticky-counters", "post-hook-deadline-minutes"),
        *("root-password", "root-password-hashed"),
    ],
)
def test_a_field_that_is_unset_is_not_answered(
    field: str, client: APIClient, rack: PreparedConfig
) -> None:
    assert field not in client.get(RACK).json()


def test_empty_lists_and_maps_are_not_answered(client: APIClient, token: Made) -> None:
    empty: dict[str, Any] = {
        "root-ssh-keys": [],
        "netdev-filter": {},
        "disk-filter": {},
        "template-counters": {},
        "template-variables": {},
    }

    config = post(client, authorized_tokens=["rack-7"], **empty).json()["config"]

    assert not set(config) & set(empty)


# --- Rules of single fields --------------------------------------------------------------------

STATIC_WITH = {key: {**STATIC, key: None} for key in STATIC}
# what breaks a rule -> the field that is named, and words of the sentence: value and rule
BROKEN: list[tuple[dict[str, Any], str, str]] = [
    ({"id": "ab"}, "id", "at least 3 characters"),
    ({"id": "x" * 65}, "id", "at most 64 characters"),
    ({"id": "a\tbc"}, "id", "control characters"),
    ({"id": 5}, "id", "must be a string"),
    ({"authorized-tokens": ["a b"]}, "authorized-tokens.0", "'a b' must"),
    ({"authorized-tokens": "rack-7"}, "authorized-tokens", "must be a list"),
    ({"authorized-tokens": ["rack-7", "nobody"]}, "authorized-tokens", "'nobody'"),
    ({"is-default": "yes"}, "is-default", "true or false"),
    ({"is-default": 1}, "is-default", "true or false"),
    ({"target-filter": {}}, "target-filter", "at least one filter"),
    ({"target-filter": ["/dmi"]}, "target-filter", "must be an object"),
    ({"target-filter": {"/dmi/system/serial": 5}}, "target-filter./dmi/system/serial", "a string"),
    ({"target-filter": {"dmi/system/serial": "x"}}, "target-filter", "'dmi/system/serial'"),
    ({"target-filter": {"/dmi/system/serial": "[a"}}, "target-filter", "'/dmi/system/serial'"),
    ({"target-filter": {"/dmi/system/serial": "a**"}}, "target-filter", "'/dmi/system/serial'"),
    ({"country": "AT"}, "country", "'AT' must be two lower-case letters"),
    ({"country": "aut"}, "country", "'aut'"),
    ({"country": "xx"}, "country", "global.country: 'xx'"),
    ({"keyboard": "de-at"}, "keyboard", "'de-at'"),
    ({"keyboard": 5}, "keyboard", "must be a string"),
    ({"mailto": "x"}, "mailto", "at least 2 characters"),
    ({"mailto": "x" * 65}, "mailto", "at most 64 characters"),
    ({"mailto": "nobody"}, "mailto", "global.mailto: 'nobody'"),
    ({"mailto": "a b@example.com"}, "mailto", "'a b@example.com'"),
    ({"mailto": "a@-b"}, "mailto", "'a@-b'"),
    ({"mailto": "mail@example.invalid"}, "mailto", "mail@example.invalid"),
    ({"timezone": "Etc/UTC"}, "timezone", "global.timezone: 'Etc/UTC'"),
    ({"timezone": "europe/vienna"}, "timezone", "'europe/vienna'"),
    ({"timezone": "Mars/Olympus"}, "timezone", "'Mars/Olympus'"),
    ({"timezone": ""}, "timezone", "global.timezone"),
    ({"fqdn": ""}, "fqdn", "global.fqdn"),
    ({"fqdn": "pve"}, "fqdn", "'pve' has no domain"),
    ({"fqdn": "1.example.com"}, "fqdn", "only digits"),
    ({"fqdn": "pve.example.com."}, "fqdn", "pve.example.com."),
    ({"fqdn": "-pve.example.com"}, "fqdn", "-pve"),
    ({"fqdn": "p_ve.example.com"}, "fqdn", "p_ve"),
    ({"fqdn": "a" * 64 + ".example.com"}, "fqdn", "global.fqdn"),
    ({"fqdn": ".".join(["a" * 62] * 5)}, "fqdn", "253"),
    ({"fqdn": "x" * 4097}, "fqdn", "at most 4096 characters"),
    ({"fqdn": "a\nb.example.com"}, "fqdn", "control characters"),
    ({"reboot-mode": "halt"}, "reboot-mode", "must be one of"),
    ({"reboot-on-error": "on"}, "reboot-on-error", "true or false"),
    ({"root-ssh-keys": "ssh-ed25519 AAAA"}, "root-ssh-keys", "must be a list"),
    ({"root-ssh-keys": ["a\nb"]}, "root-ssh-keys.0", "control characters"),
    (STATIC_WITH["cidr"], "cidr", "network.cidr"),
    (STATIC_WITH["gateway"], "gateway", "network.gateway"),
    (STATIC_WITH["dns"], "dns", "network.dns"),
    (STATIC_WITH["netdev-filter"], "netdev-filter", "network.filter"),
    ({**STATIC, "cidr": "10.7.0.10"}, "cidr", "'10.7.0.10'"),
    ({**STATIC, "cidr": "10.7.0.10/33"}, "cidr", "'10.7.0.10/33'"),
    ({**STATIC, "gateway": "gw.example.com"}, "gateway", "'gw.example.com'"),
    ({**STATIC, "dns": "10.7.0.1,10.7.0.2"}, "dns", "'10.7.0.1,10.7.0.2'"),
    ({**STATIC, "netdev-filter": {"id_net": "x"}}, "netdev-filter.id_net", "upper-case"),
    ({**STATIC, "netdev-filter": {"ID_NET_NAME": "[x"}}, "netdev-filter", "network.filter"),
    ({"netdev-filter": {"ID9": "x"}}, "netdev-filter.ID9", "upper-case"),
    ({"filesystem": "zfs"}, "filesystem", "must be"),
    ({"filesystem": {"raid": "RAID1"}}, "filesystem", "needs the key 'filesystem'"),
    ({"filesystem": {"filesystem": "ntfs"}}, "filesystem", "'ext4', 'xfs', 'zfs', 'btrfs'"),
    ({"filesystem": {"filesystem": "zfs", "raid": "RAID5"}}, "filesystem.raid", "one of"),
    ({"filesystem": {"filesystem": "zfs", "raid": "raid1"}}, "filesystem.raid", "one of"),
    ({"filesystem": {"filesystem": "zfs"}}, "filesystem.raid", "disk-setup.zfs.raid: is missing"),
    (
        {"filesystem": {"filesystem": "btrfs"}, "disk-list": ["sda"]},
        "filesystem.raid",
        "btrfs.raid",
    ),
    (
        {"filesystem": {"filesystem": "zfs", "raid": "RAID1", "maxroot": 8}},
        "filesystem",
        "no field",
    ),
    ({"filesystem": {"filesystem": "ext4", "raid": "RAID1"}}, "filesystem", "no field"),
    ({"filesystem": {"filesystem": "zfs", "raid": "RAID1", "ashift": 8}}, "filesystem", "least 9"),
    ({"filesystem": {"filesystem": "zfs", "raid": "RAID1", "ashift": 17}}, "filesystem", "most 16"),
    ({"filesystem": {"filesystem": "zfs", "raid": "RAID1", "ashift": 9.5}}, "filesystem", "whole"),
    (
        {"filesystem": {"filesystem": "zfs", "raid": "RAID1", "arc-max": 63}},
        "filesystem",
        "least 64",
    ),
    ({"filesystem": {"filesystem": "zfs", "raid": "RAID1", "copies": 4}}, "filesystem", "most 3"),
    (
        {"filesystem": {"filesystem": "zfs", "raid": "RAID1", "hdsize": 1.9}},
        "filesystem",
        "least 2",
    ),
    (
        {"filesystem": {"filesystem": "zfs", "raid": "RAID1", "compress": "lzo"}},
        "filesystem",
        "one of",
    ),
    (
        {"filesystem": {"filesystem": "ext4", "swapsize": -1}, "disk-list": ["sda"]},
        "filesystem",
        "least 0",
    ),
    (
        {
            "filesystem": {"filesystem": "ext4", "swapsize": 11, "hdsize": 20},
            "disk-list": ["sda"],
        },
        "filesystem.swapsize",
        "11.0 GiB is more than half of hdsize (20.0 GiB)",
    ),
    ({"filesystem": {"filesystem": "ext4"}}, "disk-list", "takes exactly one"),
    ({"filesystem": {"filesystem": "xfs"}}, "disk-list", "takes exactly one"),
    ({"disk-list": ["sda"]}, "disk-list", "zfs RAID1 needs at least 2 disks"),
    *(
        (
            {
                "filesystem": {"filesystem": "zfs", "raid": raid},
                "disk-list": [f"sd{letter}" for letter in "abcdefg"[: fewest - 1]],
            },
            "disk-list",
            f"zfs {raid} needs at least {fewest} disks",
        )
        for raid, fewest in (("RAID10", 4), ("RAIDZ-1", 3), ("RAIDZ-2", 4), ("RAIDZ-3", 5))
    ),
    (
        {
            "filesystem": {"filesystem": "zfs", "raid": "RAID10"},
            "disk-list": ["sda", "sdb", "sdc", "sdd", "sde"],
        },
        "disk-list",
        "even number",
    ),
    (
        {"filesystem": {"filesystem": "btrfs", "raid": "RAID1"}, "disk-list": ["sda"]},
        "disk-list",
        "2",
    ),
    ({"disk-list": ["sda", "sda"]}, "disk-list", "'sda' is there twice"),
    ({"disk-list": []}, "disk-mode", "names no disk"),
    ({"disk-mode": "filter", "disk-list": None}, "disk-mode", "names no disk"),
    ({"disk-list": ["mmcblk0", "sda"]}, "disk-list.0", "'mmcblk0'"),
    ({"disk-list": ["/dev/sda", "sdb"]}, "disk-list.0", "'/dev/sda'"),
    ({"disk-list": ["sd", "sdb"]}, "disk-list.0", "at least 3"),
    ({"disk-mode": "all"}, "disk-mode", "one of"),
    ({"disk-filter-match": "none"}, "disk-filter-match", "one of"),
    (
        {"disk-mode": "filter", "disk-filter": {"ID_MODEL": "[x"}},
        "disk-filter",
        "disk-setup.filter",
    ),
    ({"disk-filter": {"id_model": "x"}}, "disk-filter.id_model", "upper-case"),
    ({"post-hook-base-url": "ftp://example.com"}, "post-hook-base-url", "must be an http(s) URL"),
    ({"post-hook-base-url": "example.com"}, "post-hook-base-url", "'example.com'"),
    ({"post-hook-base-url": "https://a b"}, "post-hook-base-url", "'https://a b'"),
    ({"post-hook-cert-fp": "AB:CD"}, "post-hook-cert-fp", "32 pairs"),
    ({"template-counters": {"n": -1}}, "template-counters.n", "at least 0"),
    ({"template-counters": {"n": 2**31}}, "template-counters.n", "at most 2147483647"),
    ({"template-counters": {"n": "1"}}, "template-counters.n", "whole number"),
    ({"template-counters": {"n": True}}, "template-counters.n", "whole number"),
    ({"template-counters": {"9n": 1}}, "template-counters.9n", "letters, digits"),
    ({"template-counters": {"a-b": 1}}, "template-counters.a-b", "'a-b'"),
    ({"subscription-key": "pdm1c-0123456789"}, "subscription-key", "must be a subscription key"),
    ({"subscription-key": "pve1c-012345678G"}, "subscription-key", "must be a subscription key"),
    # --- beyond those of Datacenter Manager ---
    ({"priority": 1_000_001}, "priority", "at most"),
    ({"priority": 0.5}, "priority", "whole number"),
    ({"dhcp-fqdn-domain": "example.com"}, "dhcp-fqdn-domain", "needs use-dhcp-fqdn"),
    ({"use-dhcp-fqdn": True, "dhcp-fqdn-domain": "-x"}, "dhcp-fqdn-domain", "-x"),
    (
        {"netif-name-mapping": {"a0:36:9f:10:20:01": "lan0"}},
        "netif-name-mapping",
        "needs netif-name-pinning-enabled",
    ),
    ({"fqdn": "{{ product|nofilter }}.x.org"}, "fqdn", "the filter 'nofilter'"),
    ({"fqdn": "{% filter nofilter %}a{% endfilter %}.x.org"}, "fqdn", "the filter 'nofilter'"),
    ({"fqdn": "{{ 'a' if product is notest }}.x.org"}, "fqdn", "the test 'notest'"),
    ({"fqdn": "{{ 'a' if product is not notest }}.x.org"}, "fqdn", "the test 'notest'"),
    ({"fqdn": '{% include "x" %}.x.org'}, "fqdn", "another template"),
    ({"post-hook-base-url": "http://a:99999"}, "post-hook-base-url", "must be an http(s) URL"),
    ({"post-hook-base-url": "http://cafe:70000"}, "post-hook-base-url", "must be an http(s) URL"),
    ({"post-hook-base-url": "http://dead:beef"}, "post-hook-base-url", "must be an http(s) URL"),
    (
        {"netif-name-pinning-enabled": True, "netif-name-mapping": {"a0:36": "lan0"}},
        "netif-name-mapping",
        "'a0:36' is no MAC address",
    ),
    (
        {"netif-name-pinning-enabled": True, "netif-name-mapping": {"a0:36:9f:10:20:01": "0x"}},
        "netif-name-mapping",
        "0x",
    ),
    (
        {
            "netif-name-pinning-enabled": True,
            "netif-name-mapping": {"a0:36:9f:10:20:01": "lan0", "a0:36:9f:10:20:02": "lan0"},
        },
        "netif-name-mapping",
        "'lan0' is the name of two interfaces",
    ),
    (
        {
            "netif-name-pinning-enabled": True,
            "netif-name-mapping": {"a0:36:9f:10:20:01": "lan0", "A0:36:9F:10:20:01": "lan1"},
        },
        "netif-name-mapping",
        "is there twice",
    ),
    ({"first-boot": {}}, "first-boot.source", "is missing"),
    ({"first-boot": {"source": "from-url"}}, "first-boot.url", "is missing"),
    ({"first-boot": {"source": "from-disk"}}, "first-boot.source", "one of"),
    ({"first-boot": {"source": "from-iso", "x": 1}}, "first-boot.x", "no field"),
    (
        {"first-boot": {"source": "from-iso", "ordering": "late"}},
        "first-boot.ordering",
        "one of",
    ),
    ({"template-variables": {"a-b": "x"}}, "template-variables.a-b", "'a-b'"),
    ({"template-variables": {"n": 5}}, "template-variables.n", "must be a string"),
    ({"template-variables": {"dmi": "x"}}, "template-variables", "'dmi' is a name of the system"),
    (
        {"template-variables": {"n": "x"}, "template-counters": {"n": 1}},
        "template-variables",
        "'n' is a counter of this config",
    ),
    ({"sticky-counters": "no"}, "sticky-counters", "true or false"),
    ({"post-hook-deadline-minutes": 0}, "post-hook-deadline-minutes", "at least 1"),
    ({"post-hook-deadline-minutes": 43201}, "post-hook-deadline-minutes", "at most 43200"),
    ({"colour": "blue"}, "colour", "is no field of this request"),
    ({"use-dhcp": True}, "use-dhcp", "is no field of this request"),
    # --- templates ---
    ({"fqdn": "{{ n }.example.com"}, "fqdn", "does not compile"),
    ({"fqdn": "{% if %}.example.com"}, "fqdn", "does not compile"),
    ({"fqdn": "{{ nobody }}.example.com"}, "fqdn", "'nobody'"),
    ({"fqdn": "{{ dmi.cpu.model }}.example.com"}, "fqdn", "dmi.cpu"),
    ({"fqdn": "{{ product.name }}.example.com"}, "fqdn", "product.name"),
    ({"mailto": "{{ site }}@example.com"}, "mailto", "'site'"),
    ({**STATIC, "cidr": "10.0.0.{{ nr }}/24"}, "cidr", "'nr'"),
    ({**STATIC, "gateway": "{{ net }}.1"}, "gateway", "'net'"),
    ({**STATIC, "dns": "{{ net }}.1"}, "dns", "'net'"),
]


def body_with(broken: dict[str, Any]) -> dict[str, Any]:
    return config_body(**{"authorized-tokens": ["rack-7"], **broken})


@pytest.mark.parametrize(("broken", "field", "words"), BROKEN)
def test_a_value_that_breaks_a_rule_is_400_and_the_sentence_names_it(
    broken: dict[str, Any], field: str, words: str, client: APIClient, token: Made
) -> None:
    with nothing_changes():
        answer = client.post(PREPARED, body_with(broken), format="json")

    details = assert_error(answer, 400)["details"]
    names = [name for name in details if name == field or name.startswith(f"{field}.")]
    assert names, details
    assert any(words in text for name in names for text in details[name]), details


@pytest.mark.parametrize(
    ("broken", "field", "words"),
    [row for row in BROKEN if "id" not in row[0] and None not in row[0].values()],
)
def test_a_change_that_breaks_a_rule_is_400_and_changes_nothing(
    broken: dict[str, Any], field: str, words: str, client: APIClient, rack: PreparedConfig
) -> None:
    with nothing_changes():
        answer = patch(client, **broken)

    details = assert_error(answer, 400)["details"]
    assert any(words in text for texts in details.values() for text in texts), details


@pytest.mark.parametrize("field", ["id", "country", "keyboard", "mailto", "timezone", "filesystem"])
def test_a_field_that_a_config_cannot_do_without_is_demanded(
    field: str, client: APIClient, token: Made
) -> None:
    with nothing_changes():
        answer = post(client, **{"authorized-tokens": ["rack-7"], field: None})

    assert assert_error(answer, 400, field=field)["details"][field] == ["is missing"]


@pytest.mark.parametrize("field", sorted({field for field, _, _ in PLAIN} | {"id"}))
def test_null_is_not_the_same_as_leaving_out(field: str, client: APIClient, token: Made) -> None:
    body = {**config_body(authorized_tokens=["rack-7"]), field: None}

    with nothing_changes():
        answer = client.post(PREPARED, body, format="json")

    assert "must not be null" in str(assert_error(answer, 400, field=field)["details"][field])


def test_null_in_the_depth_is_refused_as_well(client: APIClient, token: Made) -> None:
    filesystem = {"filesystem": "zfs", "raid": "RAID1", "ashift": None}

    with nothing_changes():
        answer = post(client, authorized_tokens=["rack-7"], filesystem=filesystem)

    assert_error(answer, 400, field="filesystem.ashift")


@pytest.mark.parametrize("key", ["reboot_mode", "template_counters", "root_password"])
def test_a_key_with_underscores_is_no_field(key: str, client: APIClient, token: Made) -> None:
    value: Any = {"reboot_mode": "reboot", "template_counters": {}, "root_password": "x" * 8}[key]
    body = {**config_body(authorized_tokens=["rack-7"]), key: value}

    with nothing_changes():
        assert_error(client.post(PREPARED, body, format="json"), 400, field=key)


def test_every_problem_is_named_at_once(client: APIClient, token: Made) -> None:
    answer = post(
        client,
        authorized_tokens=["rack-7"],
        country="xx",
        timezone="Mars/Olympus",
        fqdn="pve",
        disk_list=["sda"],
    )

    assert set(assert_error(answer, 400)["details"]) == {"country", "timezone", "fqdn", "disk-list"}


@pytest.mark.parametrize(
    "wire",
    [
        {"use-dhcp-fqdn": True, "fqdn": ""},
        {"use-dhcp-fqdn": True, "fqdn": None},
        {"use-dhcp-fqdn": True, "fqdn": "{{ does not matter"},
        {"cidr": "nonsense", "gateway": "{{ nonsense"},
        {"disk-filter": {"ID_MODEL": "x"}},
    ],
)
def test_what_is_not_used_is_not_checked(
    wire: dict[str, Any], client: APIClient, token: Made
) -> None:
    assert post(client, authorized_tokens=["rack-7"], **wire).status_code == 201


@pytest.mark.parametrize(
    "fqdn",
    [
        "{{ site }}{{ '%03d' | format(nr) }}.example.com",
        "{{ dmi.system.serial | lower | replace(' ', '-') }}.example.com",
        "{{ network_interfaces[0].mac | replace(':', '') | lower }}.example.com",
        "{% set x = nr + 1 %}pve{{ x }}.example.com",
        "{{ dmi.system.uuid | default('none') }}.example.com",
        "{% for card in network_interfaces %}{{ card.link }}{% endfor %}.example.com",
    ],
)
def test_templates_know_the_machine_the_counters_and_the_variables(
    fqdn: str, client: APIClient, token: Made
) -> None:
    answer = post(
        client,
        authorized_tokens=["rack-7"],
        fqdn=fqdn,
        template_counters={"nr": 7},
        template_variables={"site": "vie"},
    )

    assert answer.status_code == 201, answer.content
    assert ask(token[1]).status_code == 200


@pytest.mark.parametrize(
    "wire",
    [
        {"filesystem": {"filesystem": ["zfs"]}},
        {"filesystem": []},
        {"filesystem": {"filesystem": "zfs", "raid": ["RAID1"]}},
        {"first-boot": 5},
        {"first-boot": []},
        {"target-filter": {"": "x"}},
        {"target-filter": {"/a~2": "x"}},
        {"target-filter": {"/" * 4000: "x"}},
        {"disk-list": [["sda"]]},
        {"disk-list": {"a": 1}},
        {
            "filesystem": {"filesystem": "ext4", "hdsize": 1e308, "swapsize": 1e308},
            "disk-list": ["sda"],
        },
        {"template-counters": {"n": 10**18}},
        {"priority": 10**18},
        {"post-hook-deadline-minutes": 1e3},
        {"fqdn": "{{" * 2000},
        {"fqdn": "{% for i in range(100000000) %}{% endfor %}a.b"},
        {"fqdn": "{{ ('a' * 10**7) }}.b"},
        {"fqdn": "{% include 'x' %}a.b"},
        {"fqdn": "{% extends 'fqdn' %}a.b"},
        {"fqdn": "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}.b"},
        {"keyboard": "x" * 10_000},
        {"country": "x" * 100_000},
        {"authorized-tokens": ["a" * 64] * 5000},
        {"netif-name-pinning-enabled": True, "netif-name-mapping": {"x" * 10_000: "lan0"}},
        {"template-variables": {"range": "a"}, "fqdn": "{{ range }}.b"},
    ],
)
def test_an_odd_value_is_refused_or_fails_for_the_machine_but_breaks_nothing(
    wire: dict[str, Any], client: APIClient, token: Made
) -> None:
    answer = post(client, **{"authorized-tokens": ["rack-7"], **wire})

    if answer.status_code != 201:
        assert_error(answer, 400)
        return
    assert ask(token[1]).status_code in (200, 400)
