"""Machines that have asked: what filters can be made of them, and a config for one of them."""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q

from autoinstall.filters import compile_filter
from autoinstall.models import Attempt
from autoinstall.sysinfo import MalformedInfo, SystemInfo, of_stored, real_serial, real_uuid
from provisioning.errors import NotFound

Wire = dict[str, Any]
LOOKED_AT = 200  # attempts, newest first
MOST_VALUES = 25  # suggested for one pointer
MOST_POINTERS = 60
LONGEST = 100  # characters of a suggested value


@dataclass(frozen=True)
class Machine:
    """A machine as it last asked."""

    attempt: uuid.UUID
    received_at: datetime
    info: SystemInfo
    source: str
    outcome: str

    @property
    def model(self) -> str:
        return str(self.info.info["dmi"]["system"].get("name", ""))

    @property
    def macs(self) -> list[str]:
        return [card["mac"] for card in self.info.info["network_interfaces"]]

    @property
    def title(self) -> str:
        named = (self.info.serial or "no serial number", self.model, f"from {self.source}")
        return ", ".join(filter(None, named))

    def has(self, text: str) -> bool:
        places = (self.title, self.info.identity, str(self.attempt), *self.macs)
        return any(text.lower() in place.lower() for place in places)


def machines_seen(text: str = "") -> list[Machine]:
    """Those of the last attempts that brought system information, each once, the newest first; with
    `text` those that have it in serial number, model, address or id."""
    text = text.strip().replace("\x00", "")
    rows = Attempt.objects.exclude(product="").order_by("-id")
    found = _machines(rows[:LOOKED_AT])
    if text:
        found = [machine for machine in found if machine.has(text)]
        found = found or _machines(rows.filter(_exactly(text))[:LOOKED_AT])
    return found


def _exactly(text: str) -> Q:
    """For a machine that asked long ago."""
    wanted = Q(identity=text) | Q(identity=f"uuid {text.lower()}")
    try:
        return wanted | Q(pk=uuid.UUID(text))
    except ValueError:
        return wanted


def _machines(rows: Any) -> list[Machine]:
    fields = ("id", "received_at", "raw", "source", "identity", "outcome")
    machines: list[Machine] = []
    known: set[str] = set()
    for row in rows.only(*fields):
        if row.identity and row.identity in known:
            continue
        known.add(row.identity)
        try:
            info = of_stored(row.raw)
        except MalformedInfo:  # stored by an older release with other rules
            continue
        machines.append(Machine(row.id, row.received_at, info, row.source, row.outcome))
    return machines


# --- Filters -----------------------------------------------------------------------------------


def suggestions(machines: Sequence[Machine]) -> dict[str, list[str]]:
    """Pointer -> the values that stand there, the most frequent first."""
    values: dict[str, Counter[str]] = {}
    for machine in machines:
        for pointer, value in set(_leaves(machine.info.info)):
            values.setdefault(pointer, Counter())[value] += 1
    return {
        pointer: [value for value, _ in values[pointer].most_common(MOST_VALUES)]
        for pointer in sorted(values)[:MOST_POINTERS]
    }


def _leaves(value: object, pointer: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            step = key.replace("~", "~0").replace("/", "~1")
            yield from _leaves(item, f"{pointer}/{step}")
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, f"{pointer}/*")
    elif isinstance(value, bool):
        yield f"json:{pointer}", "true" if value else "false"
    elif isinstance(value, str) and 0 < len(value) <= LONGEST:
        yield pointer, literal(value)


def literal(text: str) -> str:
    """The pattern that matches this text and nothing else."""
    return re.sub(r"([*?\[])", r"[\1]", text)


@dataclass(frozen=True)
class Reach:
    """How many of the machines seen a target filter matches: all of it, and each entry."""

    machines: int
    matched: int
    each: list[int]


def reach(rows: Sequence[tuple[str, str]], machines: Sequence[Machine]) -> Reach:
    filters = [compile_filter(*row) for row in rows]
    verdicts = [[one.matches(machine.info.info) for one in filters] for machine in machines]
    return Reach(
        machines=len(machines),
        matched=sum(bool(one) and all(one) for one in verdicts),
        each=[sum(one[index] for one in verdicts) for index in range(len(filters))],
    )


# --- A config for one machine ------------------------------------------------------------------


def config_for(attempt_id: str) -> Wire:
    """The beginning of a config for the machine of this attempt: what is known of it. Raises NotFound."""
    try:
        attempt = Attempt.objects.filter(pk=uuid.UUID(attempt_id)).first()
    except ValueError:
        attempt = None
    if attempt is None or not attempt.product:
        raise NotFound("There is no such attempt, or it brought no system information.")
    info = of_stored(attempt.raw)
    wire: Wire = {"id": _name_for(info), "target-filter": _filter_for(info)}
    cards = info.info["network_interfaces"]
    if cards:
        mac = cards[0]["mac"].replace(":", "").lower()
        wire["netdev-filter"] = {"ID_NET_NAME_MAC": f"*{mac}"}
    if attempt.token_name:
        wire["authorized-tokens"] = [attempt.token_name]
    return {**wire, **_as_reported(attempt)}


def _filter_for(info: SystemInfo) -> dict[str, str]:
    system = info.info["dmi"]["system"]
    if real_uuid(system.get("uuid", "")):
        return {"/dmi/system/uuid": literal(system["uuid"])}
    if real_serial(info.serial):
        return {"/dmi/system/serial": literal(info.serial)}
    cards = info.info["network_interfaces"]
    return {"/network_interfaces/*/mac": cards[0]["mac"]} if cards else {}


def _name_for(info: SystemInfo) -> str:
    known = real_serial(info.serial) or info.info["dmi"]["system"].get("uuid", "")
    name = re.sub(r"[^a-z0-9]+", "-", known.lower()).strip("-")
    return f"machine-{name}"[:64] if name else ""


_FILESYSTEM = re.compile(r"(ext4|xfs|zfs|btrfs)(?: \((\S+)\))?")


def _as_reported(attempt: Attempt) -> Wire:
    """Its disks and its name, where it was installed before and has told them."""
    same = Attempt.objects.filter(identity=attempt.identity) if attempt.identity else None
    report = attempt.hook_data or (
        same.exclude(hook_data=None).order_by("-id").values_list("hook_data", flat=True).first()
        if same is not None
        else None
    )
    if not isinstance(report, Mapping):
        return {}
    wire: Wire = {}
    if isinstance(name := report.get("fqdn"), str) and "." in name:
        wire["fqdn"] = name
    disks = [_disk_name(one) for one in report.get("disks") or [] if isinstance(one, Mapping)]
    if named := [disk for disk in disks if disk]:
        wire["disk-list"] = named
    if found := _FILESYSTEM.fullmatch(str(report.get("filesystem", ""))):
        raid = {"raid": found[2]} if found[2] else {}
        wire["filesystem"] = {"filesystem": found[1], **raid}
    return wire


def _disk_name(disk: Mapping[str, Any]) -> str:
    properties = disk.get("udev-properties")
    if not disk.get("is-bootdisk") or not isinstance(properties, Mapping):
        return ""
    return str(properties.get("DEVNAME", "")).removeprefix("/dev/")
