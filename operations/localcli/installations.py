"""What is installed in a workspace: taskservs (each on a server or on this host) and clusters.

The user's part is the definition, `taskservs/NAME/install.sh` (and `uninstall.sh`, `status.sh`).
Ours is the record, `installed/taskservs/NAME/SERVER.json`; where no server is meant, SERVER is
`_`, which no host name can be. Clusters alike, always with `_`.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, TypedDict, cast

from operations.localcli import processes, store
from operations.localcli.errors import BadInputError, NotFoundError
from operations.localcli.workspace import Workspace

NO_SERVER = "_"


class Noun(NamedTuple):
    word: str  # also the upper-case prefix of the script's variables
    directory: str
    id_prefix: str
    is_on_server: bool


TASKSERV = Noun("taskserv", "taskservs", "tsk", is_on_server=True)
CLUSTER = Noun("cluster", "clusters", "cls", is_on_server=False)


class Installation(TypedDict):
    """`status` is installing, installed, removing or failed; `runner` is who works on it."""

    id: str
    name: str
    version: str | None
    server: str | None
    status: str
    created_at: str
    runner: processes.Runner | None


SHAPE: store.Shape = {
    "id": str,
    "name": str,
    "version": str | None,
    "server": str | None,
    "status": str,
    "created_at": str,
    "runner": dict | None,
}


def path_of(workspace: Workspace, noun: Noun, name: str, server: str | None) -> Path:
    directory = workspace.directory / "installed" / noun.directory / name
    return directory / f"{server or NO_SERVER}.json"


def find(workspace: Workspace, noun: Noun, name: str, server: str | None) -> Installation | None:
    record = store.find(path_of(workspace, noun, name, server), SHAPE)
    return None if record is None else _observed(cast("Installation", record))


def find_all(workspace: Workspace, noun: Noun, name: str = "*") -> list[Installation]:
    directory = workspace.directory / "installed" / noun.directory
    records = store.find_all(directory, f"{name}/*.json", SHAPE)
    return [_observed(record) for record in cast("list[Installation]", records)]


def get(workspace: Workspace, noun: Noun, name: str, server: str | None) -> Installation:
    """The one meant: on `server`, or the only one there is when `server` is not given."""
    exact = find(workspace, noun, name, server)
    if exact is not None:
        return exact
    elsewhere = [] if server else find_all(workspace, noun, name)
    if len(elsewhere) == 1:
        return elsewhere[0]
    if elsewhere:
        places = ", ".join(str(record["server"]) for record in elsewhere)
        raise BadInputError(
            f"{noun.word} '{name}' is installed on {places}: say which by --server."
        )
    where = f"on '{server}' " if server else ""
    raise NotFoundError(
        f"No {noun.word} '{name}' is installed {where}in workspace '{workspace.name}'."
    )


def save(workspace: Workspace, noun: Noun, record: Installation) -> None:
    store.write(path_of(workspace, noun, record["name"], record["server"]), record)


def forget(workspace: Workspace, noun: Noun, record: Installation) -> None:
    store.remove(path_of(workspace, noun, record["name"], record["server"]))


def result(noun: Noun, record: Installation) -> dict[str, object]:
    """What is told about it: its record without what is only ours."""
    hidden = {"runner"} if noun.is_on_server else {"runner", "server"}
    return {key: value for key, value in record.items() if key not in hidden}


def find_script(workspace: Workspace, noun: Noun, name: str, file_name: str) -> Path | None:
    path = workspace.directory / noun.directory / name / file_name
    return path if path.is_file() else None


def is_busy(record: Installation) -> bool:
    return processes.is_alive(record["runner"])


def _observed(record: Installation) -> Installation:
    """`record`, failed when the run that worked on it was killed before it could say so."""
    if record["runner"] is None or is_busy(record):
        return record
    return {**record, "status": "failed", "runner": None}
