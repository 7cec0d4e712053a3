"""The configured CLI: its program and the template of each command."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings

from operations.commands import DEFAULT_TEMPLATES, ArgvTemplate, Program, build_argv, values_of
from operations.machine import CAPTURE_VARIABLE, OPERATION_VARIABLE


def program() -> Program:
    """The configured CLI (a path, or a name on the PATH), else the bundled `provisioning-local`
    beside this Python."""
    configured: str = settings.CLI_PATH
    if not configured:
        return Program(Path(sys.executable).with_name("provisioning-local"))
    if "/" not in configured:
        configured = shutil.which(configured, path=search_path()) or configured
    return Program(Path(configured))


def search_path() -> str | None:
    """The PATH that the CLI itself is given."""
    path: str | None = settings.CLI_ENVIRONMENT.get("PATH")
    return path


def template(key: str) -> ArgvTemplate:
    """The argv template of a kind or of `server_list` and the like."""
    configured: Mapping[str, ArgvTemplate] = settings.CLI_COMMANDS
    return configured.get(key) or DEFAULT_TEMPLATES[key]


def command_line(
    key: str,
    workspace: str,
    params: Mapping[str, Any],
    *,
    check_mode: bool = False,
    settings_file: Path | None = None,
) -> list[str]:
    """The whole argument list, program first. Raises commands.BadValue."""
    values = values_of(key, workspace, params, check_mode=check_mode)
    values["settings_file"] = str(settings_file) if settings_file else None
    return [*program().argv, *build_argv(template(key), values)]


def problem() -> str | None:
    """Why the CLI cannot be started at all, in one sentence; None when it can."""
    cli = program()
    if not cli.path.is_file():
        return f"The CLI {cli.path} does not exist: set provisioning.cli_path."
    if cli.path.suffix == ".nu":
        if shutil.which("nu", path=search_path()) is None:
            return "The CLI is a Nushell script, but there is no nu on the PATH."
    elif not os.access(cli.path, os.X_OK):
        return f"The CLI {cli.path} is not executable."
    return None


def environment(
    *,
    workspace: str,
    operation_id: str = "",
    capture_id: str = "",
    request_id: str = "",
    actor: str = "",
) -> dict[str, str]:
    """All that the CLI sees of an environment; none of the server's own secrets."""
    given = {
        OPERATION_VARIABLE: operation_id,
        CAPTURE_VARIABLE: capture_id,
        "PROVISIONING_REQUEST_ID": request_id,
        "PROVISIONING_WORKSPACE": workspace,
        "PROVISIONING_ACTOR": actor,
        "PROVISIONING_WORKSPACE_ROOT": str(settings.WORKSPACE_ROOT),
    }
    return {**settings.CLI_ENVIRONMENT, **{key: value for key, value in given.items() if value}}
