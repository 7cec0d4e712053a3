"""What Proxmox's installer demands of an answer: one place for saving, previewing and importing. Pure.

The rules are those of pve-installer 9.2 (`proxmox-auto-installer`, `proxmox-installer-types`). Its
parser checks types only and much else breaks late, on the machine's console; here everything is said
before. The sentences begin after a colon: `global.fqdn: 'pve' has no domain ...`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from autoinstall.values import (
    COUNTRIES,
    MAC,
    TIME_ZONES,
    Check,
    a_flag,
    a_table,
    check_address,
    check_cidr,
    check_country,
    check_domain,
    check_email,
    check_fingerprint,
    check_fqdn,
    check_glob,
    check_interface_name,
    check_keyboard,
    check_password,
    check_subscription_key,
    check_time_zone,
    check_url,
    number,
    one_of,
    only_static,
    string_list,
    text,
)

__all__ = [
    "CONFIG_FIELD",
    "COUNTRIES",
    "TIME_ZONES",
    "Problem",
    "check_address",
    "check_answer",
    "check_cidr",
    "check_country",
    "check_email",
    "check_fqdn",
    "check_interface_name",
    "check_keyboard",
    "check_time_zone",
    "config_field",
    "options_table",
    "warnings",
]

Answer = Mapping[str, Any]


@dataclass(frozen=True)
class Problem:
    """`path` is dotted (`disk-setup.zfs.raid`); `sentence` never holds a secret."""

    path: str
    sentence: str


# --- Tables of keys ----------------------------------------------------------------------------

_SECTIONS = ("global", "network", "disk-setup", "post-installation-webhook", "first-boot")
_GLOBAL: Mapping[str, Check] = {
    "country": text(check_country),
    "fqdn": lambda value: text(check_fqdn)(value) if a_table(value) else None,
    "keyboard": text(check_keyboard),
    "mailto": text(check_email),
    "timezone": text(check_time_zone),
    "root-password": text(check_password),
    "root-password-hashed": text(lambda text: None if text else "is empty"),
    "reboot-on-error": a_flag,
    "reboot-mode": one_of("reboot", "power-off"),
    "root-ssh-keys": string_list,
    "subscription-key": text(check_subscription_key),
}
_FQDN: Mapping[str, Check] = {
    "source": one_of("from-dhcp"),
    "domain": lambda value: text(check_domain)(value) if value not in ("", None) else None,
}
_NETWORK: Mapping[str, Check] = {
    "source": one_of("from-dhcp", "from-answer"),
    "interface-name-pinning": a_table,
}
_STATIC: Mapping[str, Check] = {
    "cidr": text(check_cidr),
    "dns": text(check_address),
    "gateway": text(check_address),
    "filter": a_table,
}
_SIZE, _BIG_SIZE = number(0, unit=" GiB"), number(2, unit=" GiB")
OPTIONS: Mapping[str, Mapping[str, Check]] = {
    "lvm": {
        "hdsize": _BIG_SIZE,
        "swapsize": _SIZE,
        "maxroot": _BIG_SIZE,
        "maxvz": _SIZE,
        "minfree": _SIZE,
    },
    "zfs": {
        "raid": one_of("RAID0", "RAID1", "RAID10", "RAIDZ-1", "RAIDZ-2", "RAIDZ-3", upper=True),
        "ashift": number(9, 16, whole=True),
        "arc-max": number(64, unit=" MiB", whole=True),
        "checksum": one_of("on", "fletcher4", "sha256"),
        "compress": one_of("on", "off", "lzjb", "lz4", "zle", "gzip", "zstd"),
        "copies": number(1, 3, whole=True),
        "hdsize": _BIG_SIZE,
    },
    "btrfs": {
        "raid": one_of("RAID0", "RAID1", "RAID10", upper=True),
        "compress": one_of("on", "off", "zlib", "lzo", "zstd"),
        "hdsize": _BIG_SIZE,
    },
}
_TABLE_OF = {"ext4": "lvm", "xfs": "lvm", "zfs": "zfs", "btrfs": "btrfs"}
_FEWEST_DISKS = {"RAID0": 1, "RAID1": 2, "RAID10": 4, "RAIDZ-1": 3, "RAIDZ-2": 4, "RAIDZ-3": 5}
_DISKS: Mapping[str, Check] = {
    "filesystem": one_of(*_TABLE_OF),
    "disk-list": string_list,
    "filter": a_table,
    "filter-match": one_of("any", "all"),
    **dict.fromkeys(OPTIONS, a_table),
}
_HOOK: Mapping[str, Check] = {
    "url": text(check_url),
    "cert-fingerprint": text(check_fingerprint),
    "auth-token": text(),
}
_FIRST_BOOT: Mapping[str, Check] = {
    "source": one_of("from-url", "from-iso"),
    "ordering": one_of("before-network", "network-online", "fully-up"),
    "url": text(check_url),
    "cert-fingerprint": text(check_fingerprint),
}


# --- The whole answer --------------------------------------------------------------------------


def check_answer(
    answer: Answer, *, templated: frozenset[str] = frozenset(), product: str | None = None
) -> list[Problem]:
    """Everything that the installer would refuse; nothing when it would install.

    A path in `templated` holds a template that is not rendered yet: it has to be there, but what it
    says is not looked at. `product` is that of the image (`pve`, `pbs`, ...), None when not known.
    """
    found = _Findings(templated)
    found.table("", answer, dict.fromkeys(_SECTIONS, a_table), required=_SECTIONS[:3])
    sections = {name: answer[name] for name in _SECTIONS if isinstance(answer.get(name), Mapping)}
    if "global" in sections:
        _check_global(found, sections["global"])
    if "network" in sections:
        _check_network(found, sections["network"])
    if "disk-setup" in sections:
        _check_disks(found, sections["disk-setup"], product)
    if "post-installation-webhook" in sections:
        hook = sections["post-installation-webhook"]
        found.table("post-installation-webhook", hook, _HOOK, required=("url",))
    if "first-boot" in sections:
        script = sections["first-boot"]
        needed = ("source", "url") if script.get("source") == "from-url" else ("source",)
        found.table("first-boot", script, _FIRST_BOOT, required=needed)
    return found.problems


class _Findings:
    def __init__(self, templated: frozenset[str]) -> None:
        self.problems: list[Problem] = []
        self._templated = templated

    def add(self, path: str, sentence: str) -> None:
        self.problems.append(Problem(path, sentence))

    def table(
        self, path: str, table: Answer, known: Mapping[str, Check], *, required: Iterable[str] = ()
    ) -> None:
        prefix = f"{path}." if path else ""
        for key in required:
            if key not in table:
                self.add(f"{prefix}{key}", "is missing, and the installer demands it")
        for key, value in table.items():
            place = f"{prefix}{key}"
            if key not in known:
                self.add(place, _unknown(key, path, known))
            elif place not in self._templated and (sentence := known[key](value)):
                self.add(place, sentence)

    def globs(self, path: str, table: Answer) -> None:
        for key, pattern in table.items():
            if sentence := text(check_glob)(pattern):
                self.add(f"{path}.{key}", sentence)


def _unknown(key: str, path: str, known: Iterable[str]) -> str:
    near = get_close_matches(key.replace("_", "-"), known, 1)
    advice = f"did you mean {near[0]!r}" if near else f"it knows {', '.join(known)}"
    where = f"in {path}" if path else "as a section"
    return f"the installer knows no {key!r} {where} and stops at it ({advice})"


def _check_global(found: _Findings, table: Answer) -> None:
    required = ("country", "fqdn", "keyboard", "mailto", "timezone")
    found.table("global", table, _GLOBAL, required=required)
    if isinstance(table.get("fqdn"), Mapping):
        found.table("global.fqdn", table["fqdn"], _FQDN)
    passwords = [key for key in ("root-password", "root-password-hashed") if key in table]
    if not passwords:
        found.add("global.root-password", "is missing: it or root-password-hashed has to be set")
    elif len(passwords) == 2:
        found.add("global.root-password-hashed", "cannot stand beside root-password: set only one")


def _check_network(found: _Findings, table: Answer) -> None:
    source = table.get("source")
    static = dict.fromkeys(_STATIC, only_static) if source == "from-dhcp" else _STATIC
    required = ("source", "cidr", "dns", "gateway") if source == "from-answer" else ("source",)
    found.table("network", table, {**_NETWORK, **static}, required=required)
    patterns = table.get("filter", {})
    if source != "from-dhcp" and isinstance(patterns, Mapping):
        found.globs("network.filter", patterns)
        if source == "from-answer" and not patterns:
            rule = "needs an entry that picks the interface, such as ID_NET_NAME = 'enp3s0'"
            found.add("network.filter", rule)
    if isinstance(table.get("interface-name-pinning"), Mapping):
        _check_pinning(found, table["interface-name-pinning"])


def _check_pinning(found: _Findings, table: Answer) -> None:
    path = "network.interface-name-pinning"
    found.table(path, table, {"enabled": a_flag, "mapping": a_table}, required=("enabled",))
    mapping = table.get("mapping")
    macs: set[str] = set()
    names: set[object] = set()
    for mac, name in mapping.items() if isinstance(mapping, Mapping) else ():
        place = f"{path}.mapping.{mac}"
        if not MAC.fullmatch(mac):
            found.add(place, f"{mac!r} is no MAC address such as b4:2e:99:ac:ad:b4")
        elif mac.lower() in macs:
            found.add(place, f"{mac!r} is there twice: its case makes no difference")
        if sentence := text(check_interface_name)(name):
            found.add(place, sentence)
        elif name in names:
            found.add(place, f"{name!r} is the name of two interfaces")
        macs.add(mac.lower())
        names |= {name} if isinstance(name, str) else set()


def _check_disks(found: _Findings, table: Answer, product: str | None) -> None:
    found.table("disk-setup", table, _DISKS, required=("filesystem",))
    filesystem = table.get("filesystem")
    own = options_table(filesystem)
    if own == "btrfs" and product not in (None, "pve"):
        found.add("disk-setup.filesystem", f"the installer of {product} offers no 'btrfs'")
    for name, options in OPTIONS.items():
        if own and own != name and name in table:
            found.add(f"disk-setup.{name}", f"does not go with {filesystem}: only {own} does")
        elif isinstance(table.get(name), Mapping):
            found.table(f"disk-setup.{name}", table[name], options)
    options = table.get(own, {})
    if own in ("zfs", "btrfs") and isinstance(options, Mapping) and "raid" not in options:
        found.add(
            f"disk-setup.{own}.raid", f"is missing: {own} needs it, also with one disk (RAID0)"
        )
    if own == "lvm" and isinstance(options, Mapping):
        _check_swap(found, options.get("swapsize"), options.get("hdsize"))
    _check_choice(found, table)
    if own and not string_list(table.get("disk-list")) and table["disk-list"]:
        _check_count(found, own, filesystem, options, table["disk-list"])


def options_table(filesystem: object) -> str:
    """The key of disk-setup that holds its options; empty if it is no filesystem."""
    return _TABLE_OF.get(filesystem, "") if isinstance(filesystem, str) else ""


def _check_swap(found: _Findings, swap: Any, disk: Any) -> None:
    if not _SIZE(swap) and not _SIZE(disk) and 2 * swap > disk:
        rule = f"{swap} GiB is more than half of hdsize ({disk} GiB)"
        found.add("disk-setup.lvm.swapsize", rule)


def _check_choice(found: _Findings, table: Answer) -> None:
    """Which disks: by name or by filter, and an empty one counts as none."""
    names, patterns = table.get("disk-list"), table.get("filter")
    if isinstance(patterns, Mapping):
        found.globs("disk-setup.filter", patterns)
    if names and patterns:
        found.add(
            "disk-setup.filter", "cannot stand beside disk-list: the installer takes only one"
        )
    elif not names and not patterns:
        found.add("disk-setup", "names no disk: it needs either disk-list or filter")


def _check_count(
    found: _Findings, own: str, filesystem: object, options: object, disks: list[str]
) -> None:
    path = "disk-setup.disk-list"
    if twice := next((disk for disk, times in Counter(disks).items() if times > 1), None):
        found.add(path, f"{twice!r} is there twice")
    if own == "lvm":
        if len(disks) > 1:
            found.add(path, f"has {len(disks)} disks, but {filesystem} takes exactly one")
        return
    given = options.get("raid") if isinstance(options, Mapping) else None
    raid = given.upper() if isinstance(given, str) else ""
    if len(disks) < (fewest := _FEWEST_DISKS.get(raid, 0)):
        found.add(
            path, f"{own} {raid} needs at least {fewest} disks, and this list has {len(disks)}"
        )
    elif own == "zfs" and raid == "RAID10" and len(disks) % 2:
        found.add(path, f"zfs RAID10 needs an even number of disks, and this list has {len(disks)}")


# --- What works, but deserves attention --------------------------------------------------------


def warnings(answer: Answer) -> list[str]:
    """Of an answer that has no problems."""
    return [f"{path}: {sentence}." for path, sentence in _remarks(answer)]


def _remarks(answer: Answer) -> Iterable[tuple[str, str]]:
    fqdn, network, disks = answer["global"]["fqdn"], answer["network"], answer["disk-setup"]
    if isinstance(fqdn, Mapping) and not fqdn.get("domain"):
        yield "global.fqdn", "the installation fails where DHCP gives no domain beside the name"
    if len(network.get("filter", {})) > 1:
        yield "network.filter", "one matching entry is enough to pick an interface"
    if disks["filesystem"] == "btrfs":
        yield "disk-setup.filesystem", "Proxmox calls btrfs a technology preview"
    if disks.get("filter") and disks.get("filter-match") == "all":
        if _TABLE_OF[disks["filesystem"]] == "lvm":
            rule = f"makes no difference with {disks['filesystem']}: one matching entry is enough"
        else:
            rule = "takes a disk that lacks one of the properties for a match"
        yield "disk-setup.filter-match", rule


# --- Where a prepared config says it -----------------------------------------------------------

CONFIG_FIELD: Mapping[str, str] = {
    **{
        f"global.{key}": key
        for key in (
            *("country", "fqdn", "keyboard", "mailto", "timezone", "root-password"),
            *("root-password-hashed", "reboot-on-error", "reboot-mode", "root-ssh-keys"),
            "subscription-key",
        )
    },
    "global.fqdn.source": "use-dhcp-fqdn",
    "global.fqdn.domain": "dhcp-fqdn-domain",
    "network": "use-dhcp-network",
    "network.source": "use-dhcp-network",
    **{f"network.{key}": key for key in ("cidr", "dns", "gateway")},
    "network.filter": "netdev-filter",
    "network.interface-name-pinning": "netif-name-pinning-enabled",
    "network.interface-name-pinning.mapping": "netif-name-mapping",
    "disk-setup": "disk-mode",
    "disk-setup.filesystem": "filesystem",
    "disk-setup.disk-list": "disk-list",
    "disk-setup.filter": "disk-filter",
    "disk-setup.filter-match": "disk-filter-match",
    **{f"disk-setup.{table}": "filesystem" for table in OPTIONS},
    **{
        f"disk-setup.{table}.{key}": f"filesystem.{key}"
        for table, keys in OPTIONS.items()
        for key in keys
    },
    "post-installation-webhook": "post-hook-base-url",
    "post-installation-webhook.url": "post-hook-base-url",
    "post-installation-webhook.cert-fingerprint": "post-hook-cert-fp",
    "first-boot": "first-boot",
    **{f"first-boot.{key}": f"first-boot.{key}" for key in _FIRST_BOOT},
}


def config_field(path: str) -> str:
    """The key of the prepared config that sets this path of the answer, by its longest known prefix."""
    known = path
    while known and known not in CONFIG_FIELD:
        known = known.rpartition(".")[0]
    return CONFIG_FIELD.get(known, path)
