"""A launching request that is sent again, with the key it had the first time, launches nothing."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass

import orjson
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import User
from operations.models import IdempotencyKey, Operation
from provisioning.errors import Conflict, Invalid

KEY = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(frozen=True)
class Request:
    """Who asked for what, under which key."""

    user: User
    key: str
    digest: str


def request_of(user: User, key: str, method: str, path: str, body: object) -> Request:
    """Raises Invalid for a key that is none."""
    if not KEY.fullmatch(key):
        raise Invalid(
            "must have 1 to 255 printable ASCII characters and no blanks", field="Idempotency-Key"
        )
    said = orjson.dumps([method, path, body], option=orjson.OPT_SORT_KEYS, default=str)
    return Request(user, key, hashlib.sha256(said).hexdigest())


def earlier(request: Request) -> Operation | None:
    """The operation that this key has made. Raises Conflict when it was another request's."""
    row = (
        IdempotencyKey.objects.select_related("operation__workspace")
        .filter(user=request.user, key=request.key)
        .first()
    )
    if row is None:
        return None
    if row.digest != request.digest:
        raise Conflict(
            "The Idempotency-Key was used for another request before: a new request needs a new key."
        )
    return row.operation


def launch_once(request: Request, launch: Callable[[], Operation]) -> tuple[Operation, bool]:
    """`(operation, whether it was made before)`. Of two requests at once one launches."""
    try:
        with transaction.atomic():
            operation = launch()
            _remember(request, operation)
    except IntegrityError:
        found = earlier(request)
        if found is None:
            raise
        return found, True
    return operation, False


def _remember(request: Request, operation: Operation) -> None:
    old = timezone.now() - IdempotencyKey.KEPT
    IdempotencyKey.objects.filter(created_at__lt=old).delete()
    IdempotencyKey.objects.create(
        user=request.user, key=request.key, digest=request.digest, operation=operation
    )
