"""Every route, found by walking the URL map: which roles get in, which get 403, who 401.

The expectation is written here by hand from the contract's table of roles. A route that is not in it
fails the first test. There are three kinds: those of `/v1`, those of `/api2/json` in the manners of
Proxmox Datacenter Manager, and the few that an installer calls, who has no role.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIClient, APIRequestFactory, force_authenticate

from accounts import audit
from accounts.actor import Actor
from accounts.events import Event
from accounts.models import AuditEvent, Role, User, Workspace
from autoinstall.models import Attempt
from operations.commands import Kind
from operations.models import Cluster, Operation, Taskserv
from provisioning.api import ApiViewSet
from tests.answers import assert_error, last_event, nothing_changes
from tests.autoinstall.factories import ask, make_config, make_token
from tests.factories import bind, make_operation, make_server, make_user, make_workspace

PUBLIC = "public"
ANYBODY = "anybody with a token"
READERS = frozenset({"Admin", "Operator", "Developer", "Viewer"})
OPERATORS = frozenset({"Admin", "Operator"})
ADMINS = frozenset({"Admin"})

# method and path -> (action, who gets in)
EXPECTED: dict[tuple[str, str], tuple[str, str | frozenset[str]]] = {
    ("GET", "/v1/version"): ("get", ANYBODY),
    ("GET", "/v1/metrics"): ("get", READERS),
    ("GET", "/v1/openapi.json"): ("get", PUBLIC),
    ("GET", "/v1/docs"): ("get", PUBLIC),
    ("GET", "/v1/redoc"): ("get", PUBLIC),
    ("POST", "/v1/auth/login"): ("login", PUBLIC),
    ("POST", "/v1/auth/refresh"): ("refresh", PUBLIC),
    ("POST", "/v1/auth/logout"): ("logout", ANYBODY),
    ("GET", "/v1/auth/me"): ("me", ANYBODY),
    ("POST", "/v1/auth/password"): ("password", ANYBODY),
    ("GET", "/v1/users"): ("list", ADMINS),
    ("POST", "/v1/users"): ("create", ADMINS),
    ("GET", "/v1/users/{id}"): ("retrieve", ADMINS),
    ("PATCH", "/v1/users/{id}"): ("partial_update", ADMINS),
    ("DELETE", "/v1/users/{id}"): ("destroy", ADMINS),
    ("POST", "/v1/users/{id}/password"): ("password", ADMINS),
    ("POST", "/v1/users/{id}/unlock"): ("unlock", ADMINS),
    ("GET", "/v1/roles"): ("list", ADMINS),
    ("POST", "/v1/roles"): ("create", ADMINS),
    ("GET", "/v1/roles/{id}"): ("retrieve", ADMINS),
    ("PATCH", "/v1/roles/{id}"): ("partial_update", ADMINS),
    ("DELETE", "/v1/roles/{id}"): ("destroy", ADMINS),
    ("GET", "/v1/role-bindings"): ("list", ADMINS),
    ("POST", "/v1/role-bindings"): ("create", ADMINS),
    ("GET", "/v1/role-bindings/{id}"): ("retrieve", ADMINS),
    ("DELETE", "/v1/role-bindings/{id}"): ("destroy", ADMINS),
    ("GET", "/v1/workspaces"): ("list", READERS),
    ("POST", "/v1/workspaces"): ("create", ADMINS),
    ("GET", "/v1/workspaces/{id}"): ("retrieve", READERS),
    ("PATCH", "/v1/workspaces/{id}"): ("partial_update", ADMINS),
    ("DELETE", "/v1/workspaces/{id}"): ("destroy", ADMINS),
    ("GET", "/v1/workspaces/{id}/lock"): ("retrieve", READERS),
    ("PUT", "/v1/workspaces/{id}/lock"): ("update", OPERATORS),
    ("DELETE", "/v1/workspaces/{id}/lock"): ("destroy", OPERATORS),
    ("GET", "/v1/audit"): ("list", ADMINS),
    ("GET", "/v1/system/drain"): ("retrieve", ADMINS),
    ("PUT", "/v1/system/drain"): ("update", ADMINS),
    ("DELETE", "/v1/system/drain"): ("destroy", ADMINS),
    ("GET", "/v1/audit/{id}"): ("retrieve", ADMINS),
    ("GET", "/v1/servers"): ("list", READERS),
    ("POST", "/v1/servers/create"): ("create", OPERATORS),
    ("GET", "/v1/servers/{id}"): ("retrieve", READERS),
    ("DELETE", "/v1/servers/{id}"): ("destroy", OPERATORS),
    ("GET", "/v1/servers/{id}/status"): ("status", READERS),
    ("GET", "/v1/taskservs"): ("list", READERS),
    ("POST", "/v1/taskservs/create"): ("create", OPERATORS),
    ("GET", "/v1/taskservs/{id}"): ("retrieve", READERS),
    ("DELETE", "/v1/taskservs/{id}"): ("destroy", OPERATORS),
    ("GET", "/v1/taskservs/{id}/status"): ("status", READERS),
    ("GET", "/v1/clusters"): ("list", READERS),
    ("POST", "/v1/clusters/create"): ("create", OPERATORS),
    ("GET", "/v1/clusters/{id}"): ("retrieve", READERS),
    ("DELETE", "/v1/clusters/{id}"): ("destroy", OPERATORS),
    ("GET", "/v1/clusters/{id}/status"): ("status", READERS),
    ("GET", "/v1/workflows"): ("list", READERS),
    ("POST", "/v1/workflows/submit"): ("submit", OPERATORS),
    ("GET", "/v1/workflows/{id}"): ("retrieve", READERS),
    ("GET", "/v1/workflows/{id}/status"): ("status", READERS),
    ("GET", "/v1/workflows/{id}/graph.svg"): ("graph", READERS),
    ("POST", "/v1/workflows/{id}/cancel"): ("cancel", OPERATORS),
    ("GET", "/v1/operations"): ("list", READERS),
    ("GET", "/v1/operations/{id}"): ("retrieve", READERS),
    ("GET", "/v1/operations/{id}/log"): ("log", READERS),
    ("GET", "/v1/operations/{id}/log/stream"): ("log_stream", READERS),
    ("GET", "/v1/operations/{id}/wait"): ("wait", READERS),
    ("POST", "/v1/operations/{id}/cancel"): ("cancel", OPERATORS),
    ("POST", "/v1/operations/{id}/rerun"): ("rerun", OPERATORS),
    ("GET", "/v1/auto-install/tokens"): ("list", READERS),
    ("POST", "/v1/auto-install/tokens"): ("create", OPERATORS),
    ("GET", "/v1/auto-install/tokens/{id}"): ("retrieve", READERS),
    ("PUT", "/v1/auto-install/tokens/{id}"): ("update", OPERATORS),
    ("PATCH", "/v1/auto-install/tokens/{id}"): ("partial_update", OPERATORS),
    ("DELETE", "/v1/auto-install/tokens/{id}"): ("destroy", OPERATORS),
    ("GET", "/v1/auto-install/prepared"): ("list", READERS),
    ("POST", "/v1/auto-install/prepared"): ("create", OPERATORS),
    ("GET", "/v1/auto-install/prepared/{id}"): ("retrieve", READERS),
    ("PUT", "/v1/auto-install/prepared/{id}"): ("update", OPERATORS),
    ("PATCH", "/v1/auto-install/prepared/{id}"): ("partial_update", OPERATORS),
    ("DELETE", "/v1/auto-install/prepared/{id}"): ("destroy", OPERATORS),
    ("POST", "/v1/auto-install/answer-files"): ("create", OPERATORS),
    ("GET", "/v1/auto-install/answer-files/{id}"): ("retrieve", READERS),
    ("GET", "/v1/auto-install/installations"): ("list", READERS),
    ("GET", "/v1/auto-install/installations/{id}"): ("retrieve", READERS),
    ("DELETE", "/v1/auto-install/installations/{id}"): ("destroy", OPERATORS),
    ("GET", "/v1/auto-install/attempts"): ("list", READERS),
    ("GET", "/v1/auto-install/attempts/{id}"): ("retrieve", READERS),
    ("POST", "/v1/auto-install/preview"): ("create", READERS),
}

# In the manners of Datacenter Manager; methods are their own actions there.
COMPAT: dict[tuple[str, str], str | frozenset[str]] = {
    ("GET", "/api2/json/auto-install"): ANYBODY,
    ("GET", "/api2/json/auto-install/tokens"): READERS,
    ("POST", "/api2/json/auto-install/tokens"): OPERATORS,
    ("PUT", "/api2/json/auto-install/tokens/{id}"): OPERATORS,
    ("DELETE", "/api2/json/auto-install/tokens/{id}"): OPERATORS,
    ("GET", "/api2/json/auto-install/prepared"): READERS,
    ("POST", "/api2/json/auto-install/prepared"): OPERATORS,
    ("GET", "/api2/json/auto-install/prepared/{id}"): READERS,
    ("PUT", "/api2/json/auto-install/prepared/{id}"): OPERATORS,
    ("DELETE", "/api2/json/auto-install/prepared/{id}"): OPERATORS,
    ("GET", "/api2/json/auto-install/installations"): READERS,
    ("DELETE", "/api2/json/auto-install/installations/{id}"): OPERATORS,
}

# Called by a machine that shows a token of its own, or the secret that its answer gave it: no session
# counts there, and nobody but an installer is to be understood.
INSTALLER = {
    f"{mount}/auto-install/{path}"
    for mount in ("/v1", "/api2/json")
    for path in ("answer", "answer/{id}", "installations/{id}/post-hook")
}
CATCH_ALL = "/api2/json/.*"  # whatever else Datacenter Manager has: 404 as text

# What a person who gets in is answered; without an entry 200. An empty body is 400 where one is
# needed: the permission has been asked for before the body was read.
ANSWERS: dict[tuple[str, str], int] = {
    **{
        (method, path): 400
        for method, path in EXPECTED
        if path.endswith(("/create", "/submit", "/auth/login", "/auth/refresh", "/password"))
        or (method == "POST" and path.count("/") == (3 if "/auto-install/" in path else 2))
        or (method, path) == ("PATCH", "/v1/workspaces/{id}")
    },
    **{
        (method, path): 202 if path.split("/")[2] in ("servers", "taskservs", "clusters") else 204
        for method, path in EXPECTED
        if method == "DELETE"
    },
    # not locked, and not ended
    ("GET", "/v1/workspaces/{id}/lock"): 404,
    ("PUT", "/v1/workspaces/{id}/lock"): 400,
    ("DELETE", "/v1/workspaces/{id}/lock"): 404,
    ("POST", "/v1/operations/{id}/rerun"): 409,
    ("GET", "/v1/operations/{id}/wait"): 202,  # it still waits for a runner
    ("POST", "/v1/auth/logout"): 204,
    ("POST", "/v1/users/{id}/unlock"): 204,
}


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    action: str
    view: type[Any]


def patterns_under(resolver: URLResolver, prefix: str = "/") -> Iterator[tuple[str, URLPattern]]:
    for entry in resolver.url_patterns:
        path = prefix + str(entry.pattern).removeprefix("^").removesuffix("$").removesuffix(r"\Z")
        if isinstance(entry, URLResolver):
            yield from patterns_under(entry, path)
        else:
            yield path, entry


def template_of(path: str) -> str:
    """`/v1/users/(?P<pk>[0-9]+)` and `/v1/users/<int:pk>` -> `/v1/users/{id}`; groups may hold groups."""
    while (start := path.find("(")) >= 0:
        depth = 0
        for end in range(start, len(path)):
            depth += {"(": 1, ")": -1}.get(path[end], 0)
            if depth == 0:
                break
        path = f"{path[:start]}{{id}}{path[end + 1 :]}"
    return re.sub(r"<[^>]+>", "{id}", path)


def view_of(callback: Any) -> type[Any] | None:
    """The class of a view; None for a function."""
    found: type[Any] | None = getattr(callback, "cls", None) or getattr(
        callback, "view_class", None
    )
    return found


def walk(mount: str) -> Iterator[Route]:
    """Every method of every class of a view below this path, from the URL map alone."""
    for path, pattern in patterns_under(get_resolver()):
        callback: Any = pattern.callback
        view = view_of(callback)
        if view is None or not path.startswith(mount):
            continue
        actions: dict[str, str] = getattr(callback, "actions", None) or {
            method: method for method in view.http_method_names if hasattr(view, method)
        }
        for method, action in actions.items():
            if method not in ("head", "options"):
                yield Route(method.upper(), template_of(path), action, view)


ROUTES = list(walk("/v1"))
COMPAT_ROUTES = list(walk("/api2"))
FUNCTIONS = sorted(
    template_of(path)
    for path, pattern in patterns_under(get_resolver())
    if path.startswith(("/v1", "/api2")) and view_of(pattern.callback) is None
)


def test_every_route_is_in_the_table_and_the_other_way_round() -> None:
    found = {(route.method, route.path): route.action for route in ROUTES}

    assert found == {key: action for key, (action, _) in EXPECTED.items()}


def test_every_route_for_clients_of_datacenter_manager_is_in_the_table() -> None:
    assert {(route.method, route.path) for route in COMPAT_ROUTES} == set(COMPAT)


def test_only_what_an_installer_calls_is_outside_of_roles() -> None:
    assert sorted([*INSTALLER, CATCH_ALL]) == FUNCTIONS


def test_nothing_but_health_the_console_and_the_api_is_served() -> None:
    tops = {path.split("/")[1] for path, _ in patterns_under(get_resolver())}

    assert tops == {"", "health", "v1", "api2", "admin"}


@pytest.mark.parametrize("view", dict.fromkeys(route.view for route in [*ROUTES, *COMPAT_ROUTES]))
def test_a_view_declares_a_permission_for_each_of_its_actions_and_no_more(view: type[Any]) -> None:
    actions = {route.action for route in [*ROUTES, *COMPAT_ROUTES] if route.view is view}

    assert set(view.required_permissions) == actions


# --- Who gets in -------------------------------------------------------------------------------


def make_workflow(workspace: Workspace) -> Operation:
    step = {"id": "a", "kind": "cluster_delete", "params": {"name": "kubernetes"}}
    workflow = Operation.objects.create(
        kind=Kind.WORKFLOW,
        workspace=workspace,
        workspace_name=workspace.name,
        params={"name": "w", "steps": [step]},
        requested_by_name="tester",
        timeout_seconds=0,
    )
    make_operation(workspace, workflow=workflow, step_id="a", is_ready=False)
    return workflow


def make_taskserv(workspace: Workspace) -> Taskserv:
    return Taskserv.objects.create(uid=Taskserv.new_uid(), workspace=workspace, name="containerd")


def make_cluster(workspace: Workspace) -> Cluster:
    return Cluster.objects.create(uid=Cluster.new_uid(), workspace=workspace, name="kubernetes")


def make_audit_event(_: Workspace) -> AuditEvent:
    audit.record(Event.AUDIT_PRUNED, actor=Actor(name="tester"))
    return AuditEvent.objects.latest("id")


def make_attempt(_: Workspace) -> Attempt:
    """An attempt that became an installation."""
    token, credential = make_token()
    make_config(authorized_tokens=[token.name])
    assert ask(credential).status_code == 200
    return Attempt.objects.get()


# How to make a row that `{id}` may name, by the word of the path before it.
ROWS: dict[str, Callable[[Workspace], Any]] = {
    "users": lambda _: make_user("target"),
    "roles": lambda _: Role.objects.create(name="Custom", permissions=["server_read"]),
    "role-bindings": lambda _: bind(make_user("target"), "Viewer"),
    "workspaces": lambda _: make_workspace("empty"),
    "audit": make_audit_event,
    "servers": make_server,
    "taskservs": make_taskserv,
    "clusters": make_cluster,
    "operations": make_operation,
    "workflows": make_workflow,
    "tokens": lambda _: make_token()[0],
    "prepared": lambda _: make_config().config,
    "answer-files": lambda _: make_config().config,
    "attempts": make_attempt,
    "installations": make_attempt,
}


@pytest.fixture
def path(route: Route, workspace: Workspace) -> str:
    """The route's path, with the id of a row that exists."""
    if "{id}" not in route.path:
        return route.path
    row = ROWS[route.path.partition("/{id}")[0].rpartition("/")[2]](workspace)
    is_named = "auto-install" in route.path and not isinstance(row, Attempt)
    return route.path.replace("{id}", str(row.name if is_named else getattr(row, "uid", row.pk)))


