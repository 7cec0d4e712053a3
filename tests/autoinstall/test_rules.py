"""What the installer takes and what it refuses: tables of answers, one rule each."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoinstall import rules
from autoinstall.documents import KEYBOARDS, BtrfsFilesystem, LvmFilesystem, ZfsFilesystem, kebab
from autoinstall.rules import check_answer

GONE = object()
HASH = "$6$rounds$" + "x" * 20
FINGERPRINT = ":".join(["A1"] * 32)
HOOK = "https://ps.example.com/api2/json/auto-install/installations/7/post-hook"
SCRIPT = "https://files.example.com/first-boot.sh"
STATIC = {
    "source": "from-answer",
    "cidr": "10.1.2.10/24",
    "dns": "10.1.2.1",
    "gateway": "10.1.2.254",
    "filter": {"ID_NET_NAME": "enp*"},
}
MAC, OTHER_MAC = "b4:2e:99:ac:ad:b4", "b4:2e:99:ac:ad:b5"
PINNING = "network.interface-name-pinning"


def an_answer() -> dict[str, Any]:
    return {
        "global": {
            "country": "at",
            "fqdn": "pve0.example.com",
            "keyboard": "de",
            "mailto": "ops@example.com",
            "timezone": "Europe/Vienna",
            "root-password-hashed": HASH,
        },
        "network": {"source": "from-dhcp"},
        "disk-setup": {"filesystem": "ext4", "disk-list": ["sda"]},
    }


def changed(changes: dict[str, Any]) -> dict[str, Any]:
    """The plain answer with other values at these dotted paths; GONE takes the key away."""
    answer: dict[str, Any] = copy.deepcopy(an_answer())
    for path, value in changes.items():
        *way, last = path.split(".")
        table = answer
        for key in way:
            table = table.setdefault(key, {})
        if value is GONE:
            del table[last]
        else:
            table[last] = value
    return answer


def disks(filesystem: str, raid: str | None, count: int, **options: Any) -> dict[str, Any]:
    """A fixed list of so many disks."""
    table = {"ext4": "lvm", "xfs": "lvm"}.get(filesystem, filesystem)
    options |= {"raid": raid} if raid else {}
    return {
        "disk-setup": {
            "filesystem": filesystem,
            "disk-list": [f"sd{chr(97 + number)}" for number in range(count)],
            **({table: options} if options else {}),
        }
    }


def pinned(mapping: dict[str, Any]) -> dict[str, Any]:
    return {PINNING: {"enabled": True, "mapping": mapping}}


# --- Valid answers -----------------------------------------------------------------------------

VALID: dict[str, dict[str, Any]] = {
    "as plain as can be": {},
    "xfs": disks("xfs", None, 1),
    "ext4 with all its options": disks(
        "ext4", None, 1, hdsize=64, swapsize=32.0, maxroot=16.5, maxvz=0, minfree=4
    ),
    "swap of any size while hdsize is open": disks("ext4", None, 1, swapsize=4000),
    **{
        f"zfs {raid} with {count} disks": disks("zfs", raid, count)
        for raid, count in [
            *[("RAID0", 1), ("RAID0", 3), ("RAID1", 2), ("RAID1", 3), ("RAID10", 4), ("RAID10", 6)],
            *[("RAIDZ-1", 3), ("RAIDZ-2", 4), ("RAIDZ-3", 5), ("raid1", 2), ("raidz-1", 3)],
        ]
    },
    "zfs with all its options": {
        **disks("zfs", "RAID1", 2),
        "disk-setup.zfs": {
            "raid": "RAID1",
            "ashift": 12,
            "arc-max": 64,
            "checksum": "sha256",
            "compress": "zstd",
            "copies": 3,
            "hdsize": 2,
        },
    },
    **{
        f"btrfs {raid} with {count} disks": disks("btrfs", raid, count, compress="zlib")
        for raid, count in [("RAID0", 1), ("RAID1", 2), ("RAID10", 4), ("RAID10", 5), ("raid0", 1)]
    },
    "disks by filter": {
        "disk-setup": {
            "filesystem": "xfs",
            "filter": {"ID_MODEL": "Samsung*"},
            "filter-match": "any",
        }
    },
    "as many disks as a filter finds": {
        "disk-setup": {
            "filesystem": "zfs",
            "filter": {"ID_SERIAL": "S3*"},
            "disk-list": [],
            "zfs": {"raid": "RAIDZ-3"},
        }
    },
    "an empty filter beside a list": {"disk-setup.filter": {}, "disk-setup.filter-match": "all"},
    "a static network": {"network": STATIC},
    "a static network of IPv6": {
        "network": STATIC | {"cidr": "2001:db8::10/64", "dns": "2001:db8::1", "gateway": "fe80::1"}
    },
    "pinning without names": {PINNING: {"enabled": True}},
    "pinning that is off": {PINNING: {"enabled": False}},
    "pinning in a static network": {
        "network": STATIC
        | {"interface-name-pinning": {"enabled": True, "mapping": {MAC.upper(): "mgmt0"}}}
    },
    "pinned names": pinned({MAC: "mgmt", OTHER_MAC: "storage_10g.100"}),
    "a name from DHCP": {"global.fqdn": {"source": "from-dhcp"}},
    "a name from DHCP by default": {"global.fqdn": {}},
    "a name from DHCP with a domain": {"global.fqdn": {"domain": "lab.example.com"}},
    "a name from DHCP with an empty domain": {"global.fqdn": {"source": "from-dhcp", "domain": ""}},
    "a plain password": {"global.root-password-hashed": GONE, "global.root-password": "correct h"},
    "a password counted in bytes": {
        "global.root-password-hashed": GONE,
        "global.root-password": "äöüß",
    },
    "all that global has": {
        "global.reboot-on-error": True,
        "global.reboot-mode": "power-off",
        "global.root-ssh-keys": ["ssh-ed25519 AAAA"],
        "global.subscription-key": "pve2s-0123456789",
    },
    "the time zone UTC": {"global.timezone": "UTC"},
    "a webhook": {
        "post-installation-webhook": {"url": HOOK, "cert-fingerprint": "ab" * 32, "auth-token": "x"}
    },
    "a first-boot script from the image": {"first-boot": {"source": "from-iso"}},
    "a first-boot script from a URL": {
        "first-boot": {
            "source": "from-url",
            "url": SCRIPT,
            "ordering": "network-online",
            "cert-fingerprint": FINGERPRINT,
        }
    },
}


@pytest.mark.parametrize("changes", VALID.values(), ids=VALID.keys())
def test_the_installer_takes_it(changes: dict[str, Any]) -> None:
    assert check_answer(changed(changes)) == []


# --- Invalid answers ---------------------------------------------------------------------------

INVALID: list[tuple[dict[str, Any], str, str]] = [
    # Sections and keys
    ({"global": GONE}, "global", "missing"),
    ({"network": GONE}, "network", "missing"),
    ({"disk-setup": GONE}, "disk-setup", "missing"),
    ({"global": "at"}, "global", "a table, not a string"),
    ({"network": [1]}, "network", "a table, not a list"),
    ({"disk_setup": {}}, "disk_setup", "did you mean 'disk-setup'"),
    ({"nonsense": {}}, "nonsense", "it knows global, network"),
    ({"global.contry": "at"}, "global.contry", "did you mean 'country'"),
    ({"global.root_ssh_keys": []}, "global.root_ssh_keys", "did you mean 'root-ssh-keys'"),
    ({"network.vlan": 3}, "network.vlan", "'vlan' in network"),
    ({"disk-setup.lvm": {"hd_size": 4}}, "disk-setup.lvm.hd_size", "'hdsize'"),
    # Global
    *(
        ({f"global.{key}": GONE}, f"global.{key}", "missing")
        for key in ("country", "fqdn", "keyboard", "mailto", "timezone")
    ),
    ({"global.country": "xx"}, "global.country", "'xx'"),
    ({"global.country": "AT"}, "global.country", "lower-case"),
    ({"global.country": 43}, "global.country", "a string, not a number"),
    ({"global.keyboard": "us"}, "global.keyboard", "en-us"),
    ({"global.timezone": "Etc/UTC"}, "global.timezone", "'UTC' itself"),
    ({"global.timezone": "utc"}, "global.timezone", "'utc'"),
    ({"global.timezone": "Europe/Wien"}, "global.timezone", "'Europe/Wien'"),
    ({"global.mailto": "ops"}, "global.mailto", "'ops'"),
    ({"global.mailto": "mail@example.invalid"}, "global.mailto", "placeholder"),
    ({"global.fqdn": "pve0"}, "global.fqdn", "no domain"),
    ({"global.fqdn": ""}, "global.fqdn", "''"),
    ({"global.fqdn": 7}, "global.fqdn", "a string, not a number"),
    ({"global.fqdn": {"source": "from-dns"}}, "global.fqdn.source", "'from-dns'"),
    ({"global.fqdn": {"domain": "-lab"}}, "global.fqdn.domain", "'-lab'"),
    ({"global.fqdn": {"domain": False}}, "global.fqdn.domain", "not true or false"),
    ({"global.fqdn": {"name": "x"}}, "global.fqdn.name", "'name'"),
    ({"global.root-password-hashed": GONE}, "global.root-password", "root-password-hashed"),
    ({"global.root-password": "12345678"}, "global.root-password-hashed", "only one"),
    ({"global.root-password-hashed": ""}, "global.root-password-hashed", "empty"),
    ({"global.reboot-on-error": "yes"}, "global.reboot-on-error", "true or false"),
    ({"global.reboot-on-error": 1}, "global.reboot-on-error", "true or false"),
    ({"global.reboot-mode": "halt"}, "global.reboot-mode", "power-off"),
    ({"global.root-ssh-keys": "ssh-rsa A"}, "global.root-ssh-keys", "a list"),
    ({"global.root-ssh-keys": ["ssh-rsa A", 1]}, "global.root-ssh-keys", "strings only"),
    ({"global.root-ssh-keys": None}, "global.root-ssh-keys", "a list"),
    ({"global.subscription-key": "pdm1c-0123456789"}, "global.subscription-key", "form"),
    # Network
    ({"network.source": GONE}, "network.source", "missing"),
    ({"network.source": "dhcp"}, "network.source", "from-dhcp, from-answer"),
    ({"network.cidr": "10.0.0.1/24"}, "network.cidr", "from-answer"),
    ({"network.filter": {"ID_NET_NAME": "enp*"}}, "network.filter", "from-answer"),
    *(
        (
            {"network": {k: v for k, v in STATIC.items() if k != key}},
            f"network.{key}",
            word,
        )
        for key, word in [
            *[("cidr", "missing"), ("dns", "missing"), ("gateway", "missing")],
            ("filter", "needs an entry"),
        ]
    ),
    ({"network": STATIC | {"filter": {}}}, "network.filter", "needs an entry"),
    ({"network": STATIC | {"filter": "enp*"}}, "network.filter", "a table"),
    ({"network": STATIC | {"filter": {"ID_PATH": 3}}}, "network.filter.ID_PATH", "a string"),
    ({"network": STATIC | {"filter": {"ID_PATH": "[a"}}}, "network.filter.ID_PATH", "'[a'"),
    ({"network": STATIC | {"cidr": "10.0.0.1"}}, "network.cidr", "prefix length"),
    ({"network": STATIC | {"cidr": "10.0.0.1/33"}}, "network.cidr", "0 to 32"),
    ({"network": STATIC | {"gateway": "10.0.0.256"}}, "network.gateway", "'10.0.0.256'"),
    ({"network": STATIC | {"dns": ["10.0.0.1"]}}, "network.dns", "a string, not a list"),
    ({PINNING: {"mapping": {}}}, f"{PINNING}.enabled", "missing"),
    ({PINNING: {"enabled": "yes"}}, f"{PINNING}.enabled", "true or false"),
    ({PINNING: True}, PINNING, "a table"),
    (pinned({"b4:2e": "mgmt"}), f"{PINNING}.mapping.b4:2e", "MAC"),
    (pinned({MAC: "0mgmt"}), f"{PINNING}.mapping.{MAC}", "'0mgmt'"),
    (pinned({MAC: 3}), f"{PINNING}.mapping.{MAC}", "a string"),
    (pinned({MAC: "mgmt", OTHER_MAC: "mgmt"}), f"{PINNING}.mapping.{OTHER_MAC}", "two interfaces"),
    (pinned({MAC: "aa", MAC.upper(): "bb"}), f"{PINNING}.mapping.{MAC.upper()}", "twice"),
    # Disks
    ({"disk-setup.filesystem": GONE}, "disk-setup.filesystem", "missing"),
    ({"disk-setup.filesystem": "ext3"}, "disk-setup.filesystem", "ext4, xfs, zfs, btrfs"),
    ({"disk-setup.disk-list": GONE}, "disk-setup", "either disk-list or filter"),
    ({"disk-setup.disk-list": [], "disk-setup.filter": {}}, "disk-setup", "either"),
    ({"disk-setup.filter": {"ID_MODEL": "*"}}, "disk-setup.filter", "only one"),
    ({"disk-setup.disk-list": "sda"}, "disk-setup.disk-list", "a list"),
    ({"disk-setup.disk-list": ["sda", "sdb"]}, "disk-setup.disk-list", "ext4 takes exactly one"),
    (disks("xfs", None, 2), "disk-setup.disk-list", "xfs takes exactly one"),
    ({"disk-setup.filter-match": "some"}, "disk-setup.filter-match", "any, all"),
    ({"disk-setup.zfs": {"raid": "RAID0"}}, "disk-setup.zfs", "only lvm"),
    ({"disk-setup.btrfs": {}}, "disk-setup.btrfs", "does not go with ext4"),
    (disks("zfs", "RAID1", 2) | {"disk-setup.lvm": {}}, "disk-setup.lvm", "only zfs"),
    (disks("zfs", None, 1), "disk-setup.zfs.raid", "missing"),
    (disks("zfs", None, 1, ashift=12), "disk-setup.zfs.raid", "missing"),
    (disks("btrfs", None, 1), "disk-setup.btrfs.raid", "missing"),
    (disks("zfs", "Raid1", 2), "disk-setup.zfs.raid", "RAIDZ-1"),
    (disks("btrfs", "RAIDZ-1", 3), "disk-setup.btrfs.raid", "RAID10"),
    *(
        (disks(filesystem, raid, count), "disk-setup.disk-list", f"at least {count + 1}")
        for filesystem, raid, count in [
            *[("zfs", "RAID1", 1), ("zfs", "RAID10", 3), ("zfs", "RAIDZ-1", 2)],
            *[("zfs", "RAIDZ-2", 3), ("zfs", "RAIDZ-3", 4), ("zfs", "raid1", 1)],
            *[("btrfs", "RAID1", 1), ("btrfs", "RAID10", 3)],
        ]
    ),
    (disks("zfs", "RAID10", 5), "disk-setup.disk-list", "even"),
    (
        disks("zfs", "RAID1", 2) | {"disk-setup.disk-list": ["sda", "sda"]},
        "disk-setup.disk-list",
        "'sda' is there twice",
    ),
    (disks("ext4", None, 1, hdsize=1.9), "disk-setup.lvm.hdsize", "at least 2 GiB"),
    (disks("ext4", None, 1, maxroot=1), "disk-setup.lvm.maxroot", "at least 2 GiB"),
    (disks("ext4", None, 1, swapsize=-1), "disk-setup.lvm.swapsize", "at least 0 GiB"),
    (disks("ext4", None, 1, minfree="4"), "disk-setup.lvm.minfree", "a number"),
    (disks("ext4", None, 1, maxvz=True), "disk-setup.lvm.maxvz", "a number"),
    (disks("ext4", None, 1, hdsize=float("inf")), "disk-setup.lvm.hdsize", "out of range"),
    (disks("ext4", None, 1, hdsize=float("nan")), "disk-setup.lvm.hdsize", "out of range"),
    (disks("ext4", None, 1, hdsize=10**6000), "disk-setup.lvm.hdsize", "out of range"),
    (disks("ext4", None, 1, hdsize=8, swapsize=4.5), "disk-setup.lvm.swapsize", "half of hdsize"),
    (disks("zfs", "RAID0", 1, ashift=8), "disk-setup.zfs.ashift", "from 9 to 16"),
    (disks("zfs", "RAID0", 1, ashift=12.0), "disk-setup.zfs.ashift", "whole number"),
    (disks("zfs", "RAID0", 1, copies=4), "disk-setup.zfs.copies", "from 1 to 3"),
    (disks("zfs", "RAID0", 1, **{"arc-max": 63}), "disk-setup.zfs.arc-max", "at least 64 MiB"),
    (disks("zfs", "RAID0", 1, compress="lzo"), "disk-setup.zfs.compress", "lzjb"),
    (disks("zfs", "RAID0", 1, checksum="off"), "disk-setup.zfs.checksum", "fletcher4"),
    (disks("btrfs", "RAID0", 1, compress="lz4"), "disk-setup.btrfs.compress", "zstd"),
    # Webhook and first boot
    ({"post-installation-webhook": {}}, "post-installation-webhook.url", "missing"),
    ({"post-installation-webhook": {"url": "ps:80"}}, "post-installation-webhook.url", "http://"),
    (
        {"post-installation-webhook": {"url": HOOK, "cert-fingerprint": "AB:CD"}},
        "post-installation-webhook.cert-fingerprint",
        "32 pairs",
    ),
    ({"first-boot": {}}, "first-boot.source", "missing"),
    ({"first-boot": {"source": "from-git"}}, "first-boot.source", "from-iso"),
    ({"first-boot": {"source": "from-url"}}, "first-boot.url", "missing"),
    (
        {"first-boot": {"source": "from-iso", "ordering": "early"}},
        "first-boot.ordering",
        "before-network",
    ),
]


@pytest.mark.parametrize(
    ("changes", "path", "word"), INVALID, ids=[f"{path}-{word}" for _, path, word in INVALID]
)
def test_the_installer_refuses_it_for_one_reason(
    changes: dict[str, Any], path: str, word: str
) -> None:
    (problem,) = check_answer(changed(changes))
    assert problem.path == path
    assert word in problem.sentence


def test_every_problem_is_named() -> None:
    answer = changed(
        {"global.country": "xx", "network.source": GONE, "disk-setup.lvm": {"hdsize": 1}}
    )
    assert [problem.path for problem in check_answer(answer)] == [
        *("global.country", "network.source", "disk-setup.lvm.hdsize")
    ]


@pytest.mark.parametrize("password", ["hunter2", 31415926, ["hunter2"]])
def test_no_sentence_shows_a_password(password: object) -> None:
    answer = changed(
        {
            "global.root-password-hashed": {"hunter2": 31415926},
            "global.root-password": password,
            "global.subscription-key": "hunter2",
        }
    )
    sentences = " ".join(problem.sentence for problem in check_answer(answer))
    assert "hunter2" not in sentences
    assert "31415926" not in sentences


@pytest.mark.parametrize(("product", "offered"), [(None, True), ("pve", True), ("pbs", False)])
def test_btrfs_is_only_offered_by_pve(product: str | None, offered: bool) -> None:
    answer = changed(disks("btrfs", "RAID1", 2))
    assert (check_answer(answer, product=product) == []) is offered


@pytest.mark.parametrize("value", ["{{ name }}.example.com", "{% if a %}", 3])
def test_a_template_is_not_looked_at(value: object) -> None:
    answer = changed({"global.fqdn": value})
    assert check_answer(answer, templated=frozenset({"global.fqdn"})) == []


def test_a_template_has_to_be_there() -> None:
    answer = changed({"network": {"source": "from-answer", "filter": {"ID_PATH": "*"}}})
    missing = check_answer(answer, templated=frozenset({"network.cidr", "network.dns"}))
    assert [problem.path for problem in missing] == [
        *("network.cidr", "network.dns", "network.gateway")
    ]


VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["ext4", "zfs", "from-answer", "from-dhcp", "from-url", "RAID1", "[", ""])
    | st.text(max_size=8)
)
KEYS = st.sampled_from(
    [
        *("global", "network", "disk-setup", "first-boot", "post-installation-webhook", "fqdn"),
        *("filter", "disk-list", "interface-name-pinning", "mapping", "source", "zfs", "lvm"),
        *("filesystem", "raid", "hdsize", "swapsize", "root-password", "url", "domain"),
    ]
) | st.text(max_size=4)
TREES = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6)
)


@given(st.dictionaries(KEYS, TREES, max_size=6))
def test_whatever_it_holds_it_is_checked(answer: dict[str, Any]) -> None:
    assert all(problem.sentence for problem in check_answer(answer))


# --- Single values -----------------------------------------------------------------------------

FULL = "a" * 63 + "."
SINGLE: list[tuple[Callable[[str], str | None], list[str], list[str]]] = [
    (
        rules.check_fqdn,
        ["pve.lan", "PVE-1.Example.com", "1a.b", "a.1", FULL + "b", f"{FULL * 3}{'b' * 61}"],
        [
            *("", "pve", "pve.", ".lan", "a..b", "-a.lan", "a-.lan", "a_b.lan", "1.lan", "pvé.lan"),
            *("a b.lan", "a.lan\n", "a" * 64 + ".lan", f"{FULL * 3}{'b' * 62}", "\u0661.lan"),
        ],
    ),
    (
        rules.check_email,
        ["a@b", "ops+pve@example.com", "o'x@example-1.com", "a.b.@c"],
        [
            *("", "ops", "@b", "a@", "a@b..c", "a@-b", "a@b.", "a b@c", "a@b\n", "é@b", "a@é"),
            *("mail@example.invalid", f"a@{'b' * 64}"),
        ],
    ),
    (
        rules.check_cidr,
        [
            "10.0.0.1/24",
            "0.0.0.0/0",
            "10.0.0.1/32",
            "2001:db8::1/64",
            "::1/128",
            "::ffff:1.2.3.4/96",
        ],
        [
            *("", "10.0.0.1", "10.0.0.1/", "10.0.0.1/33", "10.0.0.1/-1", "10.0.0.1/24/24"),
            *("/24", "10.0.0/24", "10.0.0.01/24", "::1/129", "::1", "10.0.0.1/255.255.255.0"),
            *("10.0.0.1/ 24", "10.0.0.1/²", "fe80::1%eth0/64", "10.0.0.1/24\n"),
        ],
    ),
    (
        rules.check_address,
        ["10.0.0.1", "::", "2001:db8::1", "::ffff:10.0.0.1"],
        ["", "10.0.0", "10.0.0.1/24", "ps.lan", "fe80::1%eth0", "[::1]", " 10.0.0.1", "10.0.0.1\n"],
    ),
    (
        rules.check_interface_name,
        ["ab", "Mgmt_0", "a1.100", "aa:1", "a" * 15],
        ["", "a", "1a", "_a", "a-b", "a" * 16, "aa.", "aa.b", "aa.1.2", "mgmt\n", "mgmté", "a.1"],
    ),
    (rules.check_country, ["at", "us", "zw"], ["", "AT", "uk", "xx", "at ", "eu"]),
    (rules.check_keyboard, list(KEYBOARDS), ["", "us", "DE", "en"]),
    (
        rules.check_time_zone,
        ["UTC", "Europe/Vienna", "America/Argentina/Ushuaia"],
        ["", "Etc/UTC", "utc", "GMT", "CET", "europe/vienna", "Europe"],
    ),
]


@pytest.mark.parametrize(
    ("check", "value"), [(check, value) for check, valid, _ in SINGLE for value in valid]
)
def test_a_valid_value_has_no_sentence(check: Callable[[str], str | None], value: str) -> None:
    assert check(value) is None


@pytest.mark.parametrize(
    ("check", "value"), [(check, value) for check, _, invalid in SINGLE for value in invalid]
)
def test_an_invalid_value_is_named_in_its_sentence(
    check: Callable[[str], str | None], value: str
) -> None:
    sentence = check(value)
    assert sentence is not None
    assert repr(value)[:30] in sentence


def test_the_lists_of_places_are_whole() -> None:
    assert len(rules.COUNTRIES) == 249
    assert all(len(code) == 2 and code.islower() for code in rules.COUNTRIES)
    assert 400 < len(rules.TIME_ZONES) < 440


# --- Fields and warnings -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("global.timezone", "timezone"),
        ("global.fqdn", "fqdn"),
        ("global.fqdn.domain", "dhcp-fqdn-domain"),
        ("global.root-password", "root-password"),
        ("network.cidr", "cidr"),
        ("network.filter", "netdev-filter"),
        ("network.filter.ID_PATH", "netdev-filter"),
        ("network.interface-name-pinning.enabled", "netif-name-pinning-enabled"),
        (f"network.interface-name-pinning.mapping.{MAC}", "netif-name-mapping"),
        ("disk-setup", "disk-mode"),
        ("disk-setup.filesystem", "filesystem"),
        ("disk-setup.disk-list", "disk-list"),
        ("disk-setup.filter", "disk-filter"),
        ("disk-setup.filter-match", "disk-filter-match"),
        ("disk-setup.zfs", "filesystem"),
        ("disk-setup.zfs.raid", "filesystem.raid"),
        ("disk-setup.lvm.swapsize", "filesystem.swapsize"),
        ("post-installation-webhook.url", "post-hook-base-url"),
        ("post-installation-webhook.cert-fingerprint", "post-hook-cert-fp"),
        ("first-boot.url", "first-boot.url"),
        ("global.nonsense", "global.nonsense"),
    ],
)
def test_a_path_belongs_to_a_field_of_the_config(path: str, field: str) -> None:
    assert rules.config_field(path) == field


@pytest.mark.parametrize(
    ("table", "shape"),
    [("lvm", LvmFilesystem), ("zfs", ZfsFilesystem), ("btrfs", BtrfsFilesystem)],
)
def test_the_installer_knows_the_options_that_a_config_may_have(table: str, shape: Any) -> None:
    assert set(rules.OPTIONS[table]) == set(map(kebab, shape.model_fields)) - {"filesystem"}
    for filesystem in get_args(shape.model_fields["filesystem"].annotation):
        assert rules.options_table(filesystem) == table


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, []),
        ({"network": STATIC}, []),
        (disks("btrfs", "RAID0", 1), ["technology preview"]),
        ({"global.fqdn": {}}, ["no domain"]),
        ({"global.fqdn": {"domain": "lan"}}, []),
        (
            {"network": STATIC | {"filter": {"ID_PATH": "a", "ID_NET_NAME": "b"}}},
            ["one matching entry"],
        ),
        (
            {
                "disk-setup": {
                    "filesystem": "xfs",
                    "filter": {"ID_MODEL": "*"},
                    "filter-match": "all",
                }
            },
            ["no difference with xfs"],
        ),
        (
            {
                "disk-setup": {
                    "filesystem": "zfs",
                    "zfs": {"raid": "RAID1"},
                    "filter": {"ID_MODEL": "*"},
                    "filter-match": "all",
                }
            },
            ["lacks one of the properties"],
        ),
    ],
)
def test_what_works_may_deserve_attention(changes: dict[str, Any], words: list[str]) -> None:
    answer = changed(changes)
    assert check_answer(answer) == []
    found = rules.warnings(answer)
    assert len(found) == len(words)
    assert all(word in sentence for word, sentence in zip(words, found, strict=True))
