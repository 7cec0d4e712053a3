"""An answer as the installer reads it: strictly, and sharing no line with the product.

Written from what is known of the wire: which keys there are and of which type, since which installer,
how they are spelled, and which combinations stop an installation. Made to accept what we serve, and
nothing that an installer would stumble over.
"""

from __future__ import annotations

import ipaddress
import json
import re
import tomllib
import zoneinfo
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

Version = tuple[int, int]
Table = dict[str, Any]
NEWEST: Version = (9, 2)
# Before this one every key is spelled with '_', but for the names of sections.
KEBAB: Version = (8, 4)

KEYBOARDS = (
    *("de", "de-ch", "dk", "en-gb", "en-us", "es", "fi", "fr", "fr-be", "fr-ca", "fr-ch", "hu"),
    *("is", "it", "jp", "lt", "mk", "nl", "no", "pl", "pt", "pt-br", "se", "si", "tr"),
)


class Refused(ValueError):
    """The installation would stop here."""


# --- Values ------------------------------------------------------------------------------------


def of(*types: type) -> Callable[[Any], bool]:
    """Exactly one of these types: true is no number."""
    return lambda value: type(value) in types


def one_of(*words: str) -> Callable[[Any], bool]:
    return lambda value: value in words and type(value) is str


def number(
    least: float, most: float = float("inf"), *, whole: bool = False
) -> Callable[[Any], bool]:
    kinds = (int,) if whole else (int, float)
    return lambda value: type(value) in kinds and least <= value <= most


def pattern(expression: str) -> Callable[[Any], bool]:
    compiled = re.compile(expression)
    return lambda value: type(value) is str and compiled.fullmatch(value) is not None


def strings(value: Any) -> bool:
    return type(value) is list and all(type(item) is str for item in value)


def udev(value: Any) -> bool:
    return type(value) is dict and all(
        re.fullmatch("[A-Z_]+", key) and type(glob) is str for key, glob in value.items()
    )


