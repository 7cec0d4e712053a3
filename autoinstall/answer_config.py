"""What an answer in the installer's schema says of a prepared config, and where. Pure.

`answers.skeleton` is the way back. Wrong values are carried over as they are: to name them is for
`rules` and `documents`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autoinstall import rules

Table = dict[str, Any]
SAME_NAME = (
    *("country", "keyboard", "mailto", "timezone", "reboot-on-error", "reboot-mode"),
    *("root-ssh-keys", "subscription-key"),
)


def table_at(table: Mapping[str, Any], key: str) -> Table:
    """The table below this key; an empty one where there is none, or something else."""
    found = table.get(key)
    return found if isinstance(found, dict) else {}


def in_current_form(answer: Table) -> Table:
    """As 9.2 wants it: before, DHCP needed no `source`, and RAID levels may still be in small letters."""
    result = dict(answer)
    if isinstance(result.get("network"), dict):
        result["network"] = {"source": "from-dhcp", **result["network"]}
    for name in ("zfs", "btrfs"):
        options = table_at(table_at(result, "disk-setup"), name)
        if isinstance(options.get("raid"), str) and options["raid"].islower():
            options = {**options, "raid": options["raid"].upper()}
            result["disk-setup"] = {**result["disk-setup"], name: options}
    return result


def config_of(answer: Mapping[str, Any]) -> Table:
    """The fields that the answer sets, but for the hook's URL. Wrong values stay as they are."""
    first_boot = _with_colons(table_at(answer, "first-boot"))
    fingerprint = _with_colons(table_at(answer, "post-installation-webhook")).get(
        "cert-fingerprint"
    )
    return {
        **_of_global(table_at(answer, "global")),
        **_of_network(table_at(answer, "network")),
        **_of_disks(table_at(answer, "disk-setup")),
        **({"first-boot": first_boot} if first_boot else {}),
        **({"post-hook-cert-fp": fingerprint} if fingerprint else {}),
    }


def _of_global(table: Table) -> Table:
    config: Table = {key: table[key] for key in SAME_NAME if key in table}
    fqdn = table.get("fqdn")
    if isinstance(fqdn, dict):
        config["use-dhcp-fqdn"] = True
        config |= {"dhcp-fqdn-domain": fqdn["domain"]} if "domain" in fqdn else {}
    elif fqdn is not None:
        config |= {"use-dhcp-fqdn": False, "fqdn": fqdn}
    return config


def _of_network(table: Table) -> Table:
    config: Table = {key: table[key] for key in ("cidr", "dns", "gateway") if key in table}
    if table:
        config["use-dhcp-network"] = table.get("source") != "from-answer"
    if "filter" in table:
        config["netdev-filter"] = table["filter"]
    pinning = table_at(table, "interface-name-pinning")
    if "enabled" in pinning:
        config["netif-name-pinning-enabled"] = pinning["enabled"]
    if "mapping" in pinning:
        config["netif-name-mapping"] = pinning["mapping"]
    return config


def _of_disks(table: Table) -> Table:
    config: Table = {}
    if table:
        config["disk-mode"] = "filter" if table.get("filter") else "fixed"
    if "filesystem" in table:
        options = table_at(table, rules.options_table(table["filesystem"]))
        config["filesystem"] = {**options, "filesystem": table["filesystem"]}
    for key in ("disk-list", "filter", "filter-match"):
        if table.get(key):
            config[key if key == "disk-list" else f"disk-{key}"] = table[key]
    return config


def _with_colons(table: Table) -> Table:
    """An answer may leave them out of a fingerprint, a config may not."""
    digits = str(table.get("cert-fingerprint", "")).replace(":", "")
    if len(digits) != 64:
        return table
    pairs = (digits[at : at + 2] for at in range(0, 64, 2))
    return {**table, "cert-fingerprint": ":".join(pairs)}


_PATHS = {field: path for path, field in rules.CONFIG_FIELD.items() if "." not in field}


def path_of(field: str, answer: Mapping[str, Any]) -> str:
    """The path of the answer that sets this field of the config."""
    name, dot, rest = field.partition(".")
    if name == "filesystem":
        disks = table_at(answer, "disk-setup")
        options = rules.options_table(disks.get("filesystem"))
        return f"disk-setup.{options}.{rest}" if rest and options else "disk-setup.filesystem"
    return f"{_PATHS.get(name, name)}{dot}{rest}"