def name_of(route: Route) -> str:
    return f"{route.method} {route.path}"


@pytest.fixture
def person(db: None, role: str) -> User:
    user = make_user("somebody")
    if role in READERS:
        bind(user, role)
    return user


@pytest.mark.parametrize("role", ["Admin", "Operator", "Developer", "Viewer", "no role"])
@pytest.mark.parametrize("route", ROUTES, ids=name_of)
def test_a_role_gets_in_or_is_refused_as_the_contract_says(
    route: Route,
    role: str,
    person: User,
    path: str,
    api: Callable[[User | None], APIClient],
    fake_cli: Path,
    nothing_is_waited_for: None,
) -> None:
    who = EXPECTED[route.method, route.path][1]
    client = api(person)
    events = AuditEvent.objects.count()

    answer = client.generic(route.method, path)

    if isinstance(who, str) or role in who:
        expected = ANSWERS.get((route.method, route.path), 200)
        content = answer.getvalue()  # of a stream, too: that gives its place back
        assert answer.status_code == expected, content[:300]
        return
    assert_error(answer, 403)
    assert AuditEvent.objects.count() == events + 1
    event = last_event(event="access.denied", outcome="denied", actor=person)
    assert event.target_name == f"{route.method} {path}"


@pytest.mark.parametrize("route", ROUTES, ids=name_of)
def test_without_a_token_only_what_is_public_answers(
    route: Route, path: str, api: Callable[[User | None], APIClient]
) -> None:
    events = AuditEvent.objects.count()

    answer = api(None).generic(route.method, path)

    if EXPECTED[route.method, route.path][1] == PUBLIC:
        assert answer.status_code == ANSWERS.get((route.method, route.path), 200)
        return
    assert_error(answer, 401)
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api"'
    assert AuditEvent.objects.count() == events + 1
    last_event(event="authentication.failed", outcome="denied", actor_name="anonymous")


