"""`server create|delete|list|status|ssh`."""

from __future__ import annotations

import os
from itertools import count
from typing import NamedTuple

from operations.localcli import installations, journal, names, params, servers, store
from operations.localcli.clock import now
from operations.localcli.errors import BadInputError, ConflictError, NotFoundError
from operations.localcli.identity import new_id
from operations.localcli.installations import TASKSERV, Installation
from operations.localcli.params import Params, needed, optional
from operations.localcli.probe import is_reachable
from operations.localcli.progress import tell
from operations.localcli.request import Answer, checked
from operations.localcli.scripts import ssh_words
from operations.localcli.servers import Server
from operations.localcli.workspace import Workspace

PROVIDER = "local"
THIS_HOST = "127.0.0.1"


class CreateServer(NamedTuple):
    """Registers a host; without an address it is a logical server on this host."""

    hostname: str | None
    provider: str
    plan: str
    zone: str | None
    address: str | None
    port: int
    tags: list[str]

    @classmethod
    def read(cls, given: Params) -> CreateServer:
        params.only(given, *cls._fields)
        return cls(
            hostname=optional(given, "hostname", names.hostname),
            provider=optional(given, "provider", _provider) or PROVIDER,
            plan=needed(given, "plan", names.word),
            zone=optional(given, "zone", names.word),
            address=optional(given, "address", names.address),
            port=optional(given, "port", names.port) or servers.SSH_PORT,
            tags=optional(given, "tags", names.tags) or [],
        )

    def perform(self, workspace: Workspace, *, check: bool) -> Answer:
        if check:
            server = self._register(workspace)
            nothing_yet = {**servers.result(server), "id": None, "created_at": None}
            return checked(nothing_yet, f"would register server {_label(server)}.")
        with workspace.locked():
            server = self._register(workspace)
            with journal.recorded(workspace, _entry("create", server)):
                servers.save(workspace, server)
        tell(f"Registered server {_label(server)}.")
        return servers.result(server)

    def _register(self, workspace: Workspace) -> Server:
        """The record to write. Raises ConflictError for a name or an address that is taken."""
        hostname = self.hostname or _free_hostname(workspace)
        if servers.find(workspace, hostname):
            raise ConflictError(
                f"Server '{hostname}' exists already in workspace '{workspace.name}'."
            )
        self._refuse_taken_address(workspace)
        return {
            "id": new_id("srv"),
            "hostname": hostname,
            "provider": self.provider,
            "plan": self.plan,
            "zone": self.zone,
            "ip_address": self.address or THIS_HOST,
            "port": self.port,
            "status": "registered",
            "tags": self.tags,
            "created_at": now(),
            "is_address_given": self.address is not None,
        }

    def _refuse_taken_address(self, workspace: Workspace) -> None:
        if self.address is None:
            return
        for other in servers.find_all(workspace):
            place = (other["ip_address"], other["port"])
            if other["is_address_given"] and place == (self.address, self.port):
                where = f"{self.address} port {self.port}"
                raise ConflictError(
                    f"Server '{other['hostname']}' has the address {where} already."
                )


class DeleteServer(NamedTuple):
    """Unregisters a host and forgets what was installed on it; the host itself is untouched."""

    hostname: str

    @classmethod
    def read(cls, given: Params) -> DeleteServer:
        return cls(_only_hostname(given))

    def perform(self, workspace: Workspace, *, check: bool) -> Answer:
        server = servers.get(workspace, self.hostname)
        if check:
            _refuse_busy(_installed_on(workspace, server))
            return checked(servers.result(server), f"would unregister server {_label(server)}.")
        with workspace.locked():
            server = servers.get(workspace, self.hostname)
            installed = _installed_on(workspace, server)
            _refuse_busy(installed)
            with journal.recorded(workspace, _entry("delete", server)):
                for record in installed:
                    tell(f"Forgetting taskserv '{record['name']}', which stays on the host.")
                    installations.forget(workspace, TASKSERV, record)
                store.remove(servers.path_of(workspace, self.hostname))
        tell(f"Unregistered server {_label(server)}.")
        return {**servers.result(server), "status": "deleted"}


class ListServers(NamedTuple):
    @classmethod
    def read(cls, given: Params) -> ListServers:
        params.only(given)
        return cls()

    def perform(self, workspace: Workspace, *, check: bool) -> Answer:
        return [servers.result(server) for server in servers.find_all(workspace)]


class ServerStatus(NamedTuple):
    """Probes the server's port, and remembers what it saw for the next list."""

    hostname: str

    @classmethod
    def read(cls, given: Params) -> ServerStatus:
        return cls(_only_hostname(given))

    def perform(self, workspace: Workspace, *, check: bool) -> Answer:
        server = servers.get(workspace, self.hostname)
        is_up = is_reachable(server["ip_address"], server["port"])
        seen: Server = {**server, "status": "running" if is_up else "unreachable"}
        if seen["status"] != server["status"]:
            _remember_status(workspace, seen)
        return {**servers.result(seen), "observed_at": now()}


class SshToServer(NamedTuple):
    """Becomes ssh: its output and its exit code are those of ssh."""

    hostname: str

    @classmethod
    def read(cls, given: Params) -> SshToServer:
        return cls(_only_hostname(given))

    def perform(self, workspace: Workspace, *, check: bool) -> Answer:
        server = servers.get(workspace, self.hostname)
        words = ssh_words(server)
        try:
            os.execvp(words[0], words)  # noqa: S606 - a list, no shell
        except FileNotFoundError:
            raise NotFoundError("ssh is not on the PATH: install an OpenSSH client.") from None


def _only_hostname(given: Params) -> str:
    return needed(params.only(given, "hostname"), "hostname", names.hostname)


def _provider(field: str, value: object) -> str:
    if value == PROVIDER:
        return PROVIDER
    raise BadInputError(
        f"{field} is {names.shown(value)}, but provisioning-local only knows provider '{PROVIDER}':"
        f" for another one set provisioning.cli_path (or PROVISIONING_CLI_PATH) to a provisioning"
        f" CLI that knows it."
    )


def _free_hostname(workspace: Workspace) -> str:
    candidates = (f"server-{number}" for number in count(1))
    return next(name for name in candidates if not servers.path_of(workspace, name).exists())


def _installed_on(workspace: Workspace, server: Server) -> list[Installation]:
    everything = installations.find_all(workspace, TASKSERV)
    return [record for record in everything if record["server"] == server["hostname"]]


def _refuse_busy(installed: list[Installation]) -> None:
    for record in installed:
        if installations.is_busy(record):
            raise ConflictError(
                f"Taskserv '{record['name']}' on server '{record['server']}' is just"
                f" {record['status']}: wait for it, or stop it."
            )


def _remember_status(workspace: Workspace, seen: Server) -> None:
    try:
        with workspace.locked():
            stored = servers.find(workspace, seen["hostname"])
            # Deleted, or even made anew, while we probed: then what we saw is of another one.
            if stored is not None and stored["id"] == seen["id"]:
                servers.save(workspace, {**stored, "status": seen["status"]})
    except OSError as error:
        tell(f"The status could not be remembered: {error.strerror}.")


def _entry(verb: str, server: Server) -> journal.Entry:
    return journal.Entry(verb, "server", server["hostname"])


def _label(server: Server) -> str:
    return f"'{server['hostname']}' at {server['ip_address']} port {server['port']}"
