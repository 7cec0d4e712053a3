"""What to run: kinds of operation and how each becomes an argument list. Pure.

A template is a list of arguments in which `{name}` stands for a value. A nested list is an optional
group: it is there when every value it names is there. A group that begins with `?name` is there when
that value is true, and `?name` itself is left out.

The default table uses the verbs and flags that are known of the platform's CLI (`--infra`,
`--check`, `--settings`) and says provider, plan and zone outright: a CLI that does not know these
flags refuses them, which is better than building something else than was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

ArgvTemplate = list[str | list[str]]
Values = Mapping[str, str | bool | None]

PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Kind(StrEnum):
    """What an operation does; the words of the API."""

    SERVER_CREATE = "server_create"
    SERVER_DELETE = "server_delete"
    TASKSERV_CREATE = "taskserv_create"
    TASKSERV_DELETE = "taskserv_delete"
    CLUSTER_CREATE = "cluster_create"
    CLUSTER_DELETE = "cluster_delete"
    WORKFLOW = "workflow"


RUNNABLE_KINDS = tuple(kind for kind in Kind if kind is not Kind.WORKFLOW)
KIND_CHOICES = [(kind.value, kind.value) for kind in Kind]
STEP_KIND_CHOICES = [(kind.value, kind.value) for kind in RUNNABLE_KINDS]

CHECK = ["?check_mode", "--check"]
INFRA: list[str | list[str]] = ["--infra", "{workspace}"]

DEFAULT_TEMPLATES: Mapping[str, ArgvTemplate] = {
    "server_create": [
        "server",
        "create",
        ["{hostname}"],
        *INFRA,
        "--provider",
        "{provider}",
        "--plan",
        "{plan}",
        ["--zone", "{zone}"],
        ["--tags", "{tags}"],
        CHECK,
    ],
    "server_delete": ["server", "delete", "{hostname}", *INFRA, CHECK],
    "server_list": ["server", "list", *INFRA],
    "server_status": ["server", "status", "{hostname}", *INFRA],
    "taskserv_create": [
        "taskserv",
        "create",
        "{name}",
        *INFRA,
        ["--server", "{server}"],
        ["--version", "{version}"],
        ["--settings", "{settings_file}"],
        CHECK,
    ],
    "taskserv_delete": ["taskserv", "delete", "{name}", *INFRA, ["--server", "{server}"], CHECK],
    "taskserv_list": ["taskserv", "list", *INFRA],
    "taskserv_status": ["taskserv", "status", "{name}", *INFRA, ["--server", "{server}"]],
    "cluster_create": [
        "cluster",
        "create",
        "{name}",
        *INFRA,
        ["--version", "{version}"],
        ["--settings", "{settings_file}"],
        CHECK,
    ],
    "cluster_delete": ["cluster", "delete", "{name}", *INFRA, CHECK],
    "cluster_list": ["cluster", "list", *INFRA],
    "cluster_status": ["cluster", "status", "{name}", *INFRA],
    "version": ["version"],
}

PLACEHOLDERS = frozenset(
    {
        "workspace",
        "check_mode",
        "hostname",
        "provider",
        "plan",
        "zone",
        "tags",
        "name",
        "server",
        "version",
        "settings_file",
    }
)
PARAMETERS = PLACEHOLDERS - {"workspace", "check_mode", "settings_file"}


class BadValue(ValueError):
    """A value that must not become an argument; `field` and a sentence."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}")
        self.field = field
        self.rule = rule


def check_value(field: str, value: str) -> None:
    """Raise BadValue for text that a program could take for an option or a terminal for a command."""
    if value.startswith("-"):
        raise BadValue(
            field, f"{value[:80]!r} begins with '-', which a program takes for an option"
        )
    if CONTROL.search(value):
        raise BadValue(field, "must not hold control characters")


def build_argv(template: ArgvTemplate, values: Values) -> list[str]:
    """The arguments after the program. Raises BadValue for an unfit or a missing value."""
    argv: list[str] = []
    for part in template:
        if isinstance(part, str):
            argv.append(_fill(part, values))
        elif _is_present(part, values):
            argv += [_fill(item, values) for item in part if not item.startswith("?")]
    return argv


def _is_present(group: list[str], values: Values) -> bool:
    for item in group:
        if item.startswith("?") and not values.get(item[1:]):
            return False
        if any(not values.get(name) for name in PLACEHOLDER.findall(item)):
            return False
    return True


def _fill(item: str, values: Values) -> str:
    def value_of(match: re.Match[str]) -> str:
        name = match.group(1)
        value = values.get(name)
        if not isinstance(value, str) or not value:
            raise BadValue(name, "is needed here")
        check_value(name, value)
        return value

    return PLACEHOLDER.sub(value_of, item) if "{" in item else item


def check_template(key: str, template: ArgvTemplate) -> str | None:
    """What is wrong with a configured template, in one sentence; None when nothing is."""
    if key not in DEFAULT_TEMPLATES:
        return f"{key} is no command (known: {', '.join(DEFAULT_TEMPLATES)})"
    if not template:
        return f"{key} is empty"
    items = [item for part in template for item in ([part] if isinstance(part, str) else part)]
    names = {name for item in items for name in PLACEHOLDER.findall(item)}
    names |= {item[1:] for item in items if item.startswith("?")}
    if unknown := sorted(names - PLACEHOLDERS):
        return f"{key} names {unknown[0]!r}, which is no value (known: {', '.join(sorted(PLACEHOLDERS))})"
    return None


@dataclass(frozen=True)
class Program:
    """The CLI: what is exec'd before the arguments."""

    path: Path

    @property
    def argv(self) -> list[str]:
        """A `.nu` script is started by `nu` without its standard library and user config, which
        costs 13 ms instead of 31."""
        if self.path.suffix == ".nu":
            return ["nu", "--no-std-lib", "-n", str(self.path)]
        return [str(self.path)]


def values_of(
    kind: str, workspace: str, params: Mapping[str, object], *, check_mode: bool
) -> dict[str, str | bool | None]:
    """The values that a template of this kind may name; lists become `a,b`."""
    values: dict[str, str | bool | None] = {"workspace": workspace, "check_mode": check_mode}
    for name in PARAMETERS:
        value = params.get(name)
        if isinstance(value, list):
            values[name] = ",".join(str(item) for item in value) or None
        elif value is not None:
            values[name] = str(value)
    return values