# --- For clients of Datacenter Manager ---------------------------------------------------------


def assert_sentence(answer: Any, status: int) -> None:
    """One line of plain text."""
    assert answer.status_code == status, answer.content
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert re.fullmatch(rb"[A-Z][^{\n]+\.\n", answer.content), answer.content


@pytest.mark.parametrize("role", ["Admin", "Operator", "Developer", "Viewer", "no role"])
@pytest.mark.parametrize("route", COMPAT_ROUTES, ids=name_of)
def test_the_same_roles_get_in_by_the_manners_of_datacenter_manager(
    route: Route,
    role: str,
    person: User,
    path: str,
    api: Callable[[User | None], APIClient],
) -> None:
    who = COMPAT[route.method, route.path]
    client = api(person)
    events = AuditEvent.objects.count()

    answer = client.generic(route.method, path)

    if isinstance(who, str) or role in who:
        assert answer.status_code == (400 if route.method == "POST" else 200), answer.content
        return
    assert_sentence(answer, 403)
    assert AuditEvent.objects.count() == events + 1
    event = last_event(event="access.denied", outcome="denied", actor=person)
    assert event.target_name == f"{route.method} {path}"


@pytest.mark.parametrize("route", COMPAT_ROUTES, ids=name_of)
def test_without_a_session_nothing_answers_a_client_of_datacenter_manager(
    route: Route, path: str, api: Callable[[User | None], APIClient]
) -> None:
    events = AuditEvent.objects.count()

    answer = api(None).generic(route.method, path)

    assert_sentence(answer, 401)
    assert AuditEvent.objects.count() == events + 1
    last_event(event="authentication.failed", outcome="denied", actor_name="anonymous")


