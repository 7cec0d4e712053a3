"""The typed configuration: one frozen object made of flags, environment, file and defaults.

Precedence is flags > environment > file > default. This module is the only reader of the
environment; `provisioning.settings` turns the object into Django's settings. Flags reach the
processes of the server as the environment variables of the same keys (see `flags_as_environment`),
so that web and worker see exactly what the command line said.
"""

from __future__ import annotations

import fnmatch
import functools
import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from provisioning.sections import (
    AuthSection,
    AutoInstallSection,
    DatabaseSection,
    LoggingSection,
    LogLevel,
    ProvisioningSection,
    QueueSection,
    RetentionSection,
    Section,
    ServerSection,
)

ENV_PREFIX = "PROVISIONING_"

# The two names the original had, and the names of ours outside any section.
ENV_ALIASES = {
    "JWT_SECRET": "PROVISIONING_AUTH__JWT_SECRET",
    "PROVISIONING_CLI_PATH": "PROVISIONING_PROVISIONING__CLI_PATH",
}
# What any program needs to run at all; ssh wants HOME and the agent's socket.
CLI_ENVIRONMENT = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_*",
    "TZ",
    "TMPDIR",
    "SSH_AUTH_SOCK",
)
SECRET_KEYS = frozenset(
    {
        *("auth.jwt_secret", "auto_install.secrets_key", "database.url", "queue.broker"),
        "admin_password",
    }
)
SECRET_VARIABLES = frozenset(
    {"JWT_SECRET"} | {"PROVISIONING_" + key.upper().replace(".", "__") for key in SECRET_KEYS}
)
SAMPLE_SECRETS = ("your-secret-key-here", "change-me", "changeme", "your-super-secret", "insecure")
MIN_SECRET_LENGTH = 32


class ConfigError(Exception):
    """One sentence that names key, value and rule; the start stops with it."""


class Config(BaseSettings):
    """Everything that can be configured; see `docs/configuration.md` for the meaning of each key."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    server: ServerSection = Field(default_factory=ServerSection)
    auth: AuthSection = Field(default_factory=AuthSection)
    provisioning: ProvisioningSection = Field(default_factory=ProvisioningSection)
    retention: RetentionSection = Field(default_factory=RetentionSection)
    logging: LoggingSection = Field(default_factory=LoggingSection)
    database: DatabaseSection = Field(default_factory=DatabaseSection)
    queue: QueueSection = Field(default_factory=QueueSection)
    auto_install: AutoInstallSection = Field(default_factory=AutoInstallSection)
    state_dir: Path = Path("state")
    admin_password: str = Field("", repr=False)
    dev: bool = False

    @field_validator("state_dir", mode="before")
    @classmethod
    def _not_empty(cls, value: object) -> object:
        if value == "":
            raise ValueError("must not be empty")
        return value

    @model_validator(mode="after")
    def _secrets_are_secret(self) -> Config:
        secret = self.auth.jwt_secret
        if secret is not None and not self.dev:
            if len(secret) < MIN_SECRET_LENGTH:
                raise ValueError(
                    f"auth.jwt_secret has {len(secret)} characters, it must have at least "
                    f"{MIN_SECRET_LENGTH} (leave it out to have one generated)"
                )
            if any(sample in secret.lower() for sample in SAMPLE_SECRETS):
                raise ValueError(
                    "auth.jwt_secret is the sample of the documentation: choose another"
                )
        if self.admin_password == "admin123" and not self.dev:  # noqa: S105 - the published sample
            raise ValueError("admin_password is the sample of the documentation: choose another")
        return self


SECTIONS = (
    "server",
    "auth",
    "provisioning",
    "retention",
    "logging",
    "database",
    "queue",
    "auto_install",
)


@dataclass(frozen=True)
class LoadedConfig:
    """The effective configuration and, for each dotted key, where its value came from."""

    values: Config
    origins: Mapping[str, str]
    environment: Mapping[str, str]

    def environment_for_cli(self) -> dict[str, str]:
        """What the CLI may see of our environment: the basics and `provisioning.pass_environment`."""
        names = (*CLI_ENVIRONMENT, *self.values.provisioning.pass_environment)
        return {
            name: value
            for name, value in self.environment.items()
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in names)
            and name not in SECRET_VARIABLES
        }

    def masked(self) -> list[tuple[str, str, str]]:
        """`(dotted key, value as JSON with secrets masked, origin)`, sorted by key."""
        rows = []
        for key, value in sorted(flatten(self.values.model_dump(mode="json")).items()):
            shown = (
                "********"
                if key in SECRET_KEYS and value not in (None, "", "database")
                else json.dumps(value)
            )
            rows.append((key, shown, self.origins.get(key, "default")))
        return rows


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"server": {"port": 1}}` -> `{"server.port": 1}`; command templates stay whole."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and key in Config.model_fields:
            flat.update(flatten(value, f"{key}."))
        else:
            flat[key] = value
    return flat


def known_keys() -> dict[str, FieldInfo]:
    """Every dotted key with its field."""
    keys: dict[str, FieldInfo] = {}
    for name, field in Config.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Section):
            keys.update({f"{name}.{key}": sub for key, sub in section.model_fields.items()})
        else:
            keys[name] = field
    return keys


def env_name(key: str) -> str:
    """`server.port` -> `PROVISIONING_SERVER__PORT`."""
    return ENV_PREFIX + key.upper().replace(".", "__")


def read_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Our variables under their full names, aliases resolved and `NAME_FILE` read.

    Raises ConfigError for an unreadable secret file and for a variable of one of our sections whose
    key does not exist (a typing error that would otherwise be ignored in silence).
    """
    names = {env_name(key): key for key in known_keys()}
    found: dict[str, str] = {}
    for name, value in environ.items():
        full = ENV_ALIASES.get(name, name)
        if full in names:
            if name == full or full not in environ:
                found[full] = value
        elif name.endswith("_FILE"):
            target = ENV_ALIASES.get(name[:-5], name[:-5])
            if names.get(target) in SECRET_KEYS:
                refuse_two_values(name, environ)
                found[target] = read_secret_file(name, value)
        elif name.startswith(ENV_PREFIX) and (
            "__" in name or name.removeprefix(ENV_PREFIX).lower() in SECTIONS
        ):
            raise ConfigError(
                f"{name} is set, but there is no such setting: see docs/configuration.md"
            )
    return found


