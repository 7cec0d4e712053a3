"""Which answer token a request shows, and whether it is good: the installer's own authentication.

The reasons are for the attempt's row alone; whoever is refused learns none of them.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from autoinstall import keys
from autoinstall.models import Attempt
from autoinstall.snapshot import Snapshot, TokenEntry

How = Attempt.Credential
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._\-]{2,63}")
_LOOKS_SECRET = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|[0-9a-fA-F]{32,}")


@dataclass(frozen=True, slots=True)
class Credential:
    """`id:secret` as it came, and how."""

    how: How
    name: str = ""
    secret: str = ""

    @property
    def shown_name(self) -> str:
        """The id for the record, unless it may be a secret in the wrong place."""
        is_harmless = _NAME.fullmatch(self.name) and not _LOOKS_SECRET.fullmatch(self.name)
        return self.name if is_harmless else ""


NOTHING = Credential(How.NONE)


@dataclass(frozen=True, slots=True)
class Refusal:
    reason: str


def from_header(value: str) -> Credential:
    """`Bearer id:secret`, the scheme in any case; else nothing."""
    scheme, _, rest = value.partition(" ")
    name, colon, secret = rest.partition(":")
    if scheme.lower() != "bearer" or not colon:
        return NOTHING
    return Credential(How.HEADER, name, secret)


def from_path(value: str) -> Credential:
    """`id:secret` as the last part of the URL's path."""
    name, _, secret = value.partition(":")
    return Credential(How.PATH, name, secret)


def authenticate(
    snapshot: Snapshot, credential: Credential, source: str
) -> tuple[TokenEntry, How] | Refusal:
    """The token and how it came to be accepted."""
    if credential.how == How.NONE:
        return _by_source(snapshot, source)
    token = snapshot.tokens.get(credential.name)
    # The digest is compared for unknown tokens, too: the time tells nothing.
    is_right = keys.is_right(credential.secret, token.secret_digest if token else "")
    if token is None:
        return Refusal("There is no such answer token.")
    if not is_right:
        return Refusal("The secret is wrong.")
    if credential.how == How.PATH and not token.allow_in_path:
        return Refusal("The token came in the URL's path, which it does not allow (allow-in-path).")
    return _usable(token, source) or (token, credential.how)


def _by_source(snapshot: Snapshot, source: str) -> tuple[TokenEntry, How] | Refusal:
    """Without a secret: the token with the narrowest network around this address."""
    found = [token for token in snapshot.secretless if token.covers(source)]
    if not found:
        return Refusal("The request came without a token.")
    token = max(found, key=lambda token: (token.narrowness(source), -token.pk))
    return _usable(token, source) or (token, How.SOURCE)


def _usable(token: TokenEntry, source: str) -> Refusal | None:
    if not token.enabled:
        return Refusal("The token is disabled.")
    if token.expire_at and token.expire_at <= time.time():
        return Refusal("The token has expired.")
    if token.networks and not token.covers(source):
        return Refusal(f"The address {source} is outside of the token's source networks.")
    return None