# --- For installers ----------------------------------------------------------------------------

NOBODY = "00000000-0000-7000-8000-000000000000"


def installers_path(path: str) -> str:
    return path.replace("{id}", NOBODY if "post-hook" in path else "nobody:nothing")


@pytest.mark.parametrize("path", sorted(INSTALLER))
@pytest.mark.parametrize("role", ["Admin", "no role"])
def test_what_an_installer_calls_takes_no_session_for_a_token(
    path: str, role: str, person: User, api: Callable[[User | None], APIClient]
) -> None:
    answer = api(person).post(installers_path(path), {}, format="json")

    if "post-hook" in path:
        assert_sentence(answer, 404)
        last_event(event="installation.report-refused", outcome="denied", actor_name="anonymous")
        return
    assert (answer.status_code, answer.content) == (401, b"")
    last_event(event="answer.refused", outcome="denied", actor_name="anonymous")
    assert Attempt.objects.get().outcome == "refused"


@pytest.mark.parametrize("path", sorted(INSTALLER))
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_what_an_installer_calls_is_called_by_post_alone(
    method: str, path: str, db: None, api: Callable[[User | None], APIClient]
) -> None:
    client = api(None)

    with nothing_changes():
        answer = client.generic(method, installers_path(path))

    assert answer.status_code == 405
    assert answer.headers["Allow"] == "POST"
    if method != "HEAD":
        assert_sentence(answer, 405)


