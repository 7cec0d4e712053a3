"""Every failure of the API becomes the one error body; every refusal an audit event."""

from __future__ import annotations

import logging
import math
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import IntegrityError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import audit
from accounts.actor import actor_of
from accounts.events import Event
from accounts.models import User
from provisioning import errors
from provisioning.formats import JSONRenderer

log = logging.getLogger("provisioning.api")


def handle(error: Exception, context: dict[str, Any]) -> Response:
    """DRF's EXCEPTION_HANDLER. Unknown exceptions answer a plain 500; the traceback goes to the log."""
    request: Request = context["request"]
    product_error = translate(error)
    if (product_error.status == 403 or isinstance(error, IntegrityError)) and was_deleted(request):
        request.user = AnonymousUser()
        product_error = errors.Unauthorized("The access token has been revoked: log in again.")
    if product_error.status in (401, 403):
        record_refusal(request, product_error)
    if product_error.status >= 500 and not isinstance(error, errors.ProductError):
        log.error("request failed", exc_info=error, extra={"path": request.path})
    request_id = getattr(request, "request_id", "")
    response = Response(
        errors.body(
            product_error.status,
            product_error.message,
            request_id=request_id,
            details=product_error.details,
            code=product_error.code,
        ),
        status=product_error.status,
    )
    # The body is JSON, also where the view speaks another format.
    request.accepted_renderer = JSONRenderer()
    request.accepted_media_type = JSONRenderer.media_type
    if product_error.status == 401:
        response["WWW-Authenticate"] = 'Bearer realm="api"'
    for name, value in product_error.headers.items():
        response[name] = value
    if product_error.retry_after_seconds is not None:
        response["Retry-After"] = str(product_error.retry_after_seconds)
    if isinstance(error, exceptions.MethodNotAllowed):
        response["Allow"] = ", ".join(context["view"].allowed_methods)
    # Django logs an error for what it has not seen logged: a 503 of ours (drained, too many streams) is an
    # answer we mean to give, and has its line in the access log; any other failure was logged above.
    response._has_been_logged = product_error.status >= 500  # type: ignore[attr-defined]
    return response


def was_deleted(request: Request) -> bool:
    """Whether another process deleted this person while the cache of this one still knew him: then no
    row that names him can be written, neither of his act nor of its refusal."""
    user = request.user
    return isinstance(user, User) and not User.objects.filter(pk=user.pk).exists()


def translate(error: Exception) -> errors.ProductError:
    """Any exception as one of ours."""
    match error:
        case errors.ProductError():
            return error
        case exceptions.ValidationError():
            return validation_error(error)
        case Http404():
            return errors.NotFound("There is nothing with this id that you may see.")
        case exceptions.NotAuthenticated():
            return errors.Unauthorized("Log in first: this needs 'Authorization: Bearer <token>'.")
        case PermissionDenied() | exceptions.PermissionDenied():
            return errors.Forbidden("You may not do this.")
        case RequestDataTooBig():
            return too_large()
        case exceptions.Throttled():
            wait = math.ceil(getattr(error, "wait", None) or 1)
            return errors.TooManyRequests("Too many requests.", retry_after_seconds=wait)
        case exceptions.MethodNotAllowed():
            return other(405, str(error.detail))
        case exceptions.UnsupportedMediaType():
            return other(415, "The body must be JSON: send 'Content-Type: application/json'.")
        case exceptions.APIException():
            return other(error.status_code, str(error.detail))
        case OperationalError() if is_passing(error):
            return errors.Unavailable(
                "The database is busy: try again in a second.", retry_after_seconds=1
            )
    return other(500, "Something went wrong on the server; its log has the request id.")


def is_passing(error: OperationalError) -> bool:
    """SQLite's "database is locked", PostgreSQL's "deadlock detected": nothing was changed, and the
    same request will do in a moment."""
    return "locked" in str(error) or "deadlock" in str(error)


def other(status: int, message: str) -> errors.ProductError:
    kind = type(
        "Other",
        (errors.ProductError,),
        {"status": status, "code": errors.CODES.get(status, "ERROR")},
    )
    instance: errors.ProductError = kind(message)
    return instance


def too_large() -> errors.ProductError:
    return other(413, f"The body may have at most {settings.DATA_UPLOAD_MAX_MEMORY_SIZE} bytes.")


def validation_error(error: exceptions.ValidationError) -> errors.ProductError:
    """DRF's nested detail as `field -> sentences`; the first sentence is the message."""
    details = dict(_sentences(error.detail, ""))
    field, sentences = next(iter(details.items()))
    message = f"{field}: {sentences[0]}" if field != "body" else sentences[0]
    result = errors.Invalid(message)
    result.details = details
    return result


def _sentences(detail: Any, path: str) -> list[tuple[str, list[str]]]:
    if isinstance(detail, dict):
        found = []
        for key, value in detail.items():
            if isinstance(key, int):  # an item of a list
                found += _sentences(value, f"{path}[{key}]")
                continue
            name = "" if key == "non_field_errors" else str(key)
            inner = f"{path}.{name}" if path and name else path or name
            found += _sentences(value, inner)
        return found
    if isinstance(detail, list) and any(isinstance(item, dict) for item in detail):
        found = []
        for index, item in enumerate(detail):
            found += _sentences(item, f"{path}[{index}]") if item else []
        return found
    items = detail if isinstance(detail, list) else [detail]
    return [(path or "body", [str(item) for item in items])]


def record_refusal(request: Request | HttpRequest, error: errors.ProductError) -> None:
    """One audit event where somebody was refused, unless the service has written its own."""
    if request.path in OWN_AUDIT:
        return
    event = Event.ACCESS_DENIED if error.status == 403 else Event.AUTHENTICATION_FAILED
    audit.record(
        event,
        actor=actor_of(request),
        target_name=f"{request.method} {request.path}",
        outcome=audit.Outcome.DENIED,
        data={"reason": error.message},
    )


# Login and refresh write their own, more telling events.
OWN_AUDIT = frozenset({"/v1/auth/login", "/v1/auth/refresh"})


def plain(request: HttpRequest, status: int, message: str) -> HttpResponse:
    """The error body outside DRF: unknown paths, middleware, Django's own handlers."""
    request_id = getattr(request, "request_id", "")
    body = JSONRenderer().render(errors.body(status, message, request_id=request_id))
    return HttpResponse(body, status=status, content_type=JSONRenderer.media_type)
