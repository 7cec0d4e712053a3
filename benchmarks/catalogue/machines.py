"""Machines by number: what their installers send, and the prepared configs that wait for them."""

from __future__ import annotations

import json
from typing import Any

BODY_BYTES = 5000
COUNTER = "nr"
# The client puts another UUID here for every request: each is a machine that was never seen before.
UUID = "00000000-5ca1-4c55-9d51-000000000000"
# One config takes all whose serial begins so; the others' serials are their numbers.
STORM = "STORM-"
# sha512-crypt of some password, made once.
HASH = (
    "$6$rounds=1000$8hEbIkHKQIMaRCBk$PoU1H2dJlqW2zD0mUEtfYeBYUAZQwlAPCmr1JqWzGHxe8.aUs39nd/Y/jJsX1HC"
    "wN8wPNHRkn0uCIZ2O9FV6T."
)


def serial_of(number: int) -> str:
    return f"SN-{number:06}"


def body(serial: str, number: int) -> bytes:
    """The system information of a server with four cards and twelve disks: BODY_BYTES of JSON."""
    info: dict[str, Any] = {
        "$schema": {"version": "1.0"},
        "product": {"fullname": "Proxmox VE", "product": "pve", "enable_btrfs": True},
        "iso": {"release": "9.2", "isorelease": "1"},
        "dmi": {
            "system": {
                "serial": serial,
                "uuid": UUID,
                "name": "Northwind R210",
                "sku": "R210-A",
                "family": "Northwind",
                "manufacturer": "Northwind Ltd.",
                "version": "2.1",
            },
            "baseboard": {"serial": f"B-{serial}", "name": "NW-210", "asset_tag": "none"},
            "chassis": {"serial": f"C-{serial}", "sku": "rack", "asset_tag": "none"},
        },
        "network_interfaces": [_card(number, port) for port in range(4)],
        "disks": [_disk(number, slot) for slot in range(12)],
        "note": "",
    }
    info["note"] = "x" * (BODY_BYTES - len(compact(info)))
    return compact(info)


def compact(info: dict[str, Any]) -> bytes:
    """As the installer writes JSON."""
    return json.dumps(info, separators=(",", ":")).encode()


def mac_of(number: int, port: int) -> str:
    low = number * 4 + port
    return f"A0:36:9F:{low >> 16 & 255:02X}:{low >> 8 & 255:02X}:{low & 255:02X}"


def _card(number: int, port: int) -> dict[str, Any]:
    mac = mac_of(number, port)
    return {
        "link": f"eno{port + 1}np{port}",
        "mac": mac,
        "state": "UP" if port == 0 else "DOWN",
        "udev": {
            "ID_BUS": "pci",
            "ID_MODEL": "Ethernet Controller X710 for 10GbE SFP+",
            "ID_NET_DRIVER": "i40e",
            "ID_NET_NAME": f"eno{port + 1}np{port}",
            "ID_NET_NAME_MAC": f"enx{mac.replace(':', '').lower()}",
            "ID_NET_NAME_PATH": f"enp65s0f{port}np{port}",
            "ID_PATH": f"pci-0000:41:00.{port}",
            "ID_VENDOR": "Intel Corporation",
        },
    }


def _disk(number: int, slot: int) -> dict[str, Any]:
    return {
        "name": f"nvme{slot}n1",
        "size": 3840755982336,
        "udev": {
            "DEVNAME": f"/dev/nvme{slot}n1",
            "ID_MODEL": "MZQL23T8HCLS-00A07",
            "ID_PATH": f"pci-0000:c{slot}:00.0-nvme-1",
            "ID_SERIAL_SHORT": f"S64HNE0T{number:05}{slot}",
            "ID_VENDOR": "SAMSUNG",
            "ID_WWN": f"eui.36344830{number:08}{slot:02}",
        },
    }


def config(number: int) -> dict[str, Any]:
    """The wire form of the config that waits for one machine; for all of a storm where it is 0."""
    serial = f"{STORM}*" if number == 0 else serial_of(number)
    return {
        "id": f"config-{number}",
        "target-filter": {
            "/product/product": "pve",
            "/dmi/system/serial": serial,
            "/network_interfaces/*/mac": "a0:36:9f:*",
        },
        "country": "at",
        "fqdn": f"pve-{{{{ {COUNTER} }}}}.rack{number}.example.com",
        "keyboard": "de",
        "mailto": "ops@example.com",
        "timezone": "Europe/Vienna",
        "use-dhcp-network": False,
        "cidr": (
            f"10.{number % 200}.{{{{ {COUNTER} // 200 % 200 }}}}.{{{{ {COUNTER} % 200 + 10 }}}}/16"
        ),
        "gateway": f"10.{number % 200}.0.1",
        "dns": f"10.{number % 200}.0.1",
        "netdev-filter": {"ID_NET_NAME": "eno1*"},
        "filesystem": {"filesystem": "zfs", "raid": "RAID1"},
        "disk-mode": "fixed",
        "disk-list": ["nvme0n1", "nvme1n1"],
        "root-ssh-keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEnOTAkeyNOTAkeyNOTAkeyNOTAk ops"],
        "template-counters": {COUNTER: 1},
    }
