"""The secrets of machines: random, kept only as HMAC-SHA-256 under a key outside of the database.

They hold 122 bits or more, so a slow hash would protect nothing and cost 20 ms for each request. What has to
be read again, which is only a root password that its config asks to keep, is encrypted under the same key.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import secrets
import uuid

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings


def new_token_secret() -> str:
    """A random UUID (version 4) as text, as Datacenter Manager makes them."""
    return str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))


def new_hook_secret() -> str:
    """32 hexadecimal digits."""
    return secrets.token_hex(16)


@functools.lru_cache(1)
def _key(text: str) -> bytes:
    return text.encode()


def digest(secret: str) -> str:
    key = _key(settings.MACHINE_SECRETS_KEY)
    return hmac.digest(key, secret.encode("utf-8", "surrogateescape"), hashlib.sha256).hex()


def is_right(secret: str, stored: str) -> bool:
    """In constant time; nothing is right where nothing is stored."""
    return hmac.compare_digest(digest(secret), stored or "-" * 64) and bool(stored)


class WrongKey(ValueError):
    """It was sealed under another key."""


def sealed(text: str) -> str:
    """Encrypted and signed (Fernet)."""
    return _box(settings.MACHINE_SECRETS_KEY).encrypt(text.encode()).decode()


def unsealed(text: str) -> str:
    """Raises WrongKey, also for what nobody has sealed."""
    try:
        return _box(settings.MACHINE_SECRETS_KEY).decrypt(text.encode()).decode()
    except InvalidToken:
        raise WrongKey from None


@functools.lru_cache(1)
def _box(key: str) -> Fernet:
    own = hmac.digest(key.encode(), b"sealed texts", hashlib.sha256)  # not the key of the digests
    return Fernet(base64.urlsafe_b64encode(own))
