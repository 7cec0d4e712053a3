"""What machines tell of themselves, as facts and tables. It comes from outside: any part may be missing or
of another type than it should be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

MOST_ROWS = 100
MOST_MORE = 40
KNOWN = frozenset({"product", "iso", "dmi", "network_interfaces"})


@dataclass(frozen=True)
class Table:
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    left_out: int = 0


@dataclass(frozen=True)
class Sheet:
    """Facts are `(label, value)`; what is empty is not among them."""

    facts: Sequence[tuple[str, str]] = ()
    tables: Sequence[Table] = field(default=())


def hardware(info: dict[str, Any]) -> Sheet:
    """Of the system information that came with the request."""
    facts = [
        ("Model", text(info, "dmi", "system", "name")),
        ("Serial", text(info, "dmi", "system", "serial")),
        ("UUID", text(info, "dmi", "system", "uuid")),
        ("SKU", text(info, "dmi", "system", "sku")),
        ("Board", joined(info, ("dmi", "baseboard"), "name", "serial", "asset_tag")),
        ("Chassis", joined(info, ("dmi", "chassis"), "serial", "sku", "asset_tag")),
        ("Installer", installer(info)),
        *more(info),
    ]
    cards = table(
        "Network interfaces",
        items(info, "network_interfaces"),
        [("Name", ("link",)), ("MAC address", ("mac",))],
    )
    return Sheet(present(facts), cards)


def installer(info: dict[str, Any]) -> str:
    release = "-".join(
        filter(None, (text(info, "iso", "release"), text(info, "iso", "isorelease")))
    )
    name = text(info, "product", "fullname") or text(info, "product", "product")
    return f"{name} {release}".strip()


def more(info: dict[str, Any]) -> list[tuple[str, str]]:
    """What newer installers add: CPU, memory or whatever it will be, flat."""
    flat = [pair for key in info if key not in KNOWN for pair in flattened(key, info[key])]
    return flat[:MOST_MORE]


def flattened(path: str, value: Any) -> Iterable[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from flattened(f"{path} / {key}", item)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from flattened(f"{path} / {number}", item)
    else:
        yield path, shown(value)


def report(data: dict[str, Any]) -> Sheet:
    """Of what the installed machine posted (`proxmox-post-hook`, payload schema 1.2)."""
    kernel = text(data, "kernel-version", "release") or text(data, "kernel-version")
    facts = [
        ("Name", text(data, "fqdn")),
        ("Product", joined(data, ("product",), "fullname", "version")),
        ("Machine id", text(data, "machine-id")),
        ("File system", text(data, "filesystem")),
        ("Processor", processor(data)),
        ("Boot", boot(data)),
        ("Kernel", kernel),
        ("Debian", text(data, "debian-version")),
        ("After installing", text(data, "reboot-mode")),
    ]
    return Sheet(present(facts), [*disks(data), *interfaces(data), *host_keys(data)])


def processor(data: dict[str, Any]) -> str:
    cpu = ("cpu-info",)
    counts = [
        f"{count} {word}{'' if count == '1' else 's'}"
        for key, word in (("sockets", "socket"), ("cores", "core"), ("cpus", "thread"))
        if (count := text(data, *cpu, key))
    ]
    return ", ".join(filter(None, (text(data, *cpu, "model"), *counts)))


def boot(data: dict[str, Any]) -> str:
    mode = text(data, "boot-info", "mode")
    return f"{mode}, secure boot" if text(data, "boot-info", "secureboot") == "yes" else mode


def disks(data: dict[str, Any]) -> list[Table]:
    udev = "udev-properties"
    return table(
        "Disks",
        [{**disk, "size": size(disk.get("size"))} for disk in items(data, "disks")],
        [
            ("Device", (udev, "DEVNAME")),
            ("Size", ("size",)),
            ("Model", (udev, "ID_MODEL")),
            ("Serial", (udev, "ID_SERIAL_SHORT")),
            ("Boot disk", ("is-bootdisk",)),
        ],
    )


def interfaces(data: dict[str, Any]) -> list[Table]:
    return table(
        "Network interfaces",
        items(data, "network-interfaces"),
        [
            ("Name", ("name",)),
            ("MAC address", ("mac",)),
            ("Address", ("address",)),
            ("Management", ("is-management",)),
            ("Driver", ("udev-properties", "ID_NET_DRIVER")),
        ],
    )


def host_keys(data: dict[str, Any]) -> list[Table]:
    keys = data.get("ssh-public-host-keys")
    rows = [{"key": value} for value in keys.values()] if isinstance(keys, dict) else []
    return table("SSH host keys", rows, [("Public key", ("key",))])


# --- Parts of JSON -----------------------------------------------------------------------------


def table(
    title: str, rows: Sequence[dict[str, Any]], columns: Sequence[tuple[str, tuple[str, ...]]]
) -> list[Table]:
    """One table, or none without rows; a column that is empty in every row is left out."""
    cells = [[text(row, *path) for _, path in columns] for row in rows[:MOST_ROWS]]
    kept = [place for place in range(len(columns)) if any(row[place] for row in cells)]
    if not kept:
        return []
    return [
        Table(
            title,
            [columns[place][0] for place in kept],
            [[row[place] for place in kept] for row in cells],
            max(0, len(rows) - MOST_ROWS),
        )
    ]


def text(holder: Any, *path: str) -> str:
    """The value at the end of the path, or nothing."""
    for key in path:
        holder = holder.get(key) if isinstance(holder, dict) else None
    return "" if isinstance(holder, dict | list) else shown(holder)


def shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def items(holder: dict[str, Any], key: str) -> list[dict[str, Any]]:
    found = holder.get(key)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def joined(holder: dict[str, Any], path: tuple[str, ...], *keys: str) -> str:
    return ", ".join(filter(None, (text(holder, *path, key) for key in keys)))


def present(facts: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(label, value) for label, value in facts if value]


def size(count: Any) -> str:
    """Bytes as disks are sold: powers of ten."""
    if not isinstance(count, int | float) or isinstance(count, bool):
        return shown(count) if isinstance(count, str) else ""
    for unit, one in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= one:
            return f"{count / one:.4g} {unit}"
    return f"{count:g} B"
