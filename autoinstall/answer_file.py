"""`answer.toml` from and to a prepared config. Pure.

Read are the forms of Proxmox VE 8.2 to 9.2, which include keys with `_`. What a config has beyond an
answer file stands at its end in `#:` comments, which are TOML of their own: the installer passes over
them, and a config that is written and read again is the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import tomli_w

from autoinstall import documents, rules
from autoinstall.answer_config import (
    SAME_NAME,
    Table,
    config_of,
    in_current_form,
    path_of,
    table_at,
)
from autoinstall.answer_lines import Source, TomlError, marked, normal, parse, prefixes
from autoinstall.answers import TEMPLATED, has_template, skeleton
from autoinstall.documents import ConfigDocument, Secrets, kebab


@dataclass(frozen=True)
class LineProblem:
    """`key` is dotted and spelled as in the file, empty when the file is no TOML at all."""

    line: int | None
    key: str
    sentence: str

    def __str__(self) -> str:
        line = f"line {self.line}" if self.line else ""
        place = ", ".join(filter(None, (line, self.key)))
        return f"{place or 'the file'}: {self.sentence}"


@dataclass(frozen=True)
class Imported:
    """`config` holds what the file says, in the keys of the wire; `id` or password may be missing.

    `blamed` takes what the config was refused for, by field, and gives the lines of what the file says.
    """

    config: Table
    secrets: dict[str, str] = field(repr=False)
    blamed: Callable[[documents.Errors], list[LineProblem]] = field(
        repr=False, compare=False, default=lambda _: []
    )


class AnswerFileError(ValueError):
    """All that is wrong with the file, in its order; the text is the first of it."""

    def __init__(self, problems: list[LineProblem]) -> None:
        # What is wrong comes before what is missing: a misspelt key is often both.
        self.problems = sorted(
            problems, key=lambda one: (one.sentence.startswith("is missing"), one.line or 0)
        )
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(f"{self.problems[0]}{more}")


# --- Reading -----------------------------------------------------------------------------------


def read_answer_file(text: str) -> Imported:
    """Raises AnswerFileError. A file without a password is read: the caller asks for one."""
    try:
        text = normal(text)
        answer, source = parse(text), Source(text)
        extra_text = source.marked_text()
        extra = parse(extra_text)
    except TomlError as error:
        raise AnswerFileError([LineProblem(error.line, "", str(error))]) from None
    return _Reader(answer, source, extra, Source(extra_text)).read()


# Of installers before 8.4. All still parse; those left out never had another spelling.
_SNAKE_CASE: Mapping[str, tuple[str, ...]] = {
    "global": (
        *("root-password", "root-password-hashed", "root-ssh-keys", "reboot-on-error"),
        *("reboot-mode", "subscription-key"),
    ),
    "disk-setup": ("disk-list", "filter-match"),
    "disk-setup.zfs": ("arc-max",),
    "post-installation-webhook": ("cert-fingerprint", "auth-token"),
    "first-boot": ("cert-fingerprint",),
}
_PASSWORDS = ("root-password", "root-password-hashed")
_HOOK_URL = re.compile(
    r"(?P<base>https?://[^/@\s]+(?:/[^?#\s]*)?)"
    r"/api2/json/auto-install/installations/[^/?#\s]+/post-hook(?:\?[^#\s]*)?"
)


class _Reader:
    def __init__(self, answer: Table, source: Source, extra: Table, extra_source: Source) -> None:
        self._answer, self._source = answer, source
        self._extra, self._extra_source = extra, extra_source
        self._problems: list[LineProblem] = []
        self._known: set[str] = set()  # paths of the problems in the answer itself
        self._above: set[str] = set()  # and what they are in

    def read(self) -> Imported:
        answer = self._answer = in_current_form(self._in_kebab_case(self._answer))
        self._check_rules()
        if hook := self._hook_base():
            config = {**config_of(answer), "post-hook-base-url": hook}
        else:
            config = config_of(answer)
        extra = dict(self._extra_fields(config))
        self._check_shapes(config, extra)
        secrets = {
            key: value for key, value in table_at(answer, "global").items() if key in _PASSWORDS
        }
        self._check_secrets(secrets)
        if self._problems:
            raise AnswerFileError(self._problems)
        return Imported({**config, **extra}, secrets, self._blamed)

    def _add(self, path: str, sentence: str) -> None:
        self._known.add(path)
        self._above.update(prefixes(path))
        place = LineProblem(self._source.line(path), self._source.spelled(path), sentence)
        self._problems.append(place)

    def _add_once(self, path: str, sentence: str) -> None:
        """The shapes often mean what the rules have said of the same key, or of one in it."""
        is_known = any("." in part and part in self._known for part in prefixes(path))
        if not is_known and path not in self._above:
            self._add(path, sentence)

    def _in_kebab_case(self, answer: Table) -> Table:
        result = dict(answer)
        for path, names in _SNAKE_CASE.items():
            section, _, inner = path.partition(".")
            table = result.get(section)
            if inner and isinstance(table, dict) and isinstance(table.get(inner), dict):
                result[section] = {**table, inner: self._renamed(path, table[inner], names)}
            elif not inner and isinstance(table, dict):
                result[section] = self._renamed(path, table, names)
        return result

    def _renamed(self, path: str, table: Table, names: tuple[str, ...]) -> Table:
        result: Table = {}
        for key, value in table.items():
            name = kebab(key) if kebab(key) in names else key
            if name in result:
                self._add(f"{path}.{key}", f"is there twice: {name} may also be spelled with '_'")
            result.setdefault(name, value)
        for name in names:
            snake = name.replace("-", "_")
            if snake in table and name not in table:
                self._source.alias(f"{path}.{name}", f"{path}.{snake}")
        return result

    def _check_rules(self) -> None:
        templated = frozenset(
            path for path in TEMPLATED.values() if _is_template(self._answer, path)
        )
        has_password = any(key in table_at(self._answer, "global") for key in _PASSWORDS)
        for problem in rules.check_answer(self._answer, templated=templated):
            if has_password or problem.path != "global.root-password":
                self._add(problem.path, problem.sentence)

    def _hook_base(self) -> str | None:
        """The server that the hook calls: it makes the rest of the URL for each installation anew."""
        url = table_at(self._answer, "post-installation-webhook").get("url")
        found = _HOOK_URL.fullmatch(url) if isinstance(url, str) else None
        if url is not None and found is None:
            self._add_once(
                "post-installation-webhook.url",
                "does not end in /api2/json/auto-install/installations/<id>/post-hook: this server "
                "makes the URL of its own hook for each installation, and can keep no other",
            )
        return found["base"] if found else None

    def _extra_fields(self, config: Table) -> Iterator[tuple[str, Any]]:
        """What the `#:` lines say."""
        for key, value in self._extra.items():
            if key not in EXTRA_FIELDS:
                self._add_extra(key, "is no key for a '#:' line")
            elif key in config:
                self._add_extra(key, "is set above already, where the installer reads it")
            else:
                yield key, value

    def _add_extra(self, place: str, sentence: str) -> None:
        self._problems.append(LineProblem(self._extra_source.line(place), place, sentence))

    def _blamed(self, errors: documents.Errors) -> list[LineProblem]:
        """Of a file that was read without a problem."""
        for place, sentences in errors.items():
            if place.partition(".")[0] in self._extra:
                self._add_extra(place, sentences[0])
            else:
                self._add(path_of(place, self._answer), sentences[0])
        return self._problems

    def _check_shapes(self, config: Table, extra: Table) -> None:
        filled = {"id": "import", **config, **extra}
        _, errors = documents.read(ConfigDocument, filled)
        for place, sentences in errors.items():
            name = place.partition(".")[0]
            if name in extra:
                self._add_extra(place, sentences[0])
            elif name in filled:  # what is missing, the rules have said
                path = path_of(place, self._answer)
                # The shape's own sentence shows the URL, in which a password may be.
                is_url = path.endswith(".url")
                self._add_once(path, "must be http(s)://host/path" if is_url else sentences[0])

    def _check_secrets(self, secrets: Mapping[str, Any]) -> None:
        _, errors = documents.read(Secrets, secrets)
        for name, sentences in errors.items():
            self._add_once(f"global.{name}", sentences[0])


def _is_template(answer: Table, path: str) -> bool:
    section, _, key = path.partition(".")
    value = table_at(answer, section).get(key)
    return isinstance(value, str) and has_template(value)


# --- Writing -----------------------------------------------------------------------------------

_DEFAULTS: Table = {
    kebab(name): info.default
    for name, info in ConfigDocument.model_fields.items()
    if not info.is_required() and info.default is not None
}
# Always in the file itself, where the installer reads them.
_OF_THE_FILE = frozenset(
    {
        *SAME_NAME,
        *("use-dhcp-fqdn", "use-dhcp-network", "netif-name-pinning-enabled", "filesystem"),
        *("disk-mode", "disk-filter-match", "first-boot"),
    }
)
EXTRA_FIELDS = frozenset(map(kebab, ConfigDocument.model_fields)) - _OF_THE_FILE
_WITHOUT_HASH = (
    "# The password is not exported: set root-password or root-password-hashed in [global].\n"
)
_EXTRA_HEAD = (
    "\n# From here on for the import into a Provisioning Server; the installer passes over it.\n"
)


def write_answer_file(config: Mapping[str, Any], *, password_hash: str | None = None) -> str:
    """Of a config in its wire form. What the `#:` lines hold is all that the rest does not say.

    Without a hash the file is no full answer, which a comment says. The webhook is only in them too:
    its URL is another for each installation.
    """
    answer = skeleton({**_DEFAULTS, **config}, password_hash or "")
    if "first-boot" in config:
        answer["first-boot"] = config["first-boot"]
    if not password_hash:
        del answer["global"]["root-password-hashed"]
    answer = {section: _without_empty(table) for section, table in answer.items()}
    said = config_of(answer)
    extra = {
        key: value
        for key, value in config.items()
        if key not in said and value != _DEFAULTS.get(key)
    }
    text = ("" if password_hash else _WITHOUT_HASH) + tomli_w.dumps(answer)
    if extra:
        text += _EXTRA_HEAD + marked(tomli_w.dumps(extra).rstrip("\n").split("\n"))
    return text


def _without_empty(table: Mapping[str, Any]) -> Table:
    return {key: value for key, value in table.items() if value not in ([], {})}
