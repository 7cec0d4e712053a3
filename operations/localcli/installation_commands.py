"""`taskserv create|delete|list|status` and `cluster create|delete|list|status`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from operations.localcli import installations, journal, names, params, scripts, servers
from operations.localcli.clock import now
from operations.localcli.errors import ConflictError, NotFoundError, ScriptError, exit_code_of
from operations.localcli.identity import new_id
from operations.localcli.installations import Installation, Noun
from operations.localcli.params import Params, needed, optional
from operations.localcli.processes import this_process
from operations.localcli.progress import tell
from operations.localcli.request import Answer, Reader, checked
from operations.localcli.script_variables import script_variables
from operations.localcli.scripts import Script
from operations.localcli.servers import Server
from operations.localcli.workspace import Workspace


class Install(NamedTuple):
    """Runs `install.sh`, and keeps a record of it: installed, or failed with a failed script."""

    noun: Noun
    name: str
    server: str | None
    version: str | None
    settings: Params

    @classmethod
    def read(cls, noun: Noun, given: Params) -> Install:
        params.only(given, *_keys(noun), "version", "settings")
        return cls(
            noun=noun,
            name=needed(given, "name", names.name),
            server=optional(given, "server", names.hostname),
            version=optional(given, "version", names.word),
            settings=optional(given, "settings", params.settings) or {},
        )

    def perform(self, workspace: Workspace, *, check: bool) -> Answer:
        path = self._install_script(workspace)
        server = _server(workspace, self.server)
        if check:
            record = self._begin(workspace)
            nothing_yet = {
                **installations.result(self.noun, record),
                "id": None,
                "created_at": None,
            }
            return checked(nothing_yet, f"would run {path}{_place(server)}.")
        entry = journal.Entry("create", self.noun.word, self.name)
        with workspace.locked():
            server = _server(workspace, self.server)
            record = self._begin(workspace)
            journal.started(workspace, entry)
            installations.save(workspace, self.noun, record)
        done: Installation = {**record, "status": "installed", "runner": None}
        with _ended(workspace, self.noun, entry, record, done):
            tell(f"Running {path}{_place(server)}.")
            variables = script_variables(workspace, self.noun, record, self.settings)
            scripts.run(Script(path, variables), server)
        return installations.result(self.noun, done)

    def _install_script(self, workspace: Workspace) -> Path:
        path = installations.find_script(workspace, self.noun, self.name, "install.sh")
        if path is None:
            expected = f"{self.noun.directory}/{self.name}/install.sh"
            raise NotFoundError(f"There is no {expected} in {workspace.directory}: write it first.")
        return path

    def _begin(self, workspace: Workspace) -> Installation:
        """The record of an installation at work; ConflictError unless it is new or failed."""
        existing = installations.find(workspace, self.noun, self.name, self.server)
        if existing is not None and existing["status"] != "failed":
            where = f" on '{self.server}'" if self.server else ""
            state = existing["status"]
            raise ConflictError(
                f"{self.noun.word} '{self.name}' is {state} already{where}: delete it first."
            )
        return {
            "id": existing["id"] if existing else new_id(self.noun.id_prefix),
            "name": self.name,
            "version": self.version,
            "server": self.server,
            "status": "installing",
            "created_at": existing["created_at"] if existing else now(),
            "runner": this_process(),
        }


class Uninstall(NamedTuple):
    """Runs `uninstall.sh`, if there is one, and drops the record when it succeeded."""

    noun: Noun
    name: str
    server: str | None

    @classmethod
    def read(cls, noun: Noun, given: Params) -> Uninstall:
        return cls(noun, *_which(noun, given))

    def perform(self, workspace: Workspace, *, check: bool) -> Answer:
        record = self._find(workspace)
        path = installations.find_script(workspace, self.noun, self.name, "uninstall.sh")
        server = _server(workspace, record["server"])
        if check:
            deed = f"run {path}{_place(server)}" if path else "remove the record, running no script"
            return checked(installations.result(self.noun, record), f"would {deed}.")
        entry = journal.Entry("delete", self.noun.word, self.name)
        with workspace.locked():
            record = {**self._find(workspace), "status": "removing", "runner": this_process()}
            journal.started(workspace, entry)
            installations.save(workspace, self.noun, record)
        with _ended(workspace, self.noun, entry, record, None):
            if path:
                tell(f"Running {path}{_place(server)}.")
                variables = script_variables(workspace, self.noun, record, {})
                scripts.run(Script(path, variables), server)
        return {**installations.result(self.noun, record), "status": "deleted"}

    def _find(self, workspace: Workspace) -> Installation:
        record = installations.get(workspace, self.noun, self.name, self.server)
        if installations.is_busy(record):
            raise ConflictError(f"{self.noun.word} '{self.name}' is just {record['status']}.")
        return record


class ListInstalled(NamedTuple):
    noun: Noun
    server: str | None

    @classmethod
    def read(cls, noun: Noun, given: Params) -> ListInstalled:
        params.only(given, *(["server"] if noun.is_on_server else []))
        return cls(noun, optional(given, "server", names.hostname))

    def perform(self, workspace: Workspace, *, check: bool) -> Answer:
        return [
            installations.result(self.noun, record)
            for record in installations.find_all(workspace, self.noun)
            if self.server in (None, record["server"])
        ]


class InstalledStatus(NamedTuple):
    """Asks `status.sh`, if there is one: exit code 0 is running, any other is stopped."""

    noun: Noun
    name: str
    server: str | None

    @classmethod
    def read(cls, noun: Noun, given: Params) -> InstalledStatus:
        return cls(noun, *_which(noun, given))

    def perform(self, workspace: Workspace, *, check: bool) -> Answer:
        record = installations.get(workspace, self.noun, self.name, self.server)
        status = self._observe(workspace, record)
        return {
            **installations.result(self.noun, record),
            "status": status,
            "observed_at": now(),
        }

    def _observe(self, workspace: Workspace, record: Installation) -> str:
        path = installations.find_script(workspace, self.noun, self.name, "status.sh")
        if path is None or record["status"] != "installed":
            return record["status"]
        server = _server(workspace, record["server"])
        try:
            variables = script_variables(workspace, self.noun, record, {})
            scripts.run(Script(path, variables), server)
        except ScriptError as failure:
            tell(str(failure))
            return "unreachable" if _is_of_ssh(failure, server) else "stopped"
        return "running"


def readers(noun: Noun) -> dict[str, Reader]:
    return {
        f"{noun.word}_create": partial(Install.read, noun),
        f"{noun.word}_delete": partial(Uninstall.read, noun),
        f"{noun.word}_list": partial(ListInstalled.read, noun),
        f"{noun.word}_status": partial(InstalledStatus.read, noun),
    }


@contextmanager
def _ended(
    workspace: Workspace,
    noun: Noun,
    entry: journal.Entry,
    record: Installation,
    done: Installation | None,
) -> Iterator[None]:
    """Writes down how the body ended: `done` (None drops the record), or `failed`."""
    outcome: Installation | None = {**record, "status": "failed", "runner": None}
    exit_code = 1
    try:
        yield
        outcome, exit_code = done, 0
    except BaseException as error:
        exit_code = exit_code_of(error)
        raise
    finally:
        with workspace.locked(is_closing=True):
            if outcome is None:
                installations.forget(workspace, noun, record)
            else:
                installations.save(workspace, noun, outcome)
            journal.ended(workspace, entry, exit_code)


def _keys(noun: Noun) -> tuple[str, ...]:
    return ("name", "server") if noun.is_on_server else ("name",)


def _which(noun: Noun, given: Params) -> tuple[str, str | None]:
    params.only(given, *_keys(noun))
    return needed(given, "name", names.name), optional(given, "server", names.hostname)


def _server(workspace: Workspace, hostname: str | None) -> Server | None:
    return None if hostname is None else servers.get(workspace, hostname)


def _is_of_ssh(failure: ScriptError, server: Server | None) -> bool:
    is_remote = server is not None and not servers.is_this_host(server)
    return is_remote and failure.exit_code == scripts.SSH_OWN_EXIT_CODE


def _place(server: Server | None) -> str:
    return f" for server '{server['hostname']}'" if server else ""
