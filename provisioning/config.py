"""The typed configuration: one frozen object made of flags, environment, file and defaults.

Precedence is flags > environment > file > default. This module is the only reader of the
environment; `provisioning.settings` turns the object into Django's settings. Flags reach the
processes of the server as the environment variables of the same keys (see `flags_as_environment`),
so that web and worker see exactly what the command line said.

Keys and sample values of the four original sections come from the published sample of the Rust
"Provisioning API Server"; the rest is ours and documented in `docs/configuration.md`.
"""

from __future__ import annotations

import fnmatch
import functools
import json
import os
import re
import ssl
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import dj_database_url
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

ENV_PREFIX = "PROVISIONING_"
LogLevel = Literal["debug", "info", "warning", "error", "critical"]
ArgvTemplate = list[str | list[str]]

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
SECRET_KEYS = frozenset({"auth.jwt_secret", "database.url", "admin_password"})
SECRET_VARIABLES = frozenset(
    {"JWT_SECRET"} | {"PROVISIONING_" + key.upper().replace(".", "__") for key in SECRET_KEYS}
)
SAMPLE_SECRETS = ("your-secret-key-here", "change-me", "changeme", "your-super-secret", "insecure")
MIN_SECRET_LENGTH = 32


class ConfigError(Exception):
    """One sentence that names key, value and rule; the start stops with it."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def split_list(value: object) -> object:
    """Let a list be written in the environment as `a,b` as well as a JSON array."""
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("["):
            return json.loads(text)
        return [part.strip() for part in text.split(",") if part.strip()]
    return value


class ServerSection(Section):
    host: str = Field("127.0.0.1", min_length=1)
    port: int = Field(8083, ge=1, le=65535)
    cors_enabled: bool = True
    cors_allowed_origins: Annotated[tuple[str, ...], NoDecode] = ()
    public_url: str = Field("", pattern=r"^(https?://\S+)?$")
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ("*",)
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = ()
    tls_cert: Path | None = None
    tls_key: Path | None = None
    client_ca: Path | None = None
    web_processes: int = Field(2, ge=1, le=64)
    web_threads: int = Field(4, ge=1, le=256)
    max_body_bytes: int = Field(1024 * 1024, ge=1024, le=100 * 1024 * 1024)

    _split = field_validator(
        "cors_allowed_origins", "allowed_hosts", "trusted_proxies", mode="before"
    )(split_list)

    @field_validator("cors_allowed_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if origin != "*" and not re.fullmatch(r"https?://[^/\s]+", origin):
                raise ValueError(f"{origin!r} is not an origin such as https://console.example.com")
        return value

    @field_validator("public_url")
    @classmethod
    def _no_slash(cls, value: str) -> str:
        return value.rstrip("/")

    @model_validator(mode="after")
    def _tls_files(self) -> ServerSection:
        if bool(self.tls_cert) != bool(self.tls_key):
            raise ValueError("tls_cert and tls_key must be given together")
        if self.client_ca and not self.tls_cert:
            raise ValueError("client_ca needs tls_cert and tls_key")
        for path in (self.tls_cert, self.tls_key, self.client_ca):
            if path and not os.access(path, os.R_OK):
                raise ValueError(f"{path} is not a readable file")
        if self.tls_cert and self.tls_key:
            check_certificates(self.tls_cert, self.tls_key, self.client_ca)
        return self


def check_certificates(cert: Path, key: Path, client_ca: Path | None) -> None:
    """Load them as the web server will. Raises ValueError with a sentence."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(cert, key)
    except (ssl.SSLError, OSError) as error:
        raise ValueError(f"{cert} and {key} are no PEM certificate with its key: {error}") from None
    if client_ca:
        try:
            context.load_verify_locations(client_ca)
        except (ssl.SSLError, OSError) as error:
            raise ValueError(f"{client_ca} holds no PEM certificates: {error}") from None


class AuthSection(Section):
    jwt_secret: str | None = Field(None, repr=False)
    token_expiry_hours: int = Field(24, ge=1, le=24 * 31)
    refresh_token_expiry_hours: int = Field(168, ge=1, le=24 * 366)
    lockout_failures: int = Field(5, ge=1, le=1000)
    lockout_minutes: int = Field(15, ge=1, le=24 * 60)


class ProvisioningSection(Section):
    cli_path: str = ""
    timeout_seconds: int = Field(300, ge=1, le=7 * 24 * 3600)
    max_concurrent_operations: int = Field(10, ge=1, le=10_000)
    cancel_grace_seconds: float = Field(5.0, ge=0, le=3600)
    shutdown_grace_seconds: float = Field(10.0, ge=0, le=3600)
    status_timeout_seconds: float = Field(3.0, gt=0, le=60)
    sync_minutes: int = Field(5, ge=0, le=24 * 60)
    log_max_bytes: int = Field(64 * 1024 * 1024, ge=4096)
    pass_environment: Annotated[tuple[str, ...], NoDecode] = ()
    commands: dict[str, ArgvTemplate] = Field(default_factory=dict)

    _split = field_validator("pass_environment", mode="before")(split_list)


class LoggingSection(Section):
    level: LogLevel = "info"
    json_format: bool = False

    @field_validator("level", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value


class DatabaseSection(Section):
    url: str = Field("", repr=False)
    synchronous: Literal["FULL", "NORMAL"] = "FULL"

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, value: str) -> str:
        if value and not re.match(r"^(sqlite|postgres|postgresql)://", value):
            raise ValueError("must begin with sqlite:// or postgresql://")
        if value and not names_a_database(value):
            raise ValueError("is no URL such as postgresql://user:password@host:5432/name")
        return value


def names_a_database(url: str) -> bool:
    try:
        return bool(dj_database_url.parse(url).get("NAME"))
    except ValueError:
        return False


class QueueSection(Section):
    poll_seconds: float = Field(1.0, gt=0, le=60)


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
    logging: LoggingSection = Field(default_factory=LoggingSection)
    database: DatabaseSection = Field(default_factory=DatabaseSection)
    queue: QueueSection = Field(default_factory=QueueSection)
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


SECTIONS = ("server", "auth", "provisioning", "logging", "database", "queue")


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
            shown = "********" if key in SECRET_KEYS and value else json.dumps(value)
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
