"""Which installer an image carries, and the answer as that installer reads it. Pure.

Which installer knows which key follows the changelogs of pve-installer 8.2 to 9.2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Answer = dict[str, Any]
Version = tuple[int, int]


class CannotServe(ValueError):
    """This installer is too old for this config; one sentence says what it does not know."""


# --- Which installer ---------------------------------------------------------------------------

# Installer packages are numbered like Proxmox VE; the other products' images carry their own release
# numbers. For each: the release of the product that first came with this installer.
_INSTALLERS: Mapping[str, tuple[tuple[Version, Version], ...]] = {
    "pbs": (
        ((4, 2), (9, 2)),
        ((4, 1), (9, 1)),
        ((4, 0), (9, 0)),
        ((3, 4), (8, 4)),
        ((3, 3), (8, 3)),
    ),
    "pmg": (((9, 1), (9, 1)), ((9, 0), (9, 0)), ((8, 2), (8, 3))),
    "pdm": (((1, 1), (9, 2)), ((1, 0), (9, 1)), ((0, 9), (9, 0))),
}
OLDEST: Version = (8, 2)


def installer_version(product: str, release: str) -> Version:
    """The Proxmox VE release whose installer this image carries; the oldest when it cannot be told."""
    numbers = re.match(r"(\d{1,4})\.(\d{1,4})", release)
    if numbers is None:
        return OLDEST
    version = (int(numbers[1]), int(numbers[2]))
    if product not in _INSTALLERS:
        return version
    return next((has for since, has in _INSTALLERS[product] if version >= since), OLDEST)


# --- What which installer knows ----------------------------------------------------------------

HASHED_PASSWORD: Version = (8, 3)
KEBAB_KEYS: Version = (8, 4)
FQDN_TABLE: Version = (9, 0)
OF_TOML: Version = (9, 1)  # the last one that does not ask for JSON
_SINCE: tuple[tuple[tuple[str, ...], Version], ...] = (
    (("first-boot",), (8, 3)),
    (("post-installation-webhook",), (8, 3)),
    (("disk-setup", "btrfs", "compress"), (8, 3)),
    (("global", "reboot-mode"), (9, 0)),
    (("global", "subscription-key"), (9, 2)),
    (("network", "interface-name-pinning"), (9, 1)),
)
# Not reported as left out: what the installer does anyway.
_DEFAULTS = {("global", "reboot-mode"): "reboot", ("disk-setup", "btrfs", "compress"): "off"}


def fitted(
    answer: Answer, version: Version, kept_password: Callable[[], str | None]
) -> tuple[Answer, list[str]]:
    """The answer without the keys that this installer would refuse, and the paths left out (but for
    those that say what it does anyway). Raises CannotServe where it cannot do without.

    `kept_password` is called for an installer that takes no hash.
    """
    if version < FQDN_TABLE and isinstance(answer["global"]["fqdn"], dict):
        raise CannotServe(
            f"{_named(version)} cannot take its name from DHCP: use an image of 9.0 or newer, or set "
            "fqdn in the prepared config."
        )
    result, omitted = dict(answer), []
    for path, since in _SINCE:
        if version < since and (left_out := _taken_out(result, path)) is not None:
            omitted += [".".join(path)] if left_out != _DEFAULTS.get(path) else []
    if version < HASHED_PASSWORD:
        result["global"] = _with_password(result["global"], version, kept_password())
    return (result if version >= KEBAB_KEYS else snake_case(result)), omitted


def _named(version: Version) -> str:
    return f"The installer of Proxmox VE {version[0]}.{version[1]}"


def _taken_out(answer: Answer, path: tuple[str, ...]) -> Any:
    """Remove what is there, and leave the tables it was in to whoever shares them; None if nothing was."""
    *holders, key = path
    table = answer
    for name in holders:
        if name not in table:
            return None
        table[name] = dict(table[name])
        table = table[name]
    return table.pop(key, None)


def _with_password(table: Answer, version: Version, password: str | None) -> Answer:
    if password is None:
        raise CannotServe(
            f"{_named(version)} takes no hashed root password: use an image of 8.3 or newer, or set "
            "keep-root-password in the prepared config."
        )
    hashless = {key: value for key, value in table.items() if key != "root-password-hashed"}
    return {**hashless, "root-password": password}


_UDEV_MAPS = frozenset({"filter", "mapping"})


def snake_case(answer: Answer) -> Answer:
    """Installers before 8.4 spell keys with '_', but for the names of the sections."""
    return {section: _snake(values) for section, values in answer.items()}


def _snake(values: Mapping[str, Any]) -> Answer:
    return {
        key.replace("-", "_"): _snake(value)
        if isinstance(value, Mapping) and key not in _UDEV_MAPS
        else value
        for key, value in values.items()
    }
