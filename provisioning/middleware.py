"""What every request gets: an id, a client address, a body limit, security headers, a log line."""

from __future__ import annotations

import contextvars
import functools
import ipaddress
import logging
import re
import time
from collections.abc import Callable

import uuid_utils
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import ResolverMatch, resolve
from django.utils.encoding import escape_uri_path

from provisioning.exception_handler import plain, too_large

GetResponse = Callable[[HttpRequest], HttpResponse]

access_log = logging.getLogger("provisioning.access")
# For log lines only: services are given the request id in their actor.
current_request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")


class RequestContextMiddleware:
    """`request.request_id` and `request.client_address`; answers X-Request-ID; logs one line."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.trusted = [ipaddress.ip_network(net) for net in settings.TRUSTED_PROXIES]

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started = time.perf_counter()
        request.request_id = request_id_of(request)  # type: ignore[attr-defined]
        request.client_address = self.client_address(request)  # type: ignore[attr-defined]
        token = current_request_id.set(request.request_id)  # type: ignore[attr-defined]
        try:
            response = self.get_response(request)
            response["X-Request-ID"] = request.request_id  # type: ignore[attr-defined]
            level = getattr(request, "log_level", logging.INFO)
            if access_log.isEnabledFor(level):
                self.log(level, request, response, time.perf_counter() - started)
            return response
        finally:
            current_request_id.reset(token)

    def log(self, level: int, request: HttpRequest, response: HttpResponse, seconds: float) -> None:
        path = escape_uri_path(request.path)  # as it came, a line break in it would forge a line
        access_log.log(
            level,
            "%s %s %s",
            request.method,
            path,
            response.status_code,
            extra={
                "method": request.method,
                "path": path,
                "status": response.status_code,
                "milliseconds": round(seconds * 1000, 1),
                "client": request.client_address,  # type: ignore[attr-defined]
            },
        )

    def client_address(self, request: HttpRequest) -> str:
        """The peer; behind a trusted proxy the last address that no trusted proxy added."""
        address = str(request.META.get("REMOTE_ADDR", ""))
        if not self.trusted or not self.is_trusted(address):
            return address
        for hop in reversed(request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")):
            candidate = hop.strip()
            if not is_address(candidate):
                break
            address = candidate
            if not self.is_trusted(candidate):
                break
        return address

    def is_trusted(self, address: str) -> bool:
        return is_address(address) and any(
            ipaddress.ip_address(address) in network for network in self.trusted
        )


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


_HARMLESS = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


def request_id_of(request: HttpRequest) -> str:
    """The client's X-Request-ID when it is short and harmless, else a new one: a UUIDv7, as the audit trail
    has an index on it, and what is new then stands at its end."""
    given = request.META.get("HTTP_X_REQUEST_ID", "")
    return given if given and _HARMLESS.fullmatch(given) else str(uuid_utils.uuid7())


class MachineRoutesMiddleware:
    """The installers' routes go straight to their views: machines have no session, no form, no browser
    and no origin, and what follows here for people was measured at a third of an answer's cost."""

    # Exactly those that autoinstall.urls knows: every match resolves.
    PATHS = re.compile(
        r"/(?:v1|api2/json)/auto-install/(?:answer(?:/.+)?"
        r"|installations/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/post-hook)\Z",
        re.DOTALL,
    )

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not self.PATHS.match(request.path_info):
            return self.get_response(request)
        return call_machine_route(request)


def call_machine_route(request: HttpRequest) -> HttpResponse:
    match = resolve_machine_route(request.path_info)
    request.resolver_match = match
    response: HttpResponse = match.func(request, *match.args, **match.kwargs)
    response.headers.setdefault("Content-Length", str(len(response.content)))
    if response.status_code < 400:  # it has a row and an audit event; a line costs as much as it
        request.log_level = logging.DEBUG  # type: ignore[attr-defined]
    return response


def resolve_machine_route(path: str) -> ResolverMatch:
    """Nearly all go to one path; what else is asked for may hold a secret and is not kept."""
    return _resolve_again(path) if path.endswith("/answer") else resolve(path)


_resolve_again = functools.lru_cache(4)(resolve)


class BodyLimitMiddleware:
    """413 before a byte of a body that is too large has been read."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        length = request.META.get("CONTENT_LENGTH") or "0"
        if length.isdigit() and int(length) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            return plain(request, 413, too_large().message)
        return self.get_response(request)


class SecurityHeadersMiddleware:
    """A strict Content-Security-Policy. Swagger UI and ReDoc style themselves inline and ReDoc
    searches in a worker made from a blob; nothing anywhere runs an inline script."""

    POLICY = (
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
    )
    DOCS_POLICY = POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'") + (
        "; worker-src 'self' blob:"
    )

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        is_docs = request.path in ("/v1/docs", "/v1/redoc")
        response.setdefault("Content-Security-Policy", self.DOCS_POLICY if is_docs else self.POLICY)
        response.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
        if request.path.startswith(("/v1/", "/admin/")):  # nothing that a logout should have hidden
            response.setdefault("Cache-Control", "no-store")
        return response
