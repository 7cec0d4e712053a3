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
    return operation.argv if operation.argv is not None else covered(operation)


def covered(operation: Operation) -> list[str]:
    return [masked(operation, word) for word in argv_of(operation)]


def masked(operation: Operation, text: str) -> str:
    return mask_of(operation).cover(text.encode()).decode(errors="replace")
