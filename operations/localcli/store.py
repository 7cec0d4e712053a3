"""One JSON object a file, replaced atomically and synced, so that no reader sees half of one.

Writers hold the workspace's lock; readers need none.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any

from operations.localcli.errors import CliError

Shape = Mapping[str, "type | UnionType"]


def find(path: Path, shape: Shape) -> dict[str, Any] | None:
    """The object in `path`, None when there is no such file.

    Raises CliError naming the file when it is not one JSON object with the keys of `shape`.
    """
    try:
        record = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, RecursionError):
        raise corrupt(path, "it is not JSON") from None
    if not isinstance(record, dict):
        raise corrupt(path, "it is not a JSON object")
    for key, kind in shape.items():
        if key not in record or not isinstance(record[key], kind):
            raise corrupt(path, f"its {key!r} is missing or of the wrong type")
    return record


def find_all(directory: Path, pattern: str, shape: Shape) -> list[dict[str, Any]]:
    """Every object below `directory`, but those that vanish while it is read."""
    found = (find(path, shape) for path in paths_in(directory, pattern))
    return [record for record in found if record is not None]


def paths_in(directory: Path, pattern: str) -> list[Path]:
    """The files of records, in the order of their names; none when `directory` is missing."""
    return sorted(path for path in directory.glob(pattern) if not path.name.startswith("."))


def write(path: Path, record: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # A fixed name: what a killed run left behind is overwritten by the next one.
    draft = path.with_name(f".{path.name}.tmp")
    with open(draft, "w", encoding="utf-8") as file:
        json.dump(record, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)
    _sync(path.parent)


def remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    _sync(path.parent)


def corrupt(path: Path, reason: str) -> CliError:
    return CliError(f"The file {path} is corrupt: {reason}; repair it or remove it.")


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
