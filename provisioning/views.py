"""Routes of the system itself: version, metrics, the API's documentation, and what is not found."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, ClassVar

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import (
    SpectacularJSONAPIView,
    SpectacularRedocView,
    SpectacularSwaggerSplitView,
)
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.console.problems import Problem, page_of, wants_page
from accounts.console.timeouts import way_back
from accounts.permissions import ANY_USER, PUBLIC
from operations import cli, output
from operations.runner.launch import capture
from provisioning import __version__, errors, metrics
from provisioning.exception_handler import plain, record_refusal
from provisioning.logs import path_without_secrets

METHODS = ["get", "head"]


class CliOut(serializers.Serializer[Any]):
    path = serializers.CharField()
    version = serializers.CharField(allow_null=True)


class VersionOut(serializers.Serializer[Any]):
    version = serializers.CharField()
    api_version = serializers.CharField()
    git_commit = serializers.CharField(allow_null=True)
    cli = CliOut()


class VersionView(APIView):
    """Which server, which commit, which CLI."""

    http_method_names: ClassVar[list[str]] = METHODS  # type: ignore[misc]
    required_permissions: ClassVar[dict[str, str]] = {"get": ANY_USER}

    @extend_schema(summary="Versions", responses=VersionOut)
    def get(self, request: Request) -> Response:
        return Response(
            {
                "version": __version__,
                "api_version": "v1",
                "git_commit": git_commit(),
                "cli": {"path": str(cli.program().path), "version": cli_version()},
            }
        )


@functools.cache
def git_commit() -> str | None:
    """The commit of the checkout this runs from, read without git; None outside of one."""
    git = Path(settings.BASE_DIR) / ".git"
    try:
        head = (git / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head
        return (git / head.removeprefix("ref: ")).read_text().strip()
    except OSError:
        return None


@functools.cache
def cli_version() -> str | None:
    """Asked once in the life of a process; None when the CLI does not tell."""
    stdout, problem = capture("version", "", {})
    if problem:
        return None
    document = output.read_document(stdout)
    version = document.get("version") if isinstance(document, dict) else None
    if isinstance(version, str):
        return version
    return output.sentence(stdout)


class MetricsView(APIView):
    """Prometheus metrics of all processes."""

    http_method_names: ClassVar[list[str]] = METHODS  # type: ignore[misc]
    required_permissions: ClassVar[dict[str, str]] = {"get": "metrics_read"}

    @extend_schema(summary="Prometheus metrics", responses={(200, "text/plain"): str})
    def get(self, request: Request) -> HttpResponse:
        return metrics.render()


class OpenApiView(SpectacularJSONAPIView):
    """The OpenAPI 3 document."""

    http_method_names: ClassVar[list[str]] = METHODS  # type: ignore[misc]
    required_permissions: ClassVar[dict[str, str]] = {"get": PUBLIC}


class SwaggerView(SpectacularSwaggerSplitView):
    """Swagger UI from local files; its script is a file too, as the content policy wants."""

    http_method_names: ClassVar[list[str]] = METHODS  # type: ignore[misc]
    required_permissions: ClassVar[dict[str, str]] = {"get": PUBLIC}
    url_name = "openapi"


class RedocView(SpectacularRedocView):
    """ReDoc from local files."""

    http_method_names: ClassVar[list[str]] = METHODS  # type: ignore[misc]
    required_permissions: ClassVar[dict[str, str]] = {"get": PUBLIC}
    url_name = "openapi"


# --- What Django answers by itself: the same error body, and pages for who looks at the console ------


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    if wants_page(request):
        sentence = "What you look for is not here: it was deleted, or the address is mistyped."
        return page_of(request, Problem(404, "Not found", sentence))
    return plain(request, 404, f"There is no route {path_without_secrets(request.path)[:200]}.")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    sentence = "The request is malformed."
    if wants_page(request):
        return page_of(request, Problem(400, "Not understood", sentence))
    return plain(request, 400, sentence)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """The console refused; the trail remembers."""
    error = errors.Forbidden(str(exception) or "You may not do this.")
    record_refusal(request, error)
    if wants_page(request):
        return page_of(
            request, Problem(403, "Not allowed", f"{error.message} Nothing was changed.")
        )
    return plain(request, 403, error.message)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    record_refusal(request, errors.Forbidden(f"CSRF check failed: {reason}"))
    if wants_page(request):
        sentence = (
            "The page that you sent was out of date: you have logged in or out since it was opened, or "
            "the browser keeps no cookies. Nothing was changed. Open it again and send it once more."
        )
        page = Problem(403, "The page is out of date", sentence, "Open it again", way_back(request))
        return page_of(request, page)
    return plain(request, 403, f"The form has expired or was forged ({reason}): reload the page.")


def server_error(request: HttpRequest) -> HttpResponse:
    sentence = "Something went wrong on the server; its log has the request id."
    if wants_page(request):
        return page_of(request, Problem(500, "That went wrong", sentence))
    return plain(request, 500, sentence)
