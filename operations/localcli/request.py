"""What every command of this CLI is: a request, read from params and performed in a workspace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from operations.localcli.params import Params
from operations.localcli.progress import tell
from operations.localcli.workspace import Workspace

# One JSON document: an object, or a list of objects.
Answer = Mapping[str, object] | list[dict[str, object]]


class Request(Protocol):
    def perform(self, workspace: Workspace, *, check: bool) -> Answer:
        """Does it and returns its result; with `check`, only says what would be done.

        Raises CliError, ScriptError or Stopped.
        """
        ...


Reader = Callable[[Params], Request]


def checked(result: Mapping[str, object], message: str) -> dict[str, object]:
    """The result of a check: nothing was changed, `message` is what would be done."""
    tell(f"Check: {message}")
    return {**result, "status": "checked", "message": message}
