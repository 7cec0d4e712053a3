"""What the installer itself calls: `answer` and `post-hook`, the same under both mounts.

Plain Django views: these are the hot paths, and they speak to a machine's console: their errors are one
sentence of plain text. They never redirect and have no CSRF token to check.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.views.decorators.csrf import csrf_exempt
from prometheus_client import Histogram

from autoinstall import metrics
from autoinstall.authentication import Credential, from_header, from_path
from autoinstall.documents import CONTROL
from autoinstall.services import answering, installing
from autoinstall.services.answering import Asked, Reply
from provisioning.errors import ProductError

log = logging.getLogger("autoinstall")
TEXT = "text/plain; charset=utf-8"
UNREADABLE = "The body could not be read to its end."


@csrf_exempt
def answer(request: HttpRequest, credential: str = "") -> HttpResponse:
    """`POST .../answer`, and `POST .../answer/<id>:<secret>` for tokens that allow it."""
    shown = from_path(credential) if credential else from_header(header(request, "AUTHORIZATION"))
    return measured(metrics.ANSWERS, request, lambda: response_of(_answer(request, shown)))


def _answer(request: HttpRequest, credential: Credential) -> Reply:
    limit = settings.ANSWER_BODY_MAX_BYTES
    if body_length(request) > limit:
        sentence = f"The body may have at most {limit} bytes."
        return answering.refuse_unread(_asked(request, credential, b""), sentence, status=413)
    try:
        raw = request.read()
    except UnreadablePostError:
        unread = _asked(request, credential, b"")
        return answering.refuse_unread(unread, UNREADABLE, status=400)
    return answering.answer(_asked(request, credential, raw))


def _asked(request: HttpRequest, credential: Credential, raw: bytes) -> Asked:
    return Asked(
        raw=raw,
        credential=credential,
        source=request.client_address,  # type: ignore[attr-defined]
        accepts_json="application/json" in header(request, "ACCEPT"),
        user_agent=header(request, "USER_AGENT"),
        request_id=request.request_id,  # type: ignore[attr-defined]
    )


@csrf_exempt
def post_hook(request: HttpRequest, attempt: str, is_compat: bool = False) -> HttpResponse:
    """`POST .../installations/<uuid>/post-hook`: the installed machine reports back. Only 200 and 201
    count for it, so the answer has a body."""
    return measured(
        metrics.REPORTS, request, lambda: _post_hook(request, attempt, is_compat=is_compat)
    )


def _post_hook(request: HttpRequest, attempt: str, *, is_compat: bool) -> HttpResponse:
    if body_length(request) > settings.ANSWER_BODY_MAX_BYTES:
        return text(413, f"The body may have at most {settings.ANSWER_BODY_MAX_BYTES} bytes.")
    installing.finish_installation(
        installing.Report(
            attempt=uuid.UUID(attempt),
            raw=request.read(),
            source=request.client_address,  # type: ignore[attr-defined]
            secret=request.GET.get("token", ""),
            user_agent=header(request, "USER_AGENT"),
            request_id=request.request_id,  # type: ignore[attr-defined]
        )
    )
    body = b'{"data":null}' if is_compat else b'{"status":"finished"}'
    return HttpResponse(body, content_type="application/json; charset=utf-8")


def measured(
    histogram: Histogram, request: HttpRequest, act: Callable[[], HttpResponse]
) -> HttpResponse:
    began = time.perf_counter()
    response = spoken(request, act)
    histogram.labels(response.status_code).observe(time.perf_counter() - began)
    return response


def spoken(request: HttpRequest, act: Callable[[], HttpResponse]) -> HttpResponse:
    """The act's response, or one sentence: there is nobody but a person at a console to read it."""
    if request.method != "POST":
        return text(405, "The installer calls this by POST.", Allow="POST")
    try:
        return act()
    except ProductError as error:
        return text(error.status, error.message)
    except UnreadablePostError:
        return text(400, UNREADABLE)
    except OperationalError:
        log.exception("the database refused")
        return text(503, "The database is busy: try again in a moment.", **{"Retry-After": "1"})
    except Exception:
        log.exception("an installer's request failed")
        return text(
            500,
            f"Something went wrong on the server; its log has the request id {request.request_id}.",  # type: ignore[attr-defined]
        )


def response_of(reply: Reply) -> HttpResponse:
    response = HttpResponse(reply.body, status=reply.status, content_type=reply.content_type)
    if reply.status == 401:
        response["WWW-Authenticate"] = 'Bearer realm="auto-install"'
    if reply.retry_after_seconds is not None:
        response["Retry-After"] = str(reply.retry_after_seconds)
    return response


def text(status: int, sentence: str, **headers: str) -> HttpResponse:
    return HttpResponse(
        f"{CONTROL.sub('?', sentence)}\n", status=status, content_type=TEXT, headers=headers
    )


def header(request: HttpRequest, name: str) -> str:
    value: Any = request.META.get(f"HTTP_{name}", "")
    return str(value)


def body_length(request: HttpRequest) -> int:
    length = str(request.META.get("CONTENT_LENGTH") or "0")
    return int(length) if length.isascii() and length.isdigit() else 0
