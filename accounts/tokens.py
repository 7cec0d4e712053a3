"""The two kinds of JWT: short access tokens and refresh tokens that stand for a database row."""

from __future__ import annotations

import functools
import re
import time
from typing import Any

from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import AccessToken, Token

from accounts.models import RefreshSession
from provisioning.errors import Unauthorized


class RefreshToken(Token):
    """`jti` is the id of its RefreshSession. simplejwt's own class wants its blacklist tables."""

    token_type = "refresh"  # noqa: S105 - a type name
    lifetime = api_settings.REFRESH_TOKEN_LIFETIME


def issue_pair(session: RefreshSession) -> dict[str, Any]:
    """`{"token", "refresh_token", "expires_in"}`, the shape fixed by the contract."""
    access = AccessToken()
    access["sub"] = str(session.user_id)
    access["ver"] = session.user.token_version
    access["sid"] = session.family.hex
    refresh = RefreshToken()
    refresh["sub"] = str(session.user_id)
    refresh["jti"] = session.pk.hex
    return {
        "token": str(access),
        "refresh_token": str(refresh),
        "expires_in": int(api_settings.ACCESS_TOKEN_LIFETIME.total_seconds()),
    }


def parse_access(raw: bytes | str) -> dict[str, Any]:
    """The payload of a valid access token. Raises Unauthorized with one sentence."""
    payload = _verified_access(raw)
    if payload["exp"] <= time.time():
        raise Unauthorized("The access token has expired: log in again.")
    return dict(payload)


@functools.lru_cache(4096)
def _verified_access(raw: bytes | str) -> dict[str, Any]:
    """Its payload, once its signature has been checked: a fifth of what a poll costs, and clients poll with
    the same token. Only good tokens are kept."""
    return _parse(AccessToken, raw, "The access token")


def parse_refresh(raw: str) -> dict[str, Any]:
    """The payload of a valid refresh token. Raises Unauthorized with one sentence."""
    return _parse(RefreshToken, raw, "The refresh token")


def _parse(kind: type[Token], raw: bytes | str, name: str) -> dict[str, Any]:
    try:
        payload = kind(raw).payload  # type: ignore[arg-type]  # the stubs want a Token here
    except (TokenError, OverflowError) as error:  # the second: an instant beyond all calendars
        problem = "has expired" if "expired" in str(error).lower() else "is not valid"
        raise Unauthorized(f"{name} {problem}: log in again.") from None
    if not re.fullmatch(r"[0-9]{1,18}", str(payload.get("sub"))):
        raise Unauthorized(f"{name} is not valid: log in again.")
    return dict(payload)