def refuse_two_values(file_variable: str, environ: Mapping[str, str]) -> None:
    """A secret comes from its variable or from a file, not from both."""
    wanted = ENV_ALIASES.get(file_variable[:-5], file_variable[:-5])
    for name in environ:
        if ENV_ALIASES.get(name, name) == wanted:
            raise ConfigError(f"{name} and {file_variable} are both set: set one of them")


def read_secret_file(name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name} names {path}, which cannot be read: {error}") from None


def read_file(path: Path) -> dict[str, Any]:
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"the configuration file {path} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the configuration file {path} cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"the configuration file {path} is not TOML: {error}") from None
    for name in SECTIONS:
        if not isinstance(tree.get(name, {}), dict):
            raise ConfigError(f"{name} = {tree[name]!r} in {path}: must be a section, [{name}]")
    return tree


class _Environment(EnvSettingsSource):
    """pydantic's environment source over a mapping that we have already cleaned."""

    def __init__(self, settings_cls: type[BaseSettings], environ: Mapping[str, str]) -> None:
        self._environ = {name.lower(): value for name, value in environ.items()}
        super().__init__(settings_cls)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return self._environ


class _Tree(PydanticBaseSettingsSource):
    """A source that is simply a nested dict."""

    def __init__(self, settings_cls: type[BaseSettings], tree: dict[str, Any]) -> None:
        super().__init__(settings_cls)
        self._tree = tree

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return self._tree.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return self._tree


def load(environ: Mapping[str, str] | None = None) -> LoadedConfig:
    """Read file (`PROVISIONING_CONFIG`, else `./config.toml` when it exists) and environment.

    Raises ConfigError with one sentence for whatever is wrong.
    """
    environ = os.environ if environ is None else environ
    ours = read_environment(environ)
    named = environ.get("PROVISIONING_CONFIG", "")
    path = Path(named) if named else Path("config.toml")
    tree = read_file(path) if named or path.exists() else {}

    class Sourced(Config):
        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *_: Any, **__: Any
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (_Environment(settings_cls, ours), _Tree(settings_cls, tree))

    try:
        values = Sourced()
    except ValidationError as error:
        raise ConfigError(first_sentence(error)) from None
    except (ValueError, TypeError) as error:  # a list in the environment that is no JSON
        raise ConfigError(f"the environment holds a value that cannot be read: {error}") from None
    keys = {env_name(key): key for key in known_keys()}
    flags = set(json.loads(environ.get("PROVISIONING_FLAGS", "[]")))
    origins = dict.fromkeys(flatten(tree), f"file {path}")
    origins |= {
        keys[name]: ("flag" if keys[name] in flags else f"environment {name}") for name in ours
    }
    return LoadedConfig(values=values, origins=origins, environment=dict(environ))


def first_sentence(error: ValidationError) -> str:
    """The first complaint as `key = value: rule`, without the value when the key is a secret."""
    detail = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in detail["loc"])
    rule = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "extra_forbidden":
        return f"{key} is no setting of this program: see docs/configuration.md"
    if not key or key in Config.model_fields or key in SECRET_KEYS:
        return f"{key}: {rule}" if key else rule
    return f"{key} = {detail['input']!r}: {rule[0].lower()}{rule[1:]}"


def flags_as_environment(flags: Mapping[str, str | bool | None]) -> dict[str, str]:
    """The environment that says the same as these flags (dotted key -> value; None = not given)."""
    given = {key: value for key, value in flags.items() if value is not None}
    environment = {
        env_name(key): str(value).lower() if isinstance(value, bool) else str(value)
        for key, value in given.items()
    }
    return environment | {"PROVISIONING_FLAGS": json.dumps(sorted(given))}


@functools.cache
def current() -> LoadedConfig:
    """The configuration of this process, read once."""
    return load()


LOG_LEVELS: tuple[str, ...] = get_args(LogLevel)
