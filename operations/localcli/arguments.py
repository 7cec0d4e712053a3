"""The command line: words to an Invocation, by a table of what each verb takes."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from operations.localcli import NAME, __version__, documents, names
from operations.localcli.errors import BadInputError

ROOT_VARIABLE = "PROVISIONING_WORKSPACE_ROOT"
WORKSPACE_VARIABLE = "PROVISIONING_WORKSPACE"
DEFAULT_ROOT = "workspaces"

Option = tuple[str, str]  # the flag or positional as argparse spells it, and its help

HOSTNAME: Option = ("hostname", "name of the server")
DEFINITION: Option = ("name", "directory below taskservs/ or clusters/ that holds the scripts")
BATCH: Option = ("id", "id of the batch, such as bat-4k2m9x0a")
SERVER: Option = ("--server", "server it is for; without it, this host")
VERSION: Option = ("--version", "given to the script as it is")
SETTINGS: Option = ("--settings", "file with one JSON object for the script; '-' reads stdin")

# What each verb takes beside the common options; those of CHANGING also take --check.
TAKES: Mapping[str, Mapping[str, Sequence[Option]]] = {
    "server": {
        "create": (
            ("hostname?", "name of the server; without it the next free server-N"),
            ("--provider", "only 'local', which is the default"),
            ("--plan", "a word of yours for its size, such as 2xCPU-4GB"),
            ("--zone", "a word of yours for its place"),
            ("--address", "IP address or host name; without it the server is this host"),
            ("--port", "TCP port of its ssh, 22 by default"),
            ("--tags", "words joined by commas"),
        ),
        "delete": (HOSTNAME,),
        "list": (),
        "status": (HOSTNAME,),
        "ssh": (HOSTNAME,),
    },
    "taskserv": {
        "create": (DEFINITION, SERVER, VERSION, SETTINGS),
        "delete": (DEFINITION, SERVER),
        "list": (SERVER,),
        "status": (DEFINITION, SERVER),
    },
    "cluster": {
        "create": (DEFINITION, VERSION, SETTINGS),
        "delete": (DEFINITION,),
        "list": (),
        "status": (DEFINITION,),
    },
    "batch": {
        "submit": (("document", "file with the steps, .json or .toml; '-' reads JSON from stdin"),),
        "status": (BATCH,),
        "list": (),
        "cancel": (BATCH,),
        "rollback": (BATCH,),
    },
    "workflow": {"status": (BATCH,), "list": ()},
}
SAYS: Mapping[str, str] = {
    "create": "register a server; run install.sh of a taskserv or a cluster",
    "delete": "unregister a server; run uninstall.sh of a taskserv or a cluster",
    "list": "everything of its kind in the workspace",
    "status": "how it is now",
    "ssh": "become ssh to the server",
    "submit": "run the steps of a file, in the foreground",
    "cancel": "stop a running batch",
    "rollback": "take back the completed steps of an ended batch",
}
CHANGING = ("create", "delete", "submit", "cancel", "rollback")


class Invocation(NamedTuple):
    """`kind` is `server_create`; `workspace` is None only for `version`."""

    kind: str
    params: dict[str, object]
    root: Path
    workspace: str | None
    is_check: bool


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadInputError(f"{message[:1].upper()}{message[1:]} (see {self.prog} --help).")


def parse(words: Sequence[str]) -> Invocation:
    """Raises BadInputError; prints and exits for --help and --version, as argparse does."""
    given = vars(_parser().parse_args(words))
    noun, verb = given.pop("noun"), given.pop("verb", None)
    common = {key: given.pop(key, None) for key in ("root", "infra", "check", "wait", "out")}
    root = common["root"] or os.environ.get(ROOT_VARIABLE) or DEFAULT_ROOT
    params = {key: _value(key, text) for key, text in given.items() if text is not None}
    return Invocation(
        kind=f"{noun}_{verb}" if verb else noun,
        params=params,
        root=Path(root).absolute(),
        workspace=_workspace(common["infra"], params.get("document")) if verb else None,
        is_check=bool(common["check"]),
    )


def _value(key: str, text: str) -> object:
    """The value as a step of a batch file would give it; whether it is good is seen later."""
    if key in ("settings", "document"):
        return documents.read(key, text)
    if key == "port":
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else text
    if key == "tags":
        return [tag.strip() for tag in text.split(",") if tag.strip()]
    return text


def _workspace(flag: str | None, document: object) -> str:
    """From --infra, else the batch file, else the environment; the first two may not differ."""
    in_file = document.get("workspace") if isinstance(document, dict) else None
    if flag is not None and in_file is not None and flag != in_file:
        differ = f"--infra is {names.shown(flag)}, but the file says {names.shown(in_file)}"
        raise BadInputError(f"{differ}: name one workspace.")
    given = [name for name in (flag, in_file) if name is not None]
    chosen = given[0] if given else os.environ.get(WORKSPACE_VARIABLE) or None
    if chosen is None:
        raise BadInputError(
            f"No workspace is named: give --infra NAME or set {WORKSPACE_VARIABLE}."
        )
    return names.name("infra", chosen)


def _parser() -> _Parser:
    parser = _Parser(prog=NAME, description="Provisions hosts you own.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"{NAME} {__version__}")
    nouns = parser.add_subparsers(dest="noun", metavar="NOUN", required=True)
    for noun, verbs in TAKES.items():
        noun_parser = nouns.add_parser(noun, allow_abbrev=False, help=", ".join(verbs))
        verb_parsers = noun_parser.add_subparsers(dest="verb", metavar="VERB", required=True)
        for verb, options in verbs.items():
            verb_parser = verb_parsers.add_parser(verb, allow_abbrev=False, help=SAYS[verb])
            _fill(verb_parser, verb, options)
    _add_out(nouns.add_parser("version", allow_abbrev=False, help="name and version"))
    return parser


def _fill(parser: argparse.ArgumentParser, verb: str, options: Sequence[Option]) -> None:
    for name, text in options:
        is_optional = name.endswith("?")
        parser.add_argument(name.rstrip("?"), nargs="?" if is_optional else None, help=text)
    parser.add_argument("--infra", help=f"the workspace (or {WORKSPACE_VARIABLE})")
    parser.add_argument("--root", help=f"directory of workspaces (or {ROOT_VARIABLE})")
    _add_out(parser)
    if verb in CHANGING:
        parser.add_argument(
            "--check", action="store_true", help="say what would be done, do nothing"
        )
        parser.add_argument("--wait", action="store_true", help="accepted: it always waits")


def _add_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", choices=("json", "text"), help="form of the result on stdout")
