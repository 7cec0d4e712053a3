"""The sections of `config.toml`: keys, types, ranges and defaults.

Keys and sample values of the four original sections come from the published sample of the Rust
"Provisioning API Server"; the rest is ours and documented in `docs/configuration.md`.
"""

from __future__ import annotations

import json
import os
import re
import ssl
from pathlib import Path
from typing import Annotated, Literal

import dj_database_url
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_settings import NoDecode

LogLevel = Literal["debug", "info", "warning", "error", "critical"]
ArgvTemplate = list[str | list[str]]


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
    web_threads: int = Field(32, ge=1, le=256)
    held_requests: int | None = Field(None, ge=0, le=255)
    stream_seconds: int = Field(120, ge=1, le=3600)
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
    def _held_requests(self) -> ServerSection:
        if self.held_requests is not None and self.held_requests >= self.web_threads:
            raise ValueError(
                f"held_requests = {self.held_requests} must be below web_threads = "
                f"{self.web_threads}: each holds a thread"
            )
        return self

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
    # The console: how long nobody does anything, and how long a login lasts at most.
    console_idle_minutes: int = Field(60, ge=1, le=24 * 60)
    console_session_hours: int = Field(12, ge=1, le=24 * 31)


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


class RetentionSection(Section):
    """What the worker keeps by itself; 0 keeps everything."""

    operations_days: int = Field(0, ge=0, le=36_500)
    operations: int = Field(0, ge=0)
    log_bytes: int = Field(0, ge=0)


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
    broker: str = Field("database", repr=False)
    poll_seconds: float = Field(1.0, gt=0, le=60)

    @field_validator("broker")
    @classmethod
    def _check_broker(cls, value: str) -> str:
        """The value is not shown: it may hold a password."""
        if value != "database" and not value.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError(
                "must be database or the URL of a Redis: redis://, rediss:// or unix://"
            )
        return value


class AutoInstallSection(Section):
    secrets_key: str | None = Field(None, repr=False, min_length=32)
    max_body_bytes: int = Field(512 * 1024, ge=4096, le=8 * 1024 * 1024)
    refusals_per_minute: int = Field(60, ge=1, le=100_000)