def fqdn(value: Any) -> bool:
    if type(value) is not str or len(value) > 253:
        return False
    labels = value.split(".")
    label = re.compile("[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
    return len(labels) >= 2 and all(map(label.fullmatch, labels)) and not labels[0].isdigit()


def cidr(value: Any) -> bool:
    try:
        return type(value) is str and "/" in value and bool(ipaddress.ip_interface(value))
    except ValueError:
        return False


def address(value: Any) -> bool:
    try:
        return type(value) is str and bool(ipaddress.ip_address(value))
    except ValueError:
        return False


def country(value: Any) -> bool:
    rows = resources.files("tzdata").joinpath("zoneinfo", "iso3166.tab").read_text()
    return type(value) is str and bool(re.search(rf"^{re.escape(value.upper())}\t", rows, re.M))


def time_zone(value: Any) -> bool:
    if type(value) is not str or value.startswith("Etc/"):
        return False
    return value == "UTC" or ("/" in value and value in zoneinfo.available_timezones())


def mail(value: Any) -> bool:
    label = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    is_address = pattern(rf"[a-zA-Z0-9.!#$%&'*+/=?^_`{{|}}~-]+@{label}(?:\.{label})*")
    return is_address(value) and value != "mail@example.invalid"


FINGERPRINT = pattern("[0-9A-Fa-f]{2}(:?[0-9A-Fa-f]{2}){31}")
TEXT, FLAG = of(str), of(bool)


# --- Keys --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Key:
    accepts: Callable[[Any], bool]
    required: bool = False
    since: Version = (8, 2)
    has_alias: bool = False  # installers of today still read it with '_'
    may_be_null: bool = False


GLOBAL: Mapping[str, Key] = {
    "country": Key(country, required=True),
    "fqdn": Key(lambda value: fqdn(value) or type(value) is dict, required=True),
    "keyboard": Key(one_of(*KEYBOARDS), required=True),
    "mailto": Key(mail, required=True),
    "timezone": Key(time_zone, required=True),
    "root-password": Key(
        lambda value: TEXT(value) and len(value.encode()) >= 8, has_alias=True, may_be_null=True
    ),
    "root-password-hashed": Key(
        pattern(r"\$[0-9a-z]+\$[^\s:]+"), since=(8, 3), has_alias=True, may_be_null=True
    ),
    "reboot-on-error": Key(FLAG, has_alias=True),
    "reboot-mode": Key(one_of("reboot", "power-off"), since=(9, 0), has_alias=True),
    "root-ssh-keys": Key(strings, has_alias=True),
    "subscription-key": Key(
        pattern("(pve[0-9]+|pbs|pmg)[cbsp]-[0-9a-f]{10}"),
        since=(9, 2),
        has_alias=True,
        may_be_null=True,
    ),
}
FQDN: Mapping[str, Key] = {
    "source": Key(one_of("from-dhcp")),
    "domain": Key(TEXT, may_be_null=True),
}
NETWORK: Mapping[str, Key] = {
    "source": Key(one_of("from-dhcp", "from-answer"), required=True),
    "cidr": Key(cidr),
    "dns": Key(address),
    "gateway": Key(address),
    "filter": Key(udev),
    "interface-name-pinning": Key(of(dict), since=(9, 1)),
}
PINNING: Mapping[str, Key] = {"enabled": Key(FLAG, required=True), "mapping": Key(of(dict))}
SIZE, BIG_SIZE = number(0), number(2)
OPTIONS: Mapping[str, Mapping[str, Key]] = {
    "lvm": {
        "hdsize": Key(BIG_SIZE),
        "swapsize": Key(SIZE),
        "maxroot": Key(BIG_SIZE),
        "maxvz": Key(SIZE),
        "minfree": Key(SIZE),
    },
    "zfs": {
        "raid": Key(one_of("RAID0", "RAID1", "RAID10", "RAIDZ-1", "RAIDZ-2", "RAIDZ-3")),
        "ashift": Key(number(9, 16, whole=True)),
        "arc-max": Key(number(64, whole=True), has_alias=True),
        "checksum": Key(one_of("on", "fletcher4", "sha256")),
        "compress": Key(one_of("on", "off", "lzjb", "lz4", "zle", "gzip", "zstd")),
        "copies": Key(number(1, 3, whole=True)),
        "hdsize": Key(BIG_SIZE),
    },
    "btrfs": {
        "raid": Key(one_of("RAID0", "RAID1", "RAID10")),
        "compress": Key(one_of("on", "off", "zlib", "lzo", "zstd"), since=(8, 3)),
        "hdsize": Key(BIG_SIZE),
    },
}
TABLE_OF = {"ext4": "lvm", "xfs": "lvm", "zfs": "zfs", "btrfs": "btrfs"}
DISKS: Mapping[str, Key] = {
    "filesystem": Key(one_of(*TABLE_OF), required=True),
    "disk-list": Key(strings, has_alias=True),
    "filter": Key(udev),
    "filter-match": Key(one_of("any", "all"), has_alias=True),
    **{name: Key(of(dict)) for name in OPTIONS},
}
HOOK: Mapping[str, Key] = {
    "url": Key(pattern(r"https?://[^\s/]+\S*"), required=True),
    "cert-fingerprint": Key(FINGERPRINT, has_alias=True, may_be_null=True),
    "auth-token": Key(TEXT, since=(9, 2), has_alias=True, may_be_null=True),
}
FIRST_BOOT: Mapping[str, Key] = {
    "source": Key(one_of("from-url", "from-iso"), required=True),
    "ordering": Key(one_of("before-network", "network-online", "fully-up")),
    "url": Key(pattern(r"https?://\S+"), may_be_null=True),
    "cert-fingerprint": Key(FINGERPRINT, has_alias=True, may_be_null=True),
}
SECTIONS: Mapping[str, Key] = {
    "global": Key(of(dict), required=True),
    "network": Key(of(dict), required=True),
    "disk-setup": Key(of(dict), required=True),
    "post-installation-webhook": Key(of(dict), since=(8, 3)),
    "first-boot": Key(of(dict), since=(8, 3)),
}


# --- Reading -----------------------------------------------------------------------------------


def parse_json(raw: bytes) -> Table:
    """The answer, every key in kebab-case. Raises Refused."""

    def distinct(pairs: list[tuple[str, Any]]) -> Table:
        table = dict(pairs)
        if len(table) != len(pairs):
            raise Refused("a key is there twice")
        return table

    def no_constant(name: str) -> None:
        raise Refused(f"{name} is no JSON")

    try:
        answer = json.loads(raw, object_pairs_hook=distinct, parse_constant=no_constant)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise Refused(str(error)) from None
    return check(answer, NEWEST)


def parse_toml(raw: bytes, installer: Version = NEWEST) -> Table:
    """The same of TOML, as the installer of this release of Proxmox VE reads it."""
    try:
        answer = tomllib.loads(raw.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Refused(str(error)) from None
    return check(answer, installer)


def check(answer: Any, installer: Version) -> Table:
    if type(answer) is not dict:
        raise Refused("is no table")
    reader = Reader(installer)
    found = reader.table("", answer, SECTIONS)
    found["global"] = reader.table("global", found["global"], GLOBAL)
    found["network"] = reader.table("network", found["network"], NETWORK)
    found["disk-setup"] = reader.table("disk-setup", found["disk-setup"], DISKS)
    for name, keys in (("post-installation-webhook", HOOK), ("first-boot", FIRST_BOOT)):
        if name in found:
            found[name] = reader.table(name, found[name], keys)
    check_global(reader, found["global"])
    check_network(reader, found["network"])
    check_disks(reader, found["disk-setup"])
    boot = found.get("first-boot", {})
    if boot.get("source") == "from-url" and not boot.get("url"):
        raise Refused("first-boot: source is a URL, but there is none")
    return found


@dataclass(frozen=True)
class Reader:
    installer: Version

    def table(self, path: str, given: Table, keys: Mapping[str, Key]) -> Table:
        found: Table = {}
        for spelled, value in given.items():
            name = self.name_of(spelled, keys, is_section=not path)
            if name is None:
                raise Refused(f"{path}: unknown key {spelled!r}")
            if name in found:
                raise Refused(f"{path}: {name} in both spellings")
            key = keys[name]
            if self.installer < key.since:
                raise Refused(f"{path}: {name} came with {key.since}, not {self.installer}")
            if value is None and key.may_be_null:
                continue
            if not key.accepts(value):
                raise Refused(f"{path}.{name}: {value!r}")
            found[name] = value
        missing = [name for name, key in keys.items() if key.required and name not in found]
        if missing:
            raise Refused(f"{path}: {missing} missing")
        return found

    def name_of(self, spelled: str, keys: Mapping[str, Key], *, is_section: bool) -> str | None:
        if is_section or "-" not in spelled.replace("_", "-"):
            return spelled if spelled in keys else None
        if self.installer < KEBAB:
            name = spelled.replace("_", "-")
            return name if "-" not in spelled and name in keys else None
        if spelled in keys:
            return spelled
        name = spelled.replace("_", "-")
        return name if name in keys and keys[name].has_alias and "-" not in spelled else None


def check_global(reader: Reader, table: Table) -> None:
    if type(table["fqdn"]) is dict:
        if reader.installer < (9, 0):
            raise Refused("global.fqdn: a table came with 9.0")
        reader.table("global.fqdn", table["fqdn"], FQDN)
    if ("root-password" in table) == ("root-password-hashed" in table):
        raise Refused("global: exactly one of the two passwords")


def check_network(reader: Reader, table: Table) -> None:
    static = {"cidr", "dns", "gateway", "filter"}
    if table["source"] == "from-dhcp":
        if static & table.keys():
            raise Refused(f"network: {static & table.keys()} with from-dhcp")
    elif static - table.keys() or not table["filter"]:
        raise Refused(
            "network: from-answer needs cidr, dns, gateway and a filter that picks a card"
        )
    pinning = table.get("interface-name-pinning")
    if pinning is None:
        return
    mapping = reader.table("network.interface-name-pinning", pinning, PINNING).get("mapping", {})
    if len({name.lower() for name in mapping}) != len(mapping):
        raise Refused("network: a card is mapped twice")
    if len(set(mapping.values())) != len(mapping):
        raise Refused("network: two cards with one name")
    for mac, name in mapping.items():
        if not re.fullmatch("[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}", mac):
            raise Refused(f"network: {mac!r} is no MAC address")
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{1,20}([:.]\d+)?", name) or len(name) > 15:
            raise Refused(f"network: {name!r} is no name of an interface")


def check_disks(reader: Reader, table: Table) -> None:
    disks, filters = table.get("disk-list", []), table.get("filter", {})
    if bool(disks) == bool(filters):
        raise Refused("disk-setup: exactly one of disk-list and filter")
    if len(set(disks)) != len(disks):
        raise Refused("disk-setup: a disk is there twice")
    own = TABLE_OF[table["filesystem"]]
    if others := (OPTIONS.keys() - {own}) & table.keys():
        raise Refused(f"disk-setup: {others} with {table['filesystem']}")
    options = table[own] = reader.table(f"disk-setup.{own}", table.get(own, {}), OPTIONS[own])
    if own == "lvm":
        if len(disks) > 1:
            raise Refused("disk-setup: one disk only")
        if options.get("swapsize", 0) > options.get("hdsize", float("inf")) / 2:
            raise Refused("disk-setup: swap is more than half of the disk")
        return
    if "raid" not in options:
        raise Refused("disk-setup: raid must be set")
    fewest = {"RAID0": 1, "RAID1": 2, "RAID10": 4, "RAIDZ-1": 3, "RAIDZ-2": 4, "RAIDZ-3": 5}
    if disks and len(disks) < fewest[options["raid"]]:
        raise Refused("disk-setup: too few disks")