@pytest.mark.parametrize("path", sorted(INSTALLER))
def test_an_installer_is_never_redirected_and_asked_for_no_csrf_token(path: str, db: None) -> None:
    client = APIClient(enforce_csrf_checks=True)

    for asked in (installers_path(path), f"{installers_path(path)}/"):
        answer = client.post(asked, b"{}", content_type="application/json")
        assert answer.status_code in (401, 404), answer.content
        assert "Location" not in answer.headers
        assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
def test_what_datacenter_manager_has_beyond_auto_install_is_404_as_text(
    method: str, db: None, api: Callable[[User | None], APIClient]
) -> None:
    client = api(None)

    with nothing_changes():
        assert_sentence(client.generic(method, "/api2/json/version"), 404)


# --- Deny by default ---------------------------------------------------------------------------


class Forgetful(ApiViewSet):
    """Declares one of its two actions."""

    required_permissions: ClassVar[dict[str, str]] = {"list": "server_read"}

    def list(self, request: Request) -> Response:
        return Response([])

    def create(self, request: Request) -> Response:
        return Response({}, status=201)


def test_an_action_that_is_not_declared_is_denied_even_to_an_admin(
    admin: User,
) -> None:
    view = Forgetful.as_view({"get": "list", "post": "create"})
    requests = APIRequestFactory()
    get, post = requests.get("/x"), requests.post("/x", {}, format="json")
    for request in (get, post):
        force_authenticate(request, admin)

    declared, undeclared = view(get), view(post)

    assert declared.status_code == 200
    assert undeclared.status_code == 403


def test_an_action_that_is_not_declared_is_denied_without_a_token(db: None) -> None:
    answer = Forgetful.as_view({"post": "create"})(APIRequestFactory().post("/x"))

    assert answer.status_code in (401, 403)


def test_the_permission_is_asked_for_before_the_body_is_read(
    viewer: User, api: Callable[[User | None], APIClient]
) -> None:
    answer = api(viewer).post(
        "/v1/servers/create", b"{ this is no JSON", content_type="application/json"
    )

    assert_error(answer, 403)
