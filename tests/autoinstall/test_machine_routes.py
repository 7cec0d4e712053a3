"""The installers' requests take a shorter way through the WSGI application: it answers like the long one."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.wsgi import get_wsgi_application

from autoinstall.models import AnswerToken
from provisioning import wsgi
from provisioning.middleware import MachineRoutesMiddleware
from tests.autoinstall.factories import TAKES_JSON, make_config, system_info

Token = tuple[AnswerToken, str]
Response = tuple[str, dict[str, str], bytes]
ANSWER = "/api2/json/auto-install/answer"
HOOK = "/v1/auto-install/installations/0190a8a0-0000-7000-8000-000000000001/post-hook"


def call(
    application: Any, method: str, path: str, body: bytes, headers: dict[str, str]
) -> Response:
    """What the application answers: status line, headers, body."""
    began: list[tuple[str, dict[str, str]]] = []
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "192.0.2.7",
        "CONTENT_TYPE": "application/json",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "HTTP_X_REQUEST_ID": "the-same",
        **headers,
    }
    if "HTTP_TRANSFER_ENCODING" not in headers:
        environ["CONTENT_LENGTH"] = str(len(body))
    parts = application(environ, lambda status, sent: began.append((status, dict(sent))))
    content = b"".join(parts)
    if hasattr(parts, "close"):
        parts.close()
    ((status, sent),) = began
    return status, sent, content


INFO = json.dumps(system_info()).encode()
CHUNKED = {"HTTP_TRANSFER_ENCODING": "chunked"}
CASES: dict[str, tuple[str, str, bytes, dict[str, str]]] = {
    "answered": ("POST", ANSWER, INFO, {}),
    "answered in v1": ("POST", "/v1/auto-install/answer", INFO, {}),
    "answered in toml": ("POST", ANSWER, INFO, {"HTTP_ACCEPT": "*/*"}),
    "answered in chunks": ("POST", ANSWER, INFO, CHUNKED),
    "no token": ("POST", ANSWER, INFO, {"HTTP_AUTHORIZATION": ""}),
    "malformed": ("POST", ANSWER, b"{", {}),
    "too large": ("POST", ANSWER, b"x" * 600_000, {}),
    "too large in chunks": ("POST", ANSWER, b"x" * 600_000, CHUNKED),
    "by get": ("GET", ANSWER, b"", {}),
    "options": ("OPTIONS", ANSWER, b"", {"HTTP_ORIGIN": "https://example.com"}),
    "token in the path": ("POST", f"{ANSWER}/rack-7:secret", INFO, {}),
    "odd path": ("POST", f"{ANSWER}/%0a\n\xc3\xa9\xff", INFO, {}),
    "hook": ("POST", HOOK, b"{}", {}),
    "answered by another name": ("POST", ANSWER, INFO, {"HTTP_HOST": "evil.example.com"}),
}


@pytest.mark.django_db(
    transaction=True, serialized_rollback=True
)  # both ways close connections in the midst of one
@pytest.mark.parametrize("case", CASES)
def test_both_ways_answer_alike(case: str, token: Token) -> None:
    make_config(authorized_tokens=["rack-7"])
    method, path, body, more = CASES[case]
    headers = {"HTTP_ACCEPT": TAKES_JSON, "HTTP_AUTHORIZATION": f"Bearer {token[1]}", **more}
    assert MachineRoutesMiddleware.PATHS.match(path)

    short = call(wsgi.application, method, path, body, headers)
    if more is CHUNKED:  # read by our own application for both of them
        headers, body = {**headers, "CONTENT_LENGTH": str(len(body))}, body
    long = call(get_wsgi_application(), method, path, body, headers)

    assert short == long
    assert (short[0] == "200 OK") == ("answered" in case)


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
@pytest.mark.parametrize(
    "path",
    [
        "/v1/auto-install/answers",
        "/v1/auto-install/answer/",
        f"/v1/auto-install/answer{chr(10)}",
        "/v1/auto-install/installations/x/post-hook",
        HOOK.replace("0190", "----"),
        f"{HOOK}{chr(10)}",
        f"{HOOK}/",
    ],
)
def test_a_path_that_only_resembles_theirs_takes_the_long_way(path: str) -> None:
    assert not MachineRoutesMiddleware.PATHS.match(path)

    status, _, body = call(wsgi.application, "POST", path, b"{}", {})

    assert status.startswith("404") and json.loads(body)["request_id"] == "the-same"
