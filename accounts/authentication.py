"""Bearer access tokens for the API.

User, roles and session are read through a cache of this process that lives at most five seconds:
revocation is felt everywhere within that time, without a SELECT per request.
"""

from __future__ import annotations

import time
import uuid
from collections import OrderedDict
from threading import Lock
from typing import Any

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from accounts import tokens
from accounts.models import RefreshSession, User
from provisioning.errors import Unauthorized

CACHE_SECONDS = 5.0
CACHE_SIZE = 4096

_cache: OrderedDict[tuple[str, str], tuple[float, User | None]] = OrderedDict()
_cache_lock = Lock()


class AccessTokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer <access token>`. `request.auth` is the token's payload."""

    def authenticate(self, request: Request) -> tuple[User, dict[str, Any]] | None:
        try:
            return self._authenticate(request)
        except Unauthorized as error:
            # Only after an exception of its own does DRF take the request for anonymous; after any
            # other, whoever asks for `request.user` would raise it again.
            raise AuthenticationFailed(error.message) from None

    def _authenticate(self, request: Request) -> tuple[User, dict[str, Any]] | None:
        header = request.META.get("HTTP_AUTHORIZATION", "")
        if not header:
            return None
        scheme, _, raw = header.partition(" ")
        if scheme.lower() != "bearer" or not raw.strip() or not raw.isascii():
            raise Unauthorized("The Authorization header must be 'Bearer <access token>'.")
        payload = tokens.parse_access(raw.strip())
        user = _person(payload["sub"], str(payload.get("sid", "")))
        if user is None or payload.get("ver") != user.token_version:
            raise Unauthorized("The access token has been revoked: log in again.")
        return user, payload

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


def _person(user_id: str, session: str) -> User | None:
    """The active user of a session that is not revoked; None otherwise."""
    key = (user_id, session)
    now = time.monotonic()
    with _cache_lock:
        cached = _cache.get(key)
        if cached and cached[0] > now:
            return cached[1]
    user = _read_person(user_id, session)
    with _cache_lock:
        _cache[key] = (now + CACHE_SECONDS, user)
        _cache.move_to_end(key)
        while len(_cache) > CACHE_SIZE:
            _cache.popitem(last=False)
    return user


def _read_person(user_id: str, session: str) -> User | None:
    try:
        family = uuid.UUID(session)
    except ValueError:
        return None
    # A family lives through the one row that is neither spent nor revoked.
    is_live = RefreshSession.objects.filter(
        family=family, user_id=int(user_id), revoked_at=None, expires_at__gt=timezone.now()
    ).exists()
    user = User.objects.filter(pk=int(user_id), is_active=True).first() if is_live else None
    if user:
        _ = user.grants  # read now, so that the object is complete before threads share it
    return user


def forget_cached_people() -> None:
    """Make a revocation felt at once in this process."""
    with _cache_lock:
        _cache.clear()
