"""How the CLI is called for an operation, and what of that nobody may read."""

from __future__ import annotations

from django.conf import settings

from operations import cli
from operations.masking import Mask, secrets_of
from operations.models import Operation
from operations.runner import files


def argv_of(operation: Operation) -> list[str]:
    """The whole argument list, as the present configuration makes it. Raises commands.BadValue."""
    file = files.directory_of(operation.pk) / "settings.json"
    return cli.command_line(
        operation.kind,
        operation.workspace_name,
        operation.params,
        check_mode=operation.check_mode,
        settings_file=file if operation.params.get("settings") else None,
    )


def mask_of(operation: Operation) -> Mask:
    """Covers the secrets in its settings and in the CLI's environment."""
    return Mask(secrets_of(operation.params.get("settings"), settings.CLI_ENVIRONMENT))


def masked_argv(operation: Operation) -> list[str]:
    """How it was called, for a page; before that is recorded, how it would be. Raises commands.BadValue."""
    if operation.argv is not None:
        recorded: list[str] = operation.argv
        return recorded
    return covered(argv_of(operation), mask_of(operation))


def covered(argv: list[str], mask: Mask) -> list[str]:
    return [_cover(word, mask) for word in argv]


def masked(operation: Operation, text: str) -> str:
    return _cover(text, mask_of(operation))


def _cover(text: str, mask: Mask) -> str:
    return mask.cover(text.encode()).decode(errors="replace")
