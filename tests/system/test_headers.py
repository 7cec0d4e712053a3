"""What every answer carries: security headers, CORS, and where a request came from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import override_settings
from rest_framework.test import APIClient

from accounts.models import User
from tests.answers import assert_error, last_event, nothing_changes

Api = Callable[[User | None], APIClient]
CONSOLE = "https://console.example.com"

# --- Security headers --------------------------------------------------------------------------

PATHS = ["/v1/servers", "/v1/nothing", "/health", "/v1/docs", "/v1/redoc", "/admin/login/"]


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_carries_the_security_headers(path: str, client: APIClient, db: None) -> None:
    headers = client.get(path).headers

    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Permissions-Policy"] == "camera=(), geolocation=(), microphone=()"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "script-src 'self';" in policy
    assert "object-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-eval" not in policy


@pytest.mark.parametrize("path", [path for path in PATHS if path not in ("/v1/docs", "/v1/redoc")])
def test_nothing_but_the_documentation_may_style_inline(
    path: str, client: APIClient, db: None
) -> None:
    assert "unsafe-inline" not in client.get(path).headers["Content-Security-Policy"]


def test_no_answer_of_the_api_may_be_cached(admin: User, api: Api) -> None:
    assert api(admin).get("/v1/users").headers["Cache-Control"] == "no-store"


def test_a_body_that_is_too_large_is_refused_with_the_headers_too(client: APIClient) -> None:
    answer = client.post("/v1/auth/login", "x" * 2_000_000, content_type="application/json")

    assert_error(answer, 413)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_the_server_does_not_tell_what_it_is_made_of(client: APIClient, db: None) -> None:
    headers = client.get("/v1/servers").headers

    assert "Server" not in headers and "X-Powered-By" not in headers


# --- CORS --------------------------------------------------------------------------------------


@pytest.fixture
def _one_origin(settings: Any) -> None:
    settings.CORS_ALLOWED_ORIGINS = [CONSOLE]


@pytest.mark.usefixtures("_one_origin")
def test_an_allowed_origin_may_read_the_answer(viewer: User, api: Api) -> None:
    answer = api(viewer).get("/v1/servers", HTTP_ORIGIN=CONSOLE)

    assert answer.headers["Access-Control-Allow-Origin"] == CONSOLE
    assert "origin" in answer.headers["Vary"].lower()
    exposed = answer.headers["Access-Control-Expose-Headers"].split(", ")
    assert {"location", "link", "x-request-id", "retry-after", "x-total-count"} <= set(exposed)


@pytest.mark.usefixtures("_one_origin")
@pytest.mark.parametrize(
    "origin",
    ["https://evil.example.com", "https://console.example.com.evil.example", "null", "x"],
)
def test_a_foreign_origin_may_not(origin: str, viewer: User, api: Api) -> None:
    assert "Access-Control-Allow-Origin" not in api(viewer).get("/v1/servers", HTTP_ORIGIN=origin)


def test_by_default_no_origin_may(viewer: User, api: Api) -> None:
    assert "Access-Control-Allow-Origin" not in api(viewer).get("/v1/servers", HTTP_ORIGIN=CONSOLE)


def preflight(client: APIClient, origin: str, path: str = "/v1/servers/create") -> Any:
    return client.options(
        path,
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
        },
    )


@pytest.mark.usefixtures("_one_origin")
def test_a_preflight_of_an_allowed_origin_is_answered_without_a_token(
    client: APIClient, db: None
) -> None:
    with nothing_changes():
        answer = preflight(client, CONSOLE)

    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == CONSOLE
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    allowed = answer.headers["Access-Control-Allow-Headers"].split(", ")
    assert {"authorization", "content-type", "idempotency-key", "prefer"} <= set(allowed)


@pytest.mark.usefixtures("_one_origin")
def test_a_preflight_of_a_foreign_origin_allows_nothing(client: APIClient, db: None) -> None:
    answer = preflight(client, "https://evil.example.com")

    assert "Access-Control-Allow-Origin" not in answer


@pytest.mark.usefixtures("_one_origin")
def test_cookies_are_never_allowed_and_the_console_is_never_shared(
    client: APIClient, db: None
) -> None:
    assert "Access-Control-Allow-Credentials" not in preflight(client, CONSOLE)
    answer = client.get("/admin/login/", headers={"Origin": CONSOLE})
    assert "Access-Control-Allow-Origin" not in answer


# --- Where a request came from -----------------------------------------------------------------

PROXY, OTHER_PROXY, CLIENT = "10.0.0.1", "10.0.0.2", "203.0.113.7"


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "expected"),
    [
        ([], CLIENT, "198.51.100.1", CLIENT),
        ([], PROXY, CLIENT, PROXY),
        (["10.0.0.0/8"], CLIENT, "198.51.100.1", CLIENT),
        (["10.0.0.0/8"], PROXY, CLIENT, CLIENT),
        (["10.0.0.0/8"], PROXY, f"198.51.100.1, {CLIENT}", CLIENT),
        (["10.0.0.0/8"], PROXY, f"{CLIENT}, {OTHER_PROXY}", CLIENT),
        (["10.0.0.0/8"], PROXY, f"{PROXY}, {OTHER_PROXY}", PROXY),
        (["10.0.0.0/8"], PROXY, "", PROXY),
        (["10.0.0.0/8"], PROXY, "unknown", PROXY),
        (["10.0.0.0/8"], PROXY, f"{CLIENT}, not an address", PROXY),
        (["10.0.0.0/8"], PROXY, "1.2.3.4<script>", PROXY),
        (["10.0.0.0/8"], PROXY, "2001:db8::7", "2001:db8::7"),
        (["::1/128"], "::1", CLIENT, CLIENT),
    ],
)
def test_forwarded_addresses_count_only_behind_a_trusted_proxy(
    trusted: list[str], peer: str, forwarded: str, expected: str, viewer: User, api: Api
) -> None:
    with override_settings(TRUSTED_PROXIES=trusted):
        api(viewer).get("/v1/users", REMOTE_ADDR=peer, HTTP_X_FORWARDED_FOR=forwarded)

    last_event(event="access.denied", source=expected)
