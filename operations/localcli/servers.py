"""The servers of a workspace, one file each: `servers/<hostname>.json`."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict, cast

from operations.localcli import names, store
from operations.localcli.errors import NotFoundError
from operations.localcli.workspace import Workspace

SSH_PORT = 22


class Server(TypedDict):
    """A registered host. `status` is the last one seen: registered, running or unreachable.

    `ip_address` may be a host name: it is kept as it was given. `is_address_given` is false for a
    server registered without an address: a logical server on this host.
    """

    id: str
    hostname: str
    provider: str
    plan: str
    zone: str | None
    ip_address: str
    port: int
    status: str
    tags: list[str]
    created_at: str
    is_address_given: bool


SHAPE: store.Shape = {
    "id": str,
    "hostname": str,
    "provider": str,
    "plan": str,
    "zone": str | None,
    "ip_address": str,
    "port": int,
    "status": str,
    "tags": list,
    "created_at": str,
    "is_address_given": bool,
}


def path_of(workspace: Workspace, hostname: str) -> Path:
    return workspace.directory / "servers" / f"{hostname}.json"


def find(workspace: Workspace, hostname: str) -> Server | None:
    path = path_of(workspace, hostname)
    record = store.find(path, SHAPE)
    if record is not None and record["hostname"] != hostname:
        raise store.corrupt(path, "its 'hostname' is not the name of the file")
    return cast("Server | None", record)


def get(workspace: Workspace, hostname: str) -> Server:
    server = find(workspace, hostname)
    if server is None:
        raise NotFoundError(f"There is no server '{hostname}' in workspace '{workspace.name}'.")
    return server


def find_all(workspace: Workspace) -> list[Server]:
    paths = store.paths_in(workspace.directory / "servers", "*.json")
    found = (find(workspace, path.stem) for path in paths)
    return [server for server in found if server is not None]


def save(workspace: Workspace, server: Server) -> None:
    store.write(path_of(workspace, server["hostname"]), server)


def result(server: Server) -> dict[str, object]:
    """What is told about a server: its record without what is only ours."""
    return {key: value for key, value in server.items() if key != "is_address_given"}


def is_this_host(server: Server) -> bool:
    """Whether scripts for this server run here instead of over ssh.

    A loopback address with a port of its own is a forwarded port (a virtual machine): not here.
    """
    if not server["is_address_given"]:
        return True
    return names.is_loopback(server["ip_address"]) and server["port"] == SSH_PORT
