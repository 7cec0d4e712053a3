"""What the API answers, and the bodies that are no document of `documents`; kebab-case on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from autoinstall.documents import ConfigDocument, Document, TokenChange, kebab
from autoinstall.models import AnswerToken, Attempt
from autoinstall.sysinfo import MalformedInfo, of_stored


class Shape(BaseModel):
    """An answer; unset values are left out."""

    model_config = ConfigDict(alias_generator=kebab, validate_by_name=True, frozen=True)

    def wire(self) -> dict[str, Any]:
        return self.model_dump(by_alias=True, mode="json", exclude_none=True)


# --- Tokens ------------------------------------------------------------------------------------


class TokenOut(Shape):
    id: str
    created_by: str
    comment: str | None = None
    enabled: bool | None = Field(None, description="Unset means true")
    expire_at: int | None = Field(None, description="Epoch seconds; unset or 0 is never")
    active: bool = Field(description="Enabled and not expired")
    source_cidrs: list[str]
    max_uses: int | None = None
    uses: int = Field(description="How many answers it has fetched")
    allow_in_path: bool
    allow_without_secret: bool
    created_at: datetime
    rotated_at: datetime | None = None
    last_used_at: datetime | None = None
    last_used_from: str | None = None


class TokenSaved(Shape):
    """`secret` and `credential` are there once: when the secret is new."""

    token: TokenOut
    secret: str | None = None
    credential: str | None = Field(None, description="`id:secret`, ready for prepare-iso")


class TokenPatch(TokenChange):
    """The same for PATCH: drf-spectacular marks the class that it describes there."""


def token_out(row: AnswerToken) -> TokenOut:
    return TokenOut(
        id=row.name,
        created_by=row.created_by,
        comment=row.comment,
        enabled=row.enabled,
        expire_at=row.expire_at,
        active=row.is_active,
        source_cidrs=row.source_cidrs,
        max_uses=row.max_uses,
        uses=row.uses,
        allow_in_path=row.allow_in_path,
        allow_without_secret=row.allow_without_secret,
        created_at=row.created_at,
        rotated_at=row.rotated_at,
        last_used_at=row.last_used_at,
        last_used_from=row.last_used_from or None,
    )


def token_saved(row: AnswerToken, secret: str | None) -> TokenSaved:
    return TokenSaved(
        token=token_out(row),
        secret=secret,
        credential=f"{row.name}:{secret}" if secret else None,
    )


# --- Configs -----------------------------------------------------------------------------------


class ConfigSaved(Shape):
    config: dict[str, Any] = Field(description="The prepared config as it is now, without its hash")
    token: TokenSaved | None = Field(None, description="The token that was made for it, if any")
    warnings: list[str] = Field(description="What works, but may surprise")


class ConfigCreate(ConfigDocument):
    root_password: str | None = Field(None, description="8 to 64 characters; stored as a hash")
    root_password_hashed: str | None = Field(None, description="A crypt(3) hash")


class ConfigChange(Document):
    """Any fields of a prepared config; OpenAPI shows this, `configs.change_config` reads it."""

    model_config = ConfigDict(extra="allow")

    delete: list[str] = Field([], description="Fields to unset")
    root_password: str | None = None


class ConfigPatch(ConfigChange):
    """The same for PATCH: drf-spectacular marks the class that it describes there."""


class AnswerFileImport(Document):
    """`config` adds what an answer file cannot say: id, target-filter, tokens and so on."""

    answer_file: str = Field(max_length=256 * 1024, description="The text of an answer.toml")
    config: dict[str, Any] = Field({}, description="Fields of the prepared config; they win")


# --- Attempts and installations ----------------------------------------------------------------


class AttemptOut(Shape):
    id: UUID
    received_at: datetime
    outcome: str
    reason: str | None = None
    repeats: int = Field(description="Beyond the limit one row counts many refused requests")
    source: str | None = None
    request_id: str | None = None
    user_agent: str | None = None
    token: str | None = None
    credential: str = Field(description="How the token came: none, header, path or source")
    identity: str | None = Field(None, description="What makes this machine itself")
    product: str | None = None
    release: str | None = None
    serial: str | None = None
    answer_id: str | None = Field(None, description="The prepared config")
    counters: dict[str, int]
    answer_format: str | None = None
    answer_digest: str | None = Field(None, description="SHA-256 of the answer's bytes")
    omitted: list[str] = Field(description="Keys that this installer would not have understood")
    status: str | None = Field(None, description="Of the installation; timed-out is ours")
    deadline_at: datetime | None = None
    finished_at: datetime | None = None


class AttemptDetail(AttemptOut):
    info: dict[str, Any] | None = Field(None, description="The system information")
    raw: str | None = Field(None, description="What came, where it was no system information")
    post_hook_data: dict[str, Any] | None = None


class InstallationOut(AttemptOut):
    uuid: UUID = Field(description="The same as id")


class InstallationDetail(AttemptDetail):
    uuid: UUID = Field(description="The same as id")


HEAVY = ("raw", "hook_data")  # left out of lists


def _common(row: Attempt) -> dict[str, Any]:
    return {
        "id": row.id,
        "received_at": row.received_at,
        "outcome": row.outcome,
        "reason": row.reason or None,
        "repeats": row.repeats,
        "source": row.source or None,
        "request_id": row.request_id or None,
        "user_agent": row.user_agent or None,
        "token": row.token_name or None,
        "credential": row.credential,
        "identity": row.identity or None,
        "product": row.product or None,
        "release": row.release or None,
        "serial": row.serial or None,
        "answer_id": row.config_name or None,
        "counters": row.counters,
        "answer_format": row.answer_format or None,
        "answer_digest": row.answer_digest or None,
        "omitted": row.omitted,
        "status": row.state or None,
        "deadline_at": row.deadline_at,
        "finished_at": row.finished_at,
    }


def _detail(row: Attempt) -> dict[str, Any]:
    info = info_of(row)
    return {
        **_common(row),
        "info": info,
        "raw": row.raw if info is None and row.raw else None,
        "post_hook_data": row.hook_data,
    }


def info_of(row: Attempt) -> dict[str, Any] | None:
    """The system information of an attempt; None when it brought none."""
    try:
        return of_stored(row.raw).info if row.product else None
    except MalformedInfo:
        return None


def attempt_out(row: Attempt) -> AttemptOut:
    return AttemptOut(**_common(row))


def attempt_detail(row: Attempt) -> AttemptDetail:
    return AttemptDetail(**_detail(row))


def installation_out(row: Attempt) -> InstallationOut:
    return InstallationOut(uuid=row.id, **_common(row))


def installation_detail(row: Attempt) -> InstallationDetail:
    return InstallationDetail(uuid=row.id, **_detail(row))


# --- Preview -----------------------------------------------------------------------------------


class PreviewRequest(Document):
    """Which machine: `system-info` or `attempt`, one of them."""

    system_info: dict[str, Any] | None = Field(None, description="What an installer sends")
    attempt: str | None = Field(None, description="The id of a past attempt")
    token: str | None = Field(None, description="Only what this token may fetch")
    config: dict[str, Any] | None = Field(
        None, description="A prepared config that is not saved, tried as if it were"
    )


class FilterVerdictOut(Shape):
    pointer: str
    pattern: str
    found: list[Any]
    matches: bool
    reason: str


class ConfigVerdict(Shape):
    id: str
    priority: int
    is_default: bool
    authorized: bool
    matches: bool
    filters: list[FilterVerdictOut]


class Rejection(Shape):
    path: str
    reason: str


class PreviewAnswer(Shape):
    json_: dict[str, Any] | None = Field(alias="json")
    toml: str | None
    counters: dict[str, int]
    omitted: list[str]
    rejected: list[Rejection]
    error: str | None


class PreviewOut(Shape):
    machine: dict[str, str | None]
    winner: str | None
    why: str
    configs: list[ConfigVerdict]
    configs_left_out: int
    answer: PreviewAnswer | None
