"""Who acts and from where: made at a door, passed to services, written to the audit trail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from accounts.models import Grants, User

if TYPE_CHECKING:
    from django.http import HttpRequest
    from rest_framework.request import Request


@dataclass(frozen=True)
class Actor:
    """`user` is None for the server itself and for a command line (which may do everything)."""

    name: str
    user: User | None = None
    source: str = ""
    user_agent: str = ""
    request_id: str = ""

    @property
    def grants(self) -> Grants:
        return self.user.grants if self.user else Grants()

    @property
    def is_system(self) -> bool:
        return self.user is None and self.name in ("system", "command-line")


# No user may be called like one of these: the audit trail would not tell them apart.
RESERVED_NAMES = frozenset({"system", "command-line", "anonymous"})
SYSTEM = Actor(name="system")
COMMAND_LINE = Actor(name="command-line")


def actor_of(request: HttpRequest | Request) -> Actor:
    """The actor of an HTTP request; nobody known is called `anonymous`."""
    user = getattr(request, "user", None)
    known = user if isinstance(user, User) else None
    return Actor(
        name=known.username if known else "anonymous",
        user=known,
        source=getattr(request, "client_address", ""),
        user_agent=request.META.get("HTTP_USER_AGENT", "")[:255],
        request_id=getattr(request, "request_id", ""),
    )
