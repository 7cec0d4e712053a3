"""A workspace: one directory below the root, made by the first change."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

from operations.localcli.stopping import interruptible


class Workspace(NamedTuple):
    name: str
    directory: Path

    @contextmanager
    def locked(self, *, is_closing: bool = False) -> Iterator[None]:
        """Holds the workspace's lock; every read-modify-write stands in one such block.

        A signal ends the wait for it, except when the block closes what an earlier one began.
        The kernel lets go of it when the process ends, however it ends. Not reentrant.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        with open(self.directory / ".lock", "ab") as handle:
            with nullcontext() if is_closing else interruptible():
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
