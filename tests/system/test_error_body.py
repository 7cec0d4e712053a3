"""Bad input at every kind of door: the right status, the one error body, and nothing changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from rest_framework.test import APIClient

from accounts.models import AuditEvent, User, Workspace
from operations.views.inventory import ServerViewSet
from provisioning import health
from tests.answers import assert_error, nothing_changes, one_event
from tests.factories import bind, make_operation, make_workspace

Api = Callable[[User | None], APIClient]
JSON = "application/json"
SERVER: dict[str, Any] = {"workspace": "production", "provider": "local", "plan": "2xCPU-4GB"}
TASKSERV: dict[str, Any] = {"workspace": "production", "name": "containerd"}
STEP: dict[str, Any] = {
    "id": "a",
    "kind": "server_create",
    "params": {"provider": "local", "plan": "small"},
}
WORKFLOW: dict[str, Any] = {"workspace": "production", "name": "web", "steps": [STEP]}


@pytest.fixture
def client(admin: User, workspace: Workspace, api: Api) -> APIClient:
    client = api(admin)
    client.raise_request_exception = False
    return client


# --- A body that is no JSON object -------------------------------------------------------------

WRITES = [
    ("POST", "/v1/servers/create"),
    ("POST", "/v1/taskservs/create"),
    ("POST", "/v1/clusters/create"),
    ("POST", "/v1/workflows/submit"),
    ("POST", "/v1/auth/login"),
    ("POST", "/v1/auth/refresh"),
    ("POST", "/v1/auth/password"),
    ("POST", "/v1/users"),
    ("POST", "/v1/roles"),
    ("POST", "/v1/role-bindings"),
    ("POST", "/v1/workspaces"),
    ("PATCH", "/v1/users/1"),
    ("PATCH", "/v1/roles/1"),
    ("PATCH", "/v1/workspaces/1"),
]
NO_OBJECTS = {
    "broken": b"{",
    "two objects": b"{}{}",
    "an array": b"[]",
    "an array of objects": b'[{"workspace": "production"}]',
    "a string": b'"workspace"',
    "a number": b"1",
    "null": b"null",
    "not a number": b'{"workspace": NaN}',
    "infinity": b'{"settings": {"a": 1e999}, "workspace": -Infinity}',
    "single quotes": b"{'workspace': 'production'}",
    "a lone surrogate": b'{"workspace": "\\ud800"}',
    "no UTF-8": b'{"workspace": "\xff\xfe"}',
    "UTF-16": '{"workspace": "production"}'.encode("utf-16"),
    "nested ten thousand deep": b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "a form": b"workspace=production&provider=local",
    "XML": b"<workspace>production</workspace>",
    "null bytes": b"\x00\x00\x00",
}


@pytest.mark.parametrize("body", NO_OBJECTS.values(), ids=NO_OBJECTS.keys())
def test_a_body_that_is_no_json_object_is_400_at_every_door(body: bytes, client: APIClient) -> None:
    with nothing_changes():
        answers = [
            client.generic(method, path, body, content_type=JSON)  # type: ignore[arg-type]  # bytes, too
            for method, path in WRITES
        ]

    for answer in answers:
        assert_error(answer, 400)


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "application/jsonx",
        "nonsense",
        "",
    ],
)
@pytest.mark.parametrize("path", ["/v1/servers/create", "/v1/auth/login", "/v1/users"])
def test_another_content_type_is_415(path: str, content_type: str, client: APIClient) -> None:
    with nothing_changes():
        answer = client.generic("POST", path, json.dumps(SERVER), content_type=content_type)

    assert_error(answer, 415)


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/json;x=y"]
)
def test_json_with_parameters_is_json(content_type: str, client: APIClient) -> None:
    answer = client.generic(
        "POST", "/v1/servers/create", json.dumps(SERVER), content_type=content_type
    )

    assert answer.status_code == 202


@pytest.mark.parametrize("path", ["/v1/servers/create", "/v1/auth/login", "/v1/no/such/route"])
def test_a_body_of_ten_megabytes_is_413(path: str, client: APIClient) -> None:
    body = json.dumps(SERVER | {"padding": "x" * 10_000_000})

    with nothing_changes():
        answer = client.generic("POST", path, body, content_type=JSON)

    assert_error(answer, 413)


def test_a_body_of_exactly_the_limit_is_read(client: APIClient) -> None:
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    assert limit
    body = json.dumps(SERVER)
    body += " " * (limit - len(body))

    answer = client.generic("POST", "/v1/servers/create", body, content_type=JSON)

    assert answer.status_code == 202


# --- Values that break a rule ------------------------------------------------------------------

BIG = 10**30
VALUES: list[tuple[str, dict[str, Any], str]] = [
    *(
        ("/v1/servers/create", SERVER | {"hostname": bad}, "hostname")
        for bad in (
            "-web",
            "web-",
            "we_b",
            "web 01",
            "web..example",
            ".web",
            "web.",
            "w" * 64,
            ".".join(["w" * 60] * 5),
            "192.0.2.1",
            "::1",
            "w\u00e9b",
            "web\n",
            "web\tx",
            "web;reboot",
            "$(reboot)",
            "--help",
            "../etc/passwd",
            "",
            5,
            True,
            ["web"],
            {"a": 1},
            None,
        )
        if bad != "web\n"  # surrounding white space is cut off
    ),
    *(
        ("/v1/servers/create", SERVER | {field: bad}, field)
        for field in ("provider", "plan", "zone")
        for bad in ("-x", "--provider=evil", "a b", "a\x1b[31m", "a\x00b", "\u202eabc", "x" * 64, 1)
    ),
    ("/v1/servers/create", SERVER | {"workspace": "nowhere"}, "workspace"),
    ("/v1/servers/create", SERVER | {"workspace": "PRODUCTION"}, "workspace"),
    ("/v1/servers/create", SERVER | {"workspace": "../production"}, "workspace"),
    ("/v1/servers/create", SERVER | {"workspace": None}, "workspace"),
    ("/v1/servers/create", {"workspace": "production", "provider": "local"}, "plan"),
    ("/v1/servers/create", SERVER | {"check_mode": "yes"}, "check_mode"),
    ("/v1/servers/create", SERVER | {"check_mode": 1}, "check_mode"),
    ("/v1/servers/create", SERVER | {"check_mode": None}, "check_mode"),
    ("/v1/servers/create", SERVER | {"tags": "web"}, "tags"),
    ("/v1/servers/create", SERVER | {"tags": {"a": "b"}}, "tags"),
    ("/v1/servers/create", SERVER | {"tags": ["x"] * 51}, "tags"),
    ("/v1/servers/create", SERVER | {"colour": "red"}, "colour"),
    ("/v1/servers/create", SERVER | {"hostnames": ["a"]}, "hostnames"),
    ("/v1/taskservs/create", TASKSERV | {"name": "-x"}, "name"),
    ("/v1/taskservs/create", TASKSERV | {"name": "a/b"}, "name"),
    ("/v1/taskservs/create", TASKSERV | {"server": "-x"}, "server"),
    ("/v1/taskservs/create", TASKSERV | {"version": "-1"}, "version"),
    ("/v1/taskservs/create", TASKSERV | {"version": 1.27}, "version"),
    ("/v1/taskservs/create", TASKSERV | {"settings": []}, "settings"),
    ("/v1/taskservs/create", TASKSERV | {"settings": "x"}, "settings"),
    ("/v1/taskservs/create", TASKSERV | {"settings": {"a": "x\x00y"}}, "settings.a"),
    ("/v1/clusters/create", TASKSERV | {"name": ""}, "name"),
    ("/v1/clusters/create", TASKSERV | {"server": "web-01"}, "server"),
    ("/v1/workflows/submit", WORKFLOW | {"name": "-x"}, "name"),
    ("/v1/workflows/submit", WORKFLOW | {"steps": {}}, "steps"),
    ("/v1/workflows/submit", WORKFLOW | {"steps": []}, "steps"),
    ("/v1/workflows/submit", WORKFLOW | {"parallel_limit": 0}, "parallel_limit"),
    ("/v1/workflows/submit", WORKFLOW | {"parallel_limit": BIG}, "parallel_limit"),
    ("/v1/workflows/submit", WORKFLOW | {"parallel_limit": True}, "parallel_limit"),
    ("/v1/workflows/submit", WORKFLOW | {"parallel_limit": "2"}, "parallel_limit"),
    ("/v1/workflows/submit", WORKFLOW | {"operations": [STEP]}, "operations"),
    ("/v1/workflows/submit", WORKFLOW | {"workspace": "nowhere"}, "workspace"),
    *(
        ("/v1/workflows/submit", WORKFLOW | {"steps": [STEP | {key: bad}]}, f"steps[0].{key}")
        for key, bad in (
            ("id", "-a"),
            ("id", 1),
            ("kind", "server_explode"),
            ("kind", "workflow"),
            ("kind", None),
            ("timeout_seconds", 0),
            ("timeout_seconds", -1),
            ("timeout_seconds", BIG),
            ("timeout_seconds", 1.5),
            ("timeout_seconds", "60"),
            ("on_failure", "explode"),
            ("depends_on", "a"),
            ("depends_on", {"a": 1}),
            ("colour", "red"),
            ("params", []),
        )
    ),
    (
        "/v1/workflows/submit",
        WORKFLOW | {"steps": [STEP | {"retry": {"max_attempts": 21}}]},
        "steps[0].retry.max_attempts",
    ),
    (
        "/v1/workflows/submit",
        WORKFLOW | {"steps": [STEP | {"retry": {"delay_seconds": -1}}]},
        "steps[0].retry.delay_seconds",
    ),
    (
        "/v1/workflows/submit",
        WORKFLOW | {"steps": [STEP | {"params": {"provider": "-x", "plan": "small"}}]},
        "steps[0].params.provider",
    ),
    (
        "/v1/workflows/submit",
        WORKFLOW | {"steps": [STEP | {"params": {"plan": "small"}}]},
        "steps[0].params.provider",
    ),
]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    VALUES,
    ids=[f"{path} {field} {index}" for index, (path, _, field) in enumerate(VALUES)],
)
def test_a_value_that_breaks_a_rule_is_400_naming_the_field(
    path: str, body: dict[str, Any], field: str, client: APIClient
) -> None:
    with nothing_changes():
        answer = client.post(path, body, format="json")

    assert_error(answer, 400, field=field)


@pytest.mark.parametrize(
    ("steps", "named"),
    [
        ([STEP | {"depends_on": ["ghost"]}], "ghost"),
        ([STEP, STEP], "a"),
        ([STEP | {"depends_on": ["a"]}], "a"),
        (
            [STEP | {"depends_on": ["b"]}, STEP | {"id": "b", "depends_on": ["a"]}],
            "b",
        ),
        ([5], "steps"),
        ([None], "steps"),
        ([[]], "steps"),
    ],
    ids=["unknown", "duplicate", "itself", "cycle", "number", "null", "array"],
)
def test_a_graph_that_is_none_is_400_naming_the_step(
    steps: list[Any], named: str, client: APIClient
) -> None:
    with nothing_changes():
        answer = client.post("/v1/workflows/submit", WORKFLOW | {"steps": steps}, format="json")

    assert named in assert_error(answer, 400)["message"]


def test_settings_nested_too_deep_are_400(client: APIClient) -> None:
    deep: Any = "x"
    for _ in range(40):
        deep = [deep]

    with nothing_changes():
        answer = client.post(
            "/v1/taskservs/create", TASKSERV | {"settings": {"a": deep}}, format="json"
        )

    assert_error(answer, 400, field="settings")


@pytest.mark.parametrize("number", ["1e308", "-1e-308", "9007199254740993", str(2**64 - 1), "1e30"])
def test_settings_with_extreme_numbers_are_stored(number: str, client: APIClient) -> None:
    body = json.dumps(TASKSERV).replace("}", f', "settings": {{"a": {number}}}}}')

    answer = client.generic("POST", "/v1/taskservs/create", body, content_type=JSON)

    assert answer.status_code == 202
    assert client.get(answer.headers["Location"]).status_code == 200


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 400])
def test_a_number_that_no_database_can_hold_is_400(number: str, client: APIClient) -> None:
    body = json.dumps(TASKSERV).replace("}", f', "settings": {{"a": {number}}}}}')

    with nothing_changes():
        answer = client.generic("POST", "/v1/taskservs/create", body, content_type=JSON)

    assert_error(answer, 400)


def test_a_workspace_that_one_may_not_see_is_answered_like_one_that_does_not_exist(
    stranger: User, workspace: Workspace, api: Api
) -> None:
    bind(stranger, "Operator", workspace)
    make_workspace("invisible")
    client = api(stranger)

    messages = [
        assert_error(client.post(path, body | {"workspace": name}, format="json"), 400)["message"]
        for path, body in (("/v1/servers/create", SERVER), ("/v1/workflows/submit", WORKFLOW))
        for name in ("invisible", "inexistent")
    ]

    assert len({message.replace("inexistent", "invisible") for message in messages}) == 1


# --- Paths, ids, methods -----------------------------------------------------------------------

UNKNOWN_PATHS = [
    "/v1",
    "/v1/",
    "/v1/nothing",
    "/v1/nothing/",
    "/v1/servers/",
    "/v1/operations/",
    "/v1/auth/login/",
    "/v2/servers",
    "/health/",
    "/healthz",
    "//v1/servers",
    "/v1//servers",
    "/V1/servers",
    "/v1/servers.json",
    "/api",
    "/.env",
    "/v1/servers/srv-%00",
    "/v1/users/-1",
    "/v1/users/1.0",
    "/v1/users/abc",
    "/v1/users/%F0%9F%92%A9",
    "/v1/users/9999999999999999999",
    "/v1/operations/not-a-uuid",
    "/v1/operations/..",
    "/v1/operations/../users",
    "/v1/operations/%2e%2e%2fusers",
    "/v1/servers/..%2f..%2fetc%2fpasswd",
    "/v1/servers/" + "x" * 3000,
    "/v1/%ff%fe",
    "/static/../manage.py",
    "/static/nothing.js",
]


@pytest.mark.parametrize("path", UNKNOWN_PATHS)
def test_an_unknown_route_is_404_and_never_a_redirect(path: str, client: APIClient) -> None:
    with nothing_changes():
        answers = [
            client.generic(method, path, QUERY_STRING="a=b") for method in ("GET", "POST", "DELETE")
        ]

    for answer in answers:
        assert_error(answer, 404)


GHOST = "018f0000-0000-7000-8000-000000000000"
UNKNOWN_IDS = [
    ("GET", f"/v1/operations/{GHOST}"),
    ("GET", f"/v1/operations/{GHOST}/log"),
    ("POST", f"/v1/operations/{GHOST}/cancel"),
    ("GET", f"/v1/workflows/{GHOST}"),
    ("GET", f"/v1/workflows/{GHOST}/status"),
    ("POST", f"/v1/workflows/{GHOST}/cancel"),
    ("GET", "/v1/servers/srv-00000000"),
    ("GET", "/v1/servers/tsk-00000000"),
    ("GET", "/v1/servers/srv-00000000/status"),
    ("DELETE", "/v1/servers/srv-00000000"),
    ("DELETE", "/v1/taskservs/tsk-00000000"),
    ("DELETE", "/v1/clusters/cls-00000000"),
    ("GET", "/v1/users/999999"),
    ("GET", "/v1/users/000000000000000000"),
    ("DELETE", "/v1/users/999999999999999999"),
    ("GET", "/v1/roles/999999"),
    ("DELETE", "/v1/role-bindings/999999"),
    ("DELETE", "/v1/workspaces/999999"),
    ("GET", "/v1/audit/999999999999999999"),
    ("POST", "/v1/users/999999/unlock"),
]


@pytest.mark.parametrize(("method", "path"), UNKNOWN_IDS)
def test_an_unknown_id_is_404(method: str, path: str, client: APIClient) -> None:
    with nothing_changes():
        assert_error(client.generic(method, path), 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/servers", {"GET", "HEAD"}),
        ("POST", "/v1/servers", {"GET", "HEAD"}),
        ("DELETE", "/v1/operations", {"GET", "HEAD"}),
        ("GET", "/v1/auth/login", {"POST"}),
        ("HEAD", "/v1/auth/login", {"POST"}),
        ("PUT", "/v1/users/1", {"GET", "HEAD", "PATCH", "DELETE"}),
        ("OPTIONS", "/v1/servers", {"GET", "HEAD"}),
        ("TRACE", "/v1/servers", {"GET", "HEAD"}),
        ("PROPFIND", "/v1/servers", {"GET", "HEAD"}),
        ("LIST", "/v1/servers", {"GET", "HEAD"}),
        ("CREATE", "/v1/users", {"GET", "HEAD", "POST"}),
        ("POST", "/v1/version", {"GET", "HEAD"}),
        ("POST", "/v1/metrics", {"GET", "HEAD"}),
        ("POST", "/v1/openapi.json", {"GET", "HEAD"}),
        ("POST", "/v1/docs", {"GET", "HEAD"}),
        ("POST", "/v1/redoc", {"GET", "HEAD"}),
        ("POST", "/health", {"GET", "HEAD"}),
        ("DELETE", "/health/ready", {"GET", "HEAD"}),
    ],
)
def test_an_unknown_method_is_405_and_tells_the_known_ones(
    method: str, path: str, allowed: set[str], client: APIClient
) -> None:
    with nothing_changes():
        answer = client.generic(method, path)

    if method == "HEAD":
        assert (answer.status_code, answer.content) == (405, b"")
    else:
        assert_error(answer, 405)
    assert {name.strip() for name in answer.headers["Allow"].split(",")} == allowed


@pytest.mark.parametrize(
    "path", ["/v1/servers", "/v1/operations", "/v1/version", "/v1/auth/me", "/health", "/v1/docs"]
)
def test_head_answers_like_get_without_a_body(path: str, client: APIClient) -> None:
    got, head = client.get(path), client.head(path)

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Type"] == got.headers["Content-Type"]


@pytest.mark.parametrize("path", ["/v1/servers", "/v1/operations", "/v1/auth/me", "/v1/version"])
@pytest.mark.parametrize("accept", ["text/html", "application/xml", "nonsense", "*/*;q=0"])
def test_whatever_the_client_accepts_the_answer_is_json(
    accept: str, path: str, client: APIClient
) -> None:
    answer = client.get(path, HTTP_ACCEPT=accept)

    assert answer.headers["Content-Type"] == JSON
    assert answer.status_code in (200, 406)


# --- Query parameters --------------------------------------------------------------------------

LISTS = [
    "/v1/servers",
    "/v1/taskservs",
    "/v1/clusters",
    "/v1/workflows",
    "/v1/operations",
    "/v1/users",
    "/v1/roles",
    "/v1/role-bindings",
    "/v1/workspaces",
    "/v1/audit",
]
BAD_PAGING = [
    "limit=0",
    "limit=1001",
    "limit=abc",
    "limit=-1",
    "limit=1.5",
    "limit=",
    "limit=%20",
    "limit=" + "9" * 5000,
    "limit=\u0663",
    "count=yes",
    "count=",
    "cursor=!!!!",
    "cursor=abc",
    "cursor=" + "A" * 3000,
    "cursor=%00",
    "cursor=\u00e9",
    "cursor=LTE",  # -1
    "cursor=OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OQ",  # 30 nines
    "colour=red",
    "Limit=1",
    "limit[]=1",
]


@pytest.mark.parametrize("query", BAD_PAGING, ids=[query[:20] for query in BAD_PAGING])
def test_a_bad_query_parameter_is_400_at_every_list(query: str, client: APIClient) -> None:
    with nothing_changes():
        answers = [client.get(f"{path}?{query}") for path in LISTS]

    for answer in answers:
        assert_error(answer, 400)


@pytest.mark.parametrize(
    "query",
    [
        "since=yesterday",
        "since=2026-01-01",
        "since=2026-01-01T00:00:00",
        "since=2026-13-01T00:00:00Z",
        "since=",
        "until=1767225600",
        "until=0001-01-01T00:00:00%2B23:59",
        "until=9999-12-31T23:59:59-23:59",
        "since=%00",
        "workspace=%00",
        "workspace=production%00",
    ],
)
@pytest.mark.parametrize("path", ["/v1/operations", "/v1/audit"])
def test_a_bad_value_of_a_filter_is_400(path: str, query: str, client: APIClient) -> None:
    with nothing_changes():
        assert_error(client.get(f"{path}?{query}"), 400, field=query.split("=")[0])


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/operations?status=exploded", "status"),
        ("/v1/operations?kind=server_explode", "kind"),
        ("/v1/operations?workflow=abc", "workflow"),
        ("/v1/workflows?status=exploded", "status"),
        ("/v1/operations?requested_by=%00", "requested_by"),
        ("/v1/audit?actor=%00", "actor"),
        ("/v1/audit?event=%00", "event"),
        ("/v1/role-bindings?user=%00", "user"),
        ("/v1/servers?hostname=%00", "hostname"),
        ("/v1/taskservs?server=%00", "server"),
    ],
)
def test_a_value_that_no_row_can_have_is_400(path: str, field: str, client: APIClient) -> None:
    with nothing_changes():
        assert_error(client.get(path), 400, field=field)


@pytest.mark.parametrize(
    "query",
    [
        "offset=-1",
        "offset=abc",
        "offset=" + "9" * 30,
        "limit=0",
        "limit=99999999",
        "tail=0",
        "tail=abc",
        "stream=stdin",
        "stream=",
    ],
)
def test_a_bad_query_parameter_of_a_log_is_400(
    query: str, client: APIClient, workspace: Workspace
) -> None:
    operation = make_operation(workspace)

    with nothing_changes():
        answer = client.get(f"/v1/operations/{operation.pk}/log?{query}")

    assert_error(answer, 400, field=query.split("=")[0])


# --- Refusals and breakdowns -------------------------------------------------------------------


def test_a_refusal_writes_one_audit_event_and_nothing_else(viewer: User, api: Api) -> None:
    client = api(viewer)

    with (
        nothing_changes(AuditEvent),
        one_event(
            event="access.denied",
            outcome="denied",
            actor=viewer,
            target_name="POST /v1/servers/create",
        ),
    ):
        assert_error(client.post("/v1/servers/create", SERVER, format="json"), 403)


def test_a_breakdown_is_a_plain_500_with_the_request_id(
    client: APIClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def explode(*_: object) -> None:
        raise RuntimeError("a secret of the inside")

    monkeypatch.setattr(ServerViewSet, "get_queryset", explode)

    answer = client.get("/v1/servers", HTTP_X_REQUEST_ID="find-me")

    body = assert_error(answer, 500)
    assert body["request_id"] == "find-me"
    assert "secret" not in answer.content.decode()
    assert "a secret of the inside" in caplog.text


def test_a_breakdown_outside_the_framework_is_a_plain_500_too(
    client: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "CHECKS", {"explodes": lambda: 1 / 0})

    assert_error(client.get("/health/ready"), 500)
