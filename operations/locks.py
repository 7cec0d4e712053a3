"""What an operation has to itself while it runs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def lock_of(kind: str, params: Mapping[str, Any], *, check_mode: bool = False) -> str:
    """`server web-01`, `taskserv dns` or `cluster k8s`; empty for what needs none: a check, a workflow
    (its steps have their own), a server whose name the CLI will choose.

    A taskserv on a server changes that server, and takes the server's lock.
    """
    if check_mode:
        return ""
    match kind.partition("_")[0]:
        case "server":
            name = params.get("hostname")
            return f"server {name}" if name else ""
        case "taskserv" if params.get("server"):
            return f"server {params['server']}"
        case "taskserv" | "cluster" as noun:
            return f"{noun} {params['name']}" if params.get("name") else ""
    return ""
