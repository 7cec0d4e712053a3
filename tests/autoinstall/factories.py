"""Tokens, prepared configs and machines, with sensible values for what a test does not care about.

Fields of a config are given as on the wire, with `_` for `-` where Python wants it:
`make_config(target_filter={...})` is `make_config(**{"target-filter": {...}})`. None leaves a default out.
"""

from __future__ import annotations

import functools
import itertools
import json
from typing import Any

from django.conf import settings
from django.test import Client
from passlib.hash import sha512_crypt

from accounts.actor import Actor
from autoinstall.documents import Secrets, TokenCreate
from autoinstall.models import AnswerToken
from autoinstall.services import configs, tokens
from autoinstall.services.configs import Saved

ACTOR = Actor(name="tester")
MODEL = "Northwind R210"
ROOT_PASSWORD = "a-long-password"
# What proxmox-fetch-answer of 9.2 says it takes; older ones say nothing.
TAKES_JSON = "application/json, application/toml;q=0.5"
_numbers = itertools.count(1)


@functools.cache
def password_hash() -> str:
    """A real hash of ROOT_PASSWORD, made once and with few rounds."""
    return str(sha512_crypt.using(rounds=1000).hash(ROOT_PASSWORD))


def config_body(**wire: Any) -> dict[str, Any]:
    """A valid body for `POST .../prepared`: a ZFS mirror, network by DHCP, for machines of one MODEL."""
    body = {
        "id": f"config-{next(_numbers)}",
        "target-filter": {"/dmi/system/name": MODEL},
        "country": "at",
        "fqdn": "pve1.example.com",
        "keyboard": "de",
        "mailto": "ops@example.com",
        "timezone": "Europe/Vienna",
        "use-dhcp-network": True,
        "filesystem": {"filesystem": "zfs", "raid": "RAID1"},
        "disk-mode": "fixed",
        "disk-list": ["sda", "sdb"],
        "root-password-hashed": password_hash(),
        **{key.replace("_", "-"): value for key, value in wire.items()},
    }
    if "root-password" in body:
        del body["root-password-hashed"]
    return {key: value for key, value in body.items() if value is not None}


# A machine's name and its address by number: what a static network takes.
STATIC: dict[str, Any] = {
    "use-dhcp-network": False,
    "cidr": "10.7.0.10/24",
    "gateway": "10.7.0.1",
    "dns": "10.7.0.1",
    "netdev-filter": {"ID_NET_NAME": "eno1*"},
}


def make_config(**wire: Any) -> Saved:
    """A prepared config, through the service; without `authorized-tokens` with a token of its own."""
    body = config_body(**wire)
    secrets = {key: body.pop(key) for key in list(body) if key.startswith("root-password")}
    return configs.create_config(
        document=configs.read_document(body),
        secrets=Secrets.model_validate(secrets),
        actor=ACTOR,
    )


def make_token(name: str | None = None, **wire: Any) -> tuple[AnswerToken, str]:
    """An answer token and its `id:secret`."""
    body = {"id": name or f"token-{next(_numbers)}"}
    body |= {key.replace("_", "-"): value for key, value in wire.items()}
    row, secret = tokens.create_token(wanted=TokenCreate.model_validate(body), actor=ACTOR)
    return row, f"{row.name}:{secret}"


def system_info(
    serial: str = "SN-0001",
    uuid: str = "5c1f0f3e-58a1-4c55-9d51-1f6f0a3c0001",
    *,
    name: str = MODEL,
    macs: tuple[str, ...] = ("A0:36:9F:10:20:01",),
    product: str = "pve",
    release: str = "9.2",
    isorelease: str = "1",
    **more: Any,
) -> dict[str, Any]:
    """What an installer tells of its machine. `more` replaces whole parts; None leaves one out."""
    info = {
        "$schema": {"version": "1.0"},
        "product": {
            "fullname": "Proxmox VE",
            "product": product,
            "enable_btrfs": product == "pve",
        },
        "iso": {"release": release, "isorelease": isorelease},
        "dmi": {
            "system": {"serial": serial, "uuid": uuid, "name": name, "sku": "R210-A"},
            "baseboard": {"serial": f"B-{serial}", "name": "NW-210", "asset_tag": "none"},
            "chassis": {"serial": f"C-{serial}", "sku": "rack", "asset_tag": "none"},
        },
        "network_interfaces": [
            {"link": f"eno{number}", "mac": mac} for number, mac in enumerate(macs, 1)
        ],
        **more,
    }
    return {key: value for key, value in info.items() if value is not None}


def machine(number: int) -> dict[str, Any]:
    """The system information of the machine with this number: its own serial, uuid and address."""
    return system_info(
        f"SN-{number:04}",
        f"5c1f0f3e-58a1-4c55-9d51-{number:012x}",
        macs=(f"A0:36:9F:{number >> 16 & 255:02X}:{number >> 8 & 255:02X}:{number & 255:02X}",),
    )


def ask(
    credential: str | None,
    info: dict[str, Any] | bytes | None = None,
    *,
    path: str = "/api2/json/auto-install/answer",
    accept: str | None = TAKES_JSON,
    **extra: Any,
) -> Any:
    """`POST .../answer` as an installer sends it; `credential` is `id:secret`, None sends none."""
    if credential is not None:
        extra["HTTP_AUTHORIZATION"] = f"Bearer {credential}"
    if accept is not None:
        extra["HTTP_ACCEPT"] = accept
    body = info if isinstance(info, bytes) else json.dumps(info or system_info()).encode()
    client = client_behind(tuple(settings.TRUSTED_PROXIES))
    return client.post(path, body, content_type="application/json; charset=utf-8", **extra)


@functools.cache
def client_behind(proxies: tuple[str, ...]) -> Client:
    """Made once: every new one loads all middleware anew, which read their settings then."""
    return Client()
