"""What an installer tells of its machine: the body of `POST .../answer`, checked and made uniform.

Shape as sent by proxmox-fetch-answer 8.2 to 9.2 (payload schema 1.0). `$schema` came with 8.2.8, MAC
addresses are upper-case since 9.2: they are made upper-case here, so that filters and templates see
the same for every version. Keys that a newer installer adds are kept.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from autoinstall.installers import Version, installer_version

Info = dict[str, Any]


class MalformedInfo(ValueError):
    """One sentence that says what is wrong with the body, and where."""


@dataclass(frozen=True, slots=True)
class SystemInfo:
    """`info` is the body without `$schema`; `identity` names the machine, or is empty."""

    info: Info
    product: str
    release: str
    identity: str
    serial: str

    @property
    def installer(self) -> Version:
        return installer_version(self.product, self.info["iso"]["release"])


def read_system_info(raw: bytes) -> SystemInfo:
    """Raises MalformedInfo."""
    body = _parse(raw)
    _check_shape(body)
    if b"\\u0000" in raw and (where := place_of_null(body)):
        raise MalformedInfo(f"{where}: must not hold a null character.")
    body.pop("$schema", None)
    for card in body["network_interfaces"]:
        card["mac"] = card["mac"].upper()
    return SystemInfo(
        info=body,
        product=body["product"]["product"],
        release=f"{body['iso']['release']}-{body['iso']['isorelease']}",
        identity=identity_of(body),
        serial=str(body["dmi"]["system"].get("serial", "")),
    )


def of_stored(raw: str) -> SystemInfo:
    """The system information of an attempt that was well formed."""
    return read_system_info(raw.encode())


# --- JSON --------------------------------------------------------------------------------------


def _parse(raw: bytes) -> Info:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise MalformedInfo(f"The body is not valid JSON: {error}.") from None
    if not isinstance(body, dict):
        raise MalformedInfo("The body must be a JSON object with the system information.")
    if raw.count(b"{") + raw.count(b"[") > MANY_HOLDERS and is_too_deep(body):
        raise MalformedInfo("The body is nested too deeply.")
    # Written again it is the same, as what the installers send is: then nothing was dropped.
    if orjson.dumps(body) != raw and _may_repeat_a_key(raw, body):
        _refuse_repeated_keys(raw)
    return body


_END_OF_KEY = re.compile(rb'"\s*:')


def _may_repeat_a_key(raw: bytes, body: Info) -> bool:
    """Whether a key may be there twice, of which the parser silently takes the last: then the bytes hold
    more ends of keys than the parsed body has keys."""
    keys = 0
    stack: list[Any] = [body]
    while stack:
        value = stack.pop()
        if type(value) is dict:
            keys += len(value)
            stack += [item for item in value.values() if type(item) in _CONTAINERS]
        else:
            stack += [item for item in value if type(item) in _CONTAINERS]
    return len(_END_OF_KEY.findall(raw)) != keys


_CONTAINERS = (dict, list)


def _refuse_repeated_keys(raw: bytes) -> None:
    def distinct(pairs: list[tuple[str, Any]]) -> None:
        seen = set()
        for key, _ in pairs:
            if key in seen:
                raise MalformedInfo(f"The body has the key {key[:64]!r} twice.")
            seen.add(key)

    json.loads(raw, object_pairs_hook=distinct)


MANY_HOLDERS = 200  # with fewer objects and lists, no nesting is a danger to anything
MOST_LEVELS = 32  # an installer sends four, its report five


def is_too_deep(value: object) -> bool:
    """Nested so deeply that whatever walks through it later would fail."""
    stack: list[tuple[Any, int]] = [(value, 1)]
    while stack:
        holder, level = stack.pop()
        if level > MOST_LEVELS:
            return True
        members = holder.values() if isinstance(holder, dict) else holder
        stack += [(item, level + 1) for item in members if type(item) in _CONTAINERS]
    return False


def place_of_null(value: object, path: str = "") -> str | None:
    """Where a null character is, which PostgreSQL stores in no text; None when there is none."""
    for name, item in _members(value):
        where = f"{path}.{name}" if path else name
        if "\x00" in name or (isinstance(item, str) and "\x00" in item):
            return where.replace("\x00", "?")
        if found := place_of_null(item, where):
            return found
    return None


def _members(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        yield from ((str(key), item) for key, item in value.items())
    elif isinstance(value, list):
        yield from ((str(index), item) for index, item in enumerate(value))


# --- Shape -------------------------------------------------------------------------------------


def _check_shape(body: Info) -> None:
    product = _object(body, "product")
    if not _text(product, "product", "product.product"):
        raise MalformedInfo("product.product: must not be empty.")
    _text(product, "fullname", "product.fullname")
    if not isinstance(product.get("enable_btrfs", False), bool):
        raise MalformedInfo("product.enable_btrfs: must be true or false.")
    iso = _object(body, "iso")
    _text(iso, "release", "iso.release")
    _text(iso, "isorelease", "iso.isorelease")
    dmi = _object(body, "dmi")
    for part in ("system", "baseboard", "chassis"):
        for key, value in _object(dmi, part, f"dmi.{part}").items():
            if type(value) is not str:
                raise MalformedInfo(f"dmi.{part}.{key[:64]}: must be a string.")
    cards = _present(body, "network_interfaces", "network_interfaces")
    if not isinstance(cards, list):
        raise MalformedInfo("network_interfaces: must be a list.")
    for index, card in enumerate(cards):
        if not isinstance(card, dict):
            raise MalformedInfo(f"network_interfaces.{index}: must be an object.")
        for key in ("link", "mac"):
            if type(card.get(key)) is not str:
                _text(card, key, f"network_interfaces.{index}.{key}")
    schema = body.get("$schema", {})
    if not isinstance(schema, dict) or not isinstance(schema.get("version", ""), str):
        raise MalformedInfo("$schema: must be an object whose version is a string.")


def _present(holder: Info, key: str, path: str) -> Any:
    if key not in holder:
        raise MalformedInfo(f"{path}: is missing.")
    return holder[key]


def _object(holder: Info, key: str, path: str = "") -> Info:
    value = _present(holder, key, path or key)
    if not isinstance(value, dict):
        raise MalformedInfo(f"{path or key}: must be an object.")
    return value


def _text(holder: Info, key: str, path: str) -> str:
    value = _present(holder, key, path)
    if not isinstance(value, str):
        raise MalformedInfo(f"{path}: must be a string.")
    return value


# --- Which machine -----------------------------------------------------------------------------

# What firmware says where nobody wrote a serial number, compared in lower case. Collected from DMI
# tables of common boards and virtual machines.
PLACEHOLDERS = frozenset(
    {
        *(
            "",
            "0",
            "none",
            "n/a",
            "na",
            "null",
            "unknown",
            "undefined",
            "default string",
            "default",
        ),
        *("to be filled by o.e.m.", "to be filled by oem", "not specified", "not available"),
        *(
            "not applicable",
            "system serial number",
            "serial number",
            "empty",
            "invalid",
            "oem",
            "o.e.m.",
        ),
        *(
            "chassis serial number",
            "base board serial number",
            "xxxxxxx",
            "123456789",
            "0123456789",
        ),
        *(
            "1234567890",
            "1234567",
            "01234567890123456789",
            "01234567",
            "sernum0",
            "n.a.",
            "ser",
            "-",
            ".",
        ),
    }
)
# UUIDs that whole series of boards share.
SHARED_UUIDS = frozenset(
    {
        *("03000200-0400-0500-0006-000700080009", "00020003-0004-0005-0006-000700080009"),
        "12345678-1234-5678-90ab-cddeefaabbcc",
        "00112233-4455-6677-8899-aabbccddeeff",
        *("01234567-8910-1112-1314-151617181920", "fefefefe-fefe-fefe-fefe-fefefefefefe"),
        "12345678-1234-1234-1234-123456789012",
    }
)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
MAX_IDENTITY = 200
_MAC = re.compile(r"[0-9A-F]{2}(:[0-9A-F]{2}){5,19}")


def identity_of(info: Info) -> str:
    """The DMI UUID; else serial number and MAC addresses; else nothing. Placeholders name nobody."""
    system = info["dmi"]["system"]
    if uuid := real_uuid(system.get("uuid", "")):
        return f"uuid {uuid}"
    serial = real_serial(system.get("serial", ""))
    macs = sorted({card["mac"] for card in info["network_interfaces"] if _is_real(card["mac"])})
    parts = ([f"serial {serial}"] if serial else []) + ([f"mac {','.join(macs)}"] if macs else [])
    identity = " ".join(parts)
    if len(identity) > MAX_IDENTITY:
        identity = f"sha256 {hashlib.sha256(identity.encode()).hexdigest()}"
    return identity


def real_uuid(text: str) -> str:
    """The UUID in lower case, or nothing for one that says nothing."""
    uuid = text.strip().lower()
    digits = set(uuid) - {"-"}
    return uuid if _UUID.fullmatch(uuid) and len(digits) > 1 and uuid not in SHARED_UUIDS else ""


def real_serial(text: str) -> str:
    serial = text.strip()
    is_placeholder = serial.lower() in PLACEHOLDERS or not set(serial.lower()) - set("0.x -_*f")
    return "" if is_placeholder else serial


def _is_real(mac: str) -> bool:
    return bool(_MAC.fullmatch(mac)) and len(set(mac) - {":"}) > 1
