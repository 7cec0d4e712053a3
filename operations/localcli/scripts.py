"""Running a definition's shell script, here or on a server over ssh.

The script is told what to do by environment variables, never by arguments: an argument list can
be read by every user of a host. Its output goes to our stderr. It stays in our process group and
session, so that whoever kills the group ends it too.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from operations.localcli.errors import BadInputError, ScriptError, Stopped
from operations.localcli.processes import end_descendants
from operations.localcli.servers import Server, is_this_host
from operations.localcli.stopping import interruptible

SHELLS = ("sh", "ash", "bash", "dash", "ksh", "zsh")
SSH_CONNECT_SECONDS = 10
NOT_STARTED_EXIT_CODE = 127  # as the shells
SSH_OWN_EXIT_CODE = 255  # ssh(1): "255 if an error occurred"


class Script(NamedTuple):
    path: Path
    variables: Mapping[str, str]


def run(script: Script, server: Server | None) -> None:
    """Runs `script` to its end. Raises ScriptError with its exit code when that is not 0."""
    if server is None or is_this_host(server):
        exit_code = _run_here(script)
    else:
        exit_code = _run_over_ssh(script, server)
        if exit_code == SSH_OWN_EXIT_CODE:
            place = f"{server['ip_address']} port {server['port']}"
            raise ScriptError(f"ssh to {place} failed (exit code 255); see the log.", exit_code)
    if exit_code:
        label = f"{script.path.parent.name}/{script.path.name}"
        raise ScriptError(f"{label} failed with exit code {exit_code}.", exit_code)


def ssh_words(server: Server, *options: str) -> list[str]:
    return ["ssh", *options, "-p", str(server["port"]), "--", server["ip_address"]]


def _run_here(script: Script) -> int:
    is_program = os.access(script.path, os.X_OK) and _first_line(script.path).startswith("#!")
    words = [str(script.path)] if is_program else ["/bin/sh", str(script.path)]
    return _run(words, None, {**os.environ, **script.variables}, script.path.parent)


def _run_over_ssh(script: Script, server: Server) -> int:
    options = ("-o", "BatchMode=yes", "-o", f"ConnectTimeout={SSH_CONNECT_SECONDS}")
    words = [*ssh_words(server, *options), _remote_shell(script.path)]
    return _run(words, _remote_input(script), dict(os.environ), script.path.parent)


def _run(words: list[str], text: str | None, environment: dict[str, str], directory: Path) -> int:
    content = None if text is None else text.encode("utf-8", "surrogateescape")
    try:
        with interruptible():
            child = subprocess.Popen(
                words,
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL if content is None else subprocess.PIPE,
                stdout=sys.stderr or subprocess.DEVNULL,
                stderr=sys.stderr or subprocess.DEVNULL,
            )
            child.communicate(content)
    except Stopped:
        end_descendants()
        raise
    except FileNotFoundError:
        sentence = f"{words[0]} cannot be started: it or its interpreter is missing."
        raise ScriptError(sentence, NOT_STARTED_EXIT_CODE) from None
    except OSError as error:
        sentence = f"{words[0]} cannot be started: {error.strerror}."
        raise ScriptError(sentence, NOT_STARTED_EXIT_CODE) from None
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _remote_shell(path: Path) -> str:
    """The command that reads the script from its stdin: `bash -e -s` for `#!/bin/bash -e`."""
    first = _first_line(path)
    words = first[2:].split() if first.startswith("#!") else ["/bin/sh"]
    if words and Path(words[0]).name == "env":
        words = [word for word in words[1:] if word != "-S"]
    if not words or Path(words[0]).name not in SHELLS:
        raise BadInputError(
            f"{path} cannot run over ssh: its first line must name a shell, or be none."
        )
    return shlex.join([*words, "-s"])


def _remote_input(script: Script) -> str:
    """Exports, then the script as one group that is read whole before its first command runs.

    So half a script, sent over a connection that broke, does nothing, and a command that reads
    its stdin gets nothing instead of the rest of the script.
    """
    exports = [f"export {key}={shlex.quote(value)}" for key, value in script.variables.items()]
    body = script.path.read_text(encoding="utf-8", errors="surrogateescape")
    # ':' because an empty group is a syntax error.
    return "\n".join([*exports, "{ :", body, "}", ""])


def _first_line(path: Path) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.readline(256)
