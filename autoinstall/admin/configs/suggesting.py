"""What the fields of the form suggest, and the machines to try it on: only what the person may read."""

from __future__ import annotations

from typing import Any

from accounts.actor import Actor
from accounts.console.looks import from_now
from autoinstall import values
from autoinstall.models import AnswerToken
from autoinstall.services import seen
from autoinstall.services.seen import Machine

MOST_TOKENS = 300
MOST_MACHINES = 50
NET_PROPERTIES = (
    *("ID_NET_NAME", "ID_NET_NAME_MAC", "ID_NET_NAME_PATH", "ID_NET_NAME_SLOT"),
    *("ID_NET_NAME_ONBOARD", "ID_NET_DRIVER", "ID_VENDOR_FROM_DATABASE", "INTERFACE"),
)
DISK_PROPERTIES = (
    *("DEVNAME", "ID_MODEL", "ID_SERIAL", "ID_SERIAL_SHORT", "ID_VENDOR", "ID_BUS", "ID_TYPE"),
    *("ID_PATH", "ID_WWN", "DEVTYPE"),
)


def may_see_machines(actor: Actor) -> bool:
    return actor.grants.allows("installation_read")


def suggested(actor: Actor) -> dict[str, Any]:
    """`{"lists": {name: values}, "patterns": {pointer: values}, "machines": options}`."""
    machines = seen.machines_seen() if may_see_machines(actor) else []
    patterns = seen.suggestions(machines)
    tokens: list[str] = []
    if actor.grants.allows("answer_token_read"):
        names = AnswerToken.objects.order_by("name").values_list("name", flat=True)
        tokens = list(names[:MOST_TOKENS])
    return {
        "lists": {
            "timezones": sorted(values.TIME_ZONES),
            "tokens": tokens,
            "pointers": list(patterns) or list(USUAL_POINTERS),
            "macs": [mac for machine in machines for mac in machine.macs][:MOST_TOKENS],
            "net-properties": NET_PROPERTIES,
            "disk-properties": DISK_PROPERTIES,
        },
        "patterns": patterns,
        "machines": options(machines),
        "may_see_machines": may_see_machines(actor),
        "seen": len(machines),
    }


# While no machine has been seen.
USUAL_POINTERS = (
    *("/dmi/system/name", "/dmi/system/serial", "/dmi/system/uuid", "/dmi/chassis/asset_tag"),
    *("/network_interfaces/*/mac", "/product/product", "/iso/release"),
)


def options(machines: list[Machine]) -> list[dict[str, str]]:
    return [
        {
            "id": str(machine.attempt),
            "title": f"{machine.title} ({from_now(machine.received_at)}, {machine.outcome})",
        }
        for machine in machines[:MOST_MACHINES]
    ]
