"""Inventory in the console: lists, the page of an item, the forms that create, the acts."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import AuditEvent, Role, RoleBinding, User, Workspace
from operations.models import Cluster, Operation, Server, Taskserv
from operations.services import drain, locking
from tests.factories import bind, make_operation, make_server, make_user, make_workspace
from tests.operations.test_operations_console import denials, html, logged_in, queries_of

SERVERS = "/admin/operations/server/"
NEW_SERVER = {"workspace": "production", "provider": "local", "plan": "small", "hostname": "web-01"}


def make_item(model: Any, workspace: Workspace, name: str, **more: Any) -> Any:
    key = "hostname" if model is Server else "name"
    return model.objects.create(
        uid=model.new_uid(), workspace=workspace, **{key: name, "status": "running", **more}
    )


# --- Lists -------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [Server, Taskserv, Cluster])
def test_each_list_asks_as_often_for_200_rows_as_for_one(
    operator: User, workspace: Workspace, model: Any
) -> None:
    client = logged_in(operator)
    path = f"/admin/operations/{model._meta.model_name}/"
    operation = make_operation(workspace)
    make_item(model, workspace, "a-0", last_operation=operation)
    few = queries_of(client, path)
    for number in range(1, 200):
        one = make_operation(workspace)
        make_item(model, workspace, f"a-{number}", last_operation=one)

    assert queries_of(client, path) == few


def test_the_list_tells_what_was_seen_long_ago_and_links_the_last_operation(
    operator: User, workspace: Workspace
) -> None:
    operation = make_operation(
        workspace, params={"hostname": "web-01", "provider": "p"} | {"plan": "q"}
    )
    make_server(workspace, "web-01", last_operation=operation)
    client = logged_in(operator)

    fresh = html(client, SERVERS)
    Server.objects.update(seen_at=timezone.now() - timedelta(days=3))
    stale = html(client, SERVERS)

    assert f"/admin/operations/operation/{operation.pk}/change/" in fresh
    assert "stale" not in fresh
    assert "stale" in stale
    assert "3 d" in stale


def test_who_sees_servers_but_no_operations_gets_no_link_to_one(workspace: Workspace) -> None:
    role = Role.objects.create(name="Looker", permissions=["server_read", "workspace_read"])
    user = make_user("lou")
    RoleBinding.objects.create(user=user, role=role)
    server = make_server(workspace, "web-01", last_operation=make_operation(workspace))
    client = logged_in(user)

    for shown in (html(client, SERVERS), html(client, f"{SERVERS}{server.pk}/change/")):
        assert "/admin/operations/operation/" not in shown


def test_new_is_offered_to_who_may(operator: User, viewer: User) -> None:
    for noun in ("server", "taskserv", "cluster"):
        path = f"/admin/operations/{noun}/"
        assert f"{path}add/" in html(logged_in(operator), path)
        assert f"{path}add/" not in html(logged_in(viewer), path)


# --- The page of one ---------------------------------------------------------------------------


def test_the_page_shows_facts_taskservs_and_its_operations(
    operator: User, workspace: Workspace
) -> None:
    server = make_item(Server, workspace, "web-01", provider="hetzner", tags=["edge", "eu"])
    make_item(Taskserv, workspace, "containerd", server="web-01")
    make_item(Taskserv, workspace, "elsewhere", server="web-02")
    mine = make_operation(workspace, params={"hostname": "web-01", "provider": "p", "plan": "q"})
    other = make_operation(workspace, params={"hostname": "web-02", "provider": "p", "plan": "q"})

    params = {"name": "containerd", "server": "web-01"}
    on_it = make_operation(workspace, kind="taskserv_create", params=params)

    shown = html(logged_in(operator), f"{SERVERS}{server.pk}/change/")

    for text in ("hetzner", "edge, eu", server.uid, "containerd", str(mine.pk), str(on_it.pk)):
        assert text in shown
    for text in ("elsewhere", str(other.pk)):
        assert text not in shown
    assert "/admin/operations/operation/?q=web-01&amp;workspace=production" in shown
    assert "/admin/operations/taskserv/add/?workspace=production&amp;server=web-01" in shown


def test_the_operations_of_a_taskserv_are_those_of_its_server(
    operator: User, workspace: Workspace
) -> None:
    item = make_item(Taskserv, workspace, "dns", server="web-01")
    params = {"name": "dns", "server": "web-01"}
    mine = make_operation(workspace, kind="taskserv_create", params=params)
    other = make_operation(workspace, kind="taskserv_create", params=params | {"server": "web-02"})

    shown = html(logged_in(operator), f"/admin/operations/taskserv/{item.pk}/change/")

    assert str(mine.pk) in shown
    assert str(other.pk) not in shown


def test_items_of_other_workspaces_are_not_there(workspace: Workspace) -> None:
    theirs = make_server(make_workspace("theirs"), "secret-1")
    guest = make_user("guest")
    bind(guest, "Operator", workspace)
    client = logged_in(guest)

    assert client.get(f"{SERVERS}{theirs.pk}/change/").status_code == 302
    assert client.post(f"{SERVERS}{theirs.pk}/refresh/").status_code == 404
    assert client.post(f"{SERVERS}{theirs.pk}/remove/").status_code == 404


# --- Acts on one -------------------------------------------------------------------------------


@pytest.mark.usefixtures("fake_cli")
def test_the_status_is_asked_for(viewer: User, workspace: Workspace) -> None:
    server = make_server(workspace, "ok-1", status="unknown")
    Server.objects.update(seen_at=timezone.now() - timedelta(days=3))

    answer = logged_in(viewer).post(f"{SERVERS}{server.pk}/refresh/", follow=True)

    server.refresh_from_db()
    assert "The CLI says: running." in answer.content.decode()
    assert server.status == "running"
    assert timezone.now() - server.seen_at < timedelta(minutes=1)


@pytest.mark.usefixtures("fake_cli")
def test_a_cli_that_does_not_tell_is_a_sentence(viewer: User, workspace: Workspace) -> None:
    server = make_server(workspace, "fail-3-x", status="unknown")

    answer = logged_in(viewer).post(f"{SERVERS}{server.pk}/refresh/", follow=True)

    assert "The CLI did not answer" in answer.content.decode()


@pytest.mark.parametrize("form", [{}, {"check": "1"}])
def test_deleting_launches_the_operation_once(
    operator: User, workspace: Workspace, form: dict[str, str]
) -> None:
    item = make_item(Taskserv, workspace, "dns", server="web-01")
    path = f"/admin/operations/taskserv/{item.pk}/remove/"
    form = form | {"form_key": str(uuid.uuid4())}
    client = logged_in(operator)

    answer = client.post(path, form)
    client.post(path, form)

    operation = Operation.objects.get()
    assert answer["Location"] == f"/admin/operations/operation/{operation.pk}/change/"
    assert operation.kind == "taskserv_delete"
    assert operation.params == {"name": "dns", "server": "web-01"}
    assert operation.check_mode == ("check" in form)
    assert operation.requested_by == operator
    assert AuditEvent.objects.filter(event="operation.submitted", actor=operator).count() == 1


def test_who_may_not_delete_sees_no_button_and_is_refused(
    viewer: User, workspace: Workspace
) -> None:
    server = make_server(workspace, "web-01")
    client = logged_in(viewer)

    assert "/remove/" not in html(client, f"{SERVERS}{server.pk}/change/")
    assert client.post(f"{SERVERS}{server.pk}/remove/").status_code == 403
    assert client.post(f"{SERVERS}{server.pk}/change/", {"status": "x"}).status_code == 403
    assert denials(viewer) == 2
    assert not Operation.objects.exists()


# --- Forms that create -------------------------------------------------------------------------


def test_an_operator_creates_a_server(operator: User, workspace: Workspace) -> None:
    form = NEW_SERVER | {"zone": " nbg1 ", "tags": "web, edge", "check_mode": "on"}

    answer = logged_in(operator).post(f"{SERVERS}add/", form)

    operation = Operation.objects.get()
    assert answer["Location"] == f"/admin/operations/operation/{operation.pk}/change/"
    assert (operation.kind, operation.workspace, operation.check_mode) == (
        "server_create",
        workspace,
        True,
    )
    assert operation.params == {
        "provider": "local",
        "plan": "small",
        "hostname": "web-01",
        "zone": "nbg1",
        "tags": ["web", "edge"],
    }


def test_settings_are_json(operator: User, workspace: Workspace) -> None:
    form = {"workspace": "production", "name": "dns", "settings": '{"ttl": 60, "zones": ["a"]}'}

    logged_in(operator).post("/admin/operations/cluster/add/", form)

    operation = Operation.objects.get()
    assert operation.kind == "cluster_create"
    assert operation.params == {"name": "dns", "settings": {"ttl": 60, "zones": ["a"]}}


@pytest.mark.parametrize(
    ("noun", "change", "said"),
    [
        ("server", {"plan": ""}, "This field is required"),
        ("server", {"hostname": "web_01"}, "is no host name"),
        ("server", {"plan": "--force"}, "must begin with a letter or digit"),
        ("server", {"tags": "ok, -x"}, "must begin with a letter or digit"),
        ("server", {"workspace": ""}, "This field is required"),
        ("server", {"workspace": "nowhere"}, "Select a valid choice"),
        ("taskserv", {"name": "dns", "settings": '{"a": }'}, "Line 1, column 7"),
        ("taskserv", {"name": "dns", "settings": "[1]"}, "must be a JSON object"),
        ("taskserv", {"name": "dns", "settings": "[" * 5000}, "nested too deep"),
        (
            "taskserv",
            {"name": "dns", "settings": json.dumps({"a": json.loads("[" * 40 + "]" * 40)})},
            "deeper than 32 levels",
        ),
    ],
)
def test_bad_input_starts_nothing_and_stays_in_the_form(
    operator: User, workspace: Workspace, noun: str, change: dict[str, str], said: str
) -> None:
    form = (
        {"workspace": "production", "version": "9.9.9-typed"} if noun == "taskserv" else NEW_SERVER
    )

    answer = logged_in(operator).post(f"/admin/operations/{noun}/add/", form | change)

    shown = answer.content.decode()
    assert answer.status_code == 200
    assert said in shown
    assert ("9.9.9-typed" if noun == "taskserv" else 'value="local"') in shown
    assert not Operation.objects.exists()


# What JSON can say and no row can hold, and the sentence that says so.
UNFIT = [
    (
        '{"a": 99999999999999999999999}',
        "a: 99999999999999999999999 is an integer of more than 64 bits",
    ),
    ('{"a": -9223372036854775809}', "a: -9223372036854775809 is an integer of more than 64 bits"),
    (f'{{"a": {"9" * 5000}}}', "Line 1, column 7"),
    ('{"a": NaN}', "Line 1, column 7"),
    ('{"a": 1e999}', "Line 1, column 7"),
    (r'{"a": "\ud800"}', "no low surrogate"),
    (r'{"a": "\u0000"}', "a: must not hold a null character"),
]


@pytest.mark.parametrize("noun", ["taskserv", "cluster"])
@pytest.mark.parametrize(("settings", "said"), UNFIT)
def test_settings_that_cannot_be_kept_are_a_sentence_in_the_form(
    operator: User, workspace: Workspace, noun: str, settings: str, said: str
) -> None:
    form = {"workspace": "production", "name": "dns", "settings": settings, "form_key": "k"}

    answer = logged_in(operator).post(f"/admin/operations/{noun}/add/", form)

    assert answer.status_code == 200
    assert said in answer.content.decode()
    assert settings in unescape(answer.content.decode())
    assert not Operation.objects.exists()


def test_numbers_that_fit_and_digits_in_texts_are_kept(
    operator: User, workspace: Workspace
) -> None:
    settings = {"most": 2**64 - 1, "least": -(2**63), "float": 1.5e15, "text": '"' + "9" * 30}
    form = {"workspace": "production", "name": "dns", "settings": json.dumps(settings)}

    logged_in(operator).post("/admin/operations/cluster/add/", form)

    assert Operation.objects.get().params["settings"] == settings


def test_a_refusal_of_the_service_is_a_sentence_in_the_form(
    operator: User, admin: User, workspace: Workspace
) -> None:
    from accounts.actor import Actor

    actor = Actor(name=admin.username, user=admin)
    locking.lock_workspace(workspace=workspace, reason="moving racks", actor=actor)
    client = logged_in(operator)

    locked = client.post(f"{SERVERS}add/", NEW_SERVER).content.decode()
    drain.drain_system(actor=actor, reason="upgrade")
    drained = client.post(f"{SERVERS}add/", NEW_SERVER).content.decode()

    assert "locked by alice: moving racks" in locked
    assert 'value="web-01"' in locked
    assert "takes no new operations: upgrade" in drained
    assert not Operation.objects.exists()


def test_only_workspaces_of_the_permission_are_offered_and_taken(workspace: Workspace) -> None:
    other = make_workspace("other")
    user = make_user("una")
    bind(user, "Operator", workspace)
    bind(user, "Viewer", other)
    client = logged_in(user)

    shown = html(client, f"{SERVERS}add/")
    refused = client.post(f"{SERVERS}add/", NEW_SERVER | {"workspace": "other"})

    assert '<option value="production" selected>' in shown
    assert "other</option>" not in shown
    assert "Select a valid choice" in refused.content.decode()
    assert not Operation.objects.exists()


def test_the_form_suggests_what_is_known_where_the_person_sees_it(workspace: Workspace) -> None:
    make_server(workspace, "web-01", provider="mine")
    make_server(make_workspace("other"), "db-01", provider="theirs")
    user = make_user("una")
    bind(user, "Operator", workspace)
    client = logged_in(user)

    server = html(client, f"{SERVERS}add/")
    taskserv = html(client, "/admin/operations/taskserv/add/?server=web-07")

    assert '<option value="mine">' in server
    assert '<option value="web-01">' in taskserv
    assert 'value="web-07"' in taskserv
    for text in ("theirs", "db-01"):
        assert text not in server + taskserv


@pytest.mark.parametrize("noun", ["server", "taskserv", "cluster"])
def test_who_may_not_create_is_refused_and_remembered(
    viewer: User, workspace: Workspace, noun: str
) -> None:
    client = logged_in(viewer)
    path = f"/admin/operations/{noun}/add/"

    assert client.get(path).status_code == 403
    assert client.post(path, {"workspace": "production", "name": "x"}).status_code == 403
    assert denials(viewer) == 2
    assert not Operation.objects.exists()


def test_the_same_form_sent_twice_starts_once(operator: User, workspace: Workspace) -> None:
    client = logged_in(operator)
    form = NEW_SERVER | {"form_key": str(uuid.uuid4())}

    first = client.post(f"{SERVERS}add/", form)
    second = client.post(f"{SERVERS}add/", form)
    changed = client.post(f"{SERVERS}add/", form | {"hostname": "web-02"})

    assert first["Location"] == second["Location"] != changed["Location"]
    assert Operation.objects.count() == 2


def test_the_page_of_an_item_asks_a_bounded_number_of_questions(
    operator: User, workspace: Workspace
) -> None:
    server = make_server(workspace, "web-01")
    for _ in range(20):
        make_operation(workspace, params={"hostname": "web-01", "provider": "p", "plan": "q"})

    assert queries_of(logged_in(operator), f"{SERVERS}{server.pk}/change/") <= 15
