"""What the views of `/v1/auto-install` share: documents in, ETags, If-Match."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

from django.db.models import Sum
from rest_framework.request import Request
from rest_framework.response import Response

from autoinstall.documents import Document, Secrets, read
from autoinstall.models import PreparedConfig
from autoinstall.services.configs import invalid
from autoinstall.services.tokens import Precondition
from provisioning.errors import Invalid, PreconditionFailed

Shape = TypeVar("Shape", bound=Document)
SECRETS = ("root-password", "root-password-hashed")


def read_shape(shape: type[Shape], data: Any, *, lax: bool = False) -> Shape:
    """Raises Invalid naming each field."""
    document, errors = read(shape, data, lax=lax)
    if document is None:
        raise invalid(errors)
    return document


def take_secrets(data: Any) -> tuple[dict[str, Any], Secrets]:
    """The body without its passwords, and those."""
    rest = {key: value for key, value in data.items() if key not in SECRETS}
    return rest, read_shape(Secrets, {key: data[key] for key in SECRETS if key in data})


def read_delete(data: dict[str, Any]) -> list[str]:
    """Take `delete` out of the body."""
    names = data.pop("delete", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Invalid("must be a list of field names", field="delete")
    return names


def etag_of(row: Any) -> str:
    """Moves with every change that somebody makes."""
    return f'"{row.generation}"'


def tag_of_config(config: PreparedConfig) -> str:
    """Its counters stand behind the dash: they move when machines are answered."""
    values = config.counters.aggregate(total=Sum("value"))["total"] or 0
    return f'"{config.generation}-{values}"'


def tag_but_for_counters(config: PreparedConfig) -> str:
    return f'"{config.generation}"'


def with_config_etag(response: Response, config: PreparedConfig) -> Response:
    response["ETag"] = tag_of_config(config)
    return response


def if_config_matches(request: Request, *, sets_counters: bool) -> Precondition:
    """`If-Match` on a config. What machines were answered meanwhile only matters to whoever sets
    counters: he would set them back."""
    wanted = request.headers.get("If-Match", "").strip()

    def check(config: PreparedConfig) -> None:
        tags = {tag.strip() for tag in wanted.split(",")}
        present = tag_of_config(config)
        if not sets_counters:
            tags = {re.sub(r"-\d+\"$", '"', tag) for tag in tags}
            present = tag_but_for_counters(config)
        if wanted and wanted != "*" and present not in tags:
            raise PreconditionFailed(
                f"Somebody else has changed {config} since: its ETag is {tag_of_config(config)}. "
                "Read it again."
            )

    return check


def with_etag(response: Response, row: Any) -> Response:
    response["ETag"] = etag_of(row)
    return response


def if_match(request: Request, tag_of: Callable[[Any], str] = etag_of) -> Precondition:
    """The caller's `If-Match`, as a check of the row under its lock."""
    wanted = request.headers.get("If-Match", "").strip()

    def check(row: Any) -> None:
        tags = {tag.strip() for tag in wanted.split(",")}
        if wanted and wanted != "*" and tag_of(row) not in tags:
            raise PreconditionFailed(
                f"Somebody else has changed {row} since: its ETag is {tag_of(row)}. Read it again."
            )

    return check
