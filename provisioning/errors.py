"""The errors of the product: one class a status, each with the code word of the `/v1` contract.

Services raise them; `provisioning.exception_handler` turns them into the one error body, commands
into one line. They know no framework.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class ProductError(Exception):
    """A refusal with one plain sentence for the person who asked.

    `details` maps a field to its sentences; `retry_after_seconds` becomes the Retry-After header.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "INTERNAL_ERROR"
    headers: Mapping[str, str] = {}

    def __init__(
        self,
        message: str,
        *,
        details: Mapping[str, list[str]] | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.retry_after_seconds = retry_after_seconds


class Invalid(ProductError):
    """400: something in the request breaks a rule. `field` names what."""

    status = 400
    code = "VALIDATION_ERROR"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(
            f"{field}: {message}" if field else message,
            details={field: [message]} if field else None,
        )


class Unauthorized(ProductError):
    status = 401
    code = "UNAUTHORIZED"


class Forbidden(ProductError):
    status = 403
    code = "FORBIDDEN"


class NotFound(ProductError):
    status = 404
    code = "NOT_FOUND"


class Conflict(ProductError):
    status = 409
    code = "CONFLICT"


class PreconditionFailed(ProductError):
    """412: somebody else changed it since the caller read it."""

    status = 412
    code = "PRECONDITION_FAILED"


class RangeNotSatisfiable(ProductError):
    """416: of the range that was asked for, nothing is there (RFC 9110, section 15.5.17)."""

    status = 416
    code = "RANGE_NOT_SATISFIABLE"

    def __init__(self, message: str, *, size: int) -> None:
        super().__init__(message)
        self.headers = {"Content-Range": f"bytes */{size}"}


class TooManyRequests(ProductError):
    status = 429
    code = "TOO_MANY_REQUESTS"


class Unavailable(ProductError):
    status = 503
    code = "SERVICE_UNAVAILABLE"


CODES: Mapping[int, str] = {
    400: "VALIDATION_ERROR",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    406: "NOT_ACCEPTABLE",
    409: "CONFLICT",
    412: "PRECONDITION_FAILED",
    413: "PAYLOAD_TOO_LARGE",
    414: "URI_TOO_LONG",
    415: "UNSUPPORTED_MEDIA_TYPE",
    416: "RANGE_NOT_SATISFIABLE",
    429: "TOO_MANY_REQUESTS",
    500: "INTERNAL_ERROR",
    503: "SERVICE_UNAVAILABLE",
    504: "TIMEOUT",
}


def body(
    status: int,
    message: str,
    *,
    request_id: str,
    details: Mapping[str, list[str]] | None = None,
    code: str | None = None,
) -> dict[str, object]:
    """The one error body: `{"error", "message", "code", "request_id", "details"?}`.

    `error` is the upper-case word, `code` the HTTP status as a string (both fixed by the contract).
    """
    error: dict[str, object] = {
        "error": code or CODES.get(status, "ERROR"),
        "message": message,
        "code": str(status),
        "request_id": request_id,
    }
    if details:
        error["details"] = dict(details)
    return error
