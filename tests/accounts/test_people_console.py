"""People in the console: users, roles, bindings, sessions, lockouts, workspaces."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import lockout
from accounts.actor import Actor
from accounts.models import (
    AuditEvent,
    LoginThrottle,
    RefreshSession,
    Role,
    RoleBinding,
    User,
    Workspace,
)
from tests.accounts.people import client_of, make_session
from tests.factories import PASSWORD, bind, make_server, make_user, make_workspace

USERS = "/admin/accounts/user/"


@pytest.fixture
def console(admin: User) -> Client:
    return client_of(admin)


def text_of(response: Any) -> str:
    assert response.status_code == 200
    return str(response.content.decode())


def act(client: Client, user: User, name: str, **form: str) -> str:
    """Press a button of the page of a user; what the page says then."""
    return text_of(client.post(f"{USERS}{user.pk}/{name}/", form, follow=True))


# --- Users -------------------------------------------------------------------------------------


def test_the_list_shows_roles_state_lockout_and_last_login(
    console: Client, workspace: Workspace
) -> None:
    oscar = make_user("oscar", last_login=timezone.now() - timedelta(hours=2))
    bind(oscar, "Operator", workspace)
    make_user("idle", is_active=False)
    until = timezone.now() + timedelta(minutes=5)
    LoginThrottle.objects.create(
        username="oscar", source="10.0.0.1", failures=5, locked_until=until
    )

    page = text_of(console.get(USERS))

    assert "in production" in page
    assert "locked out" in page
    assert "inactive" in page
    assert "2 h ago" in page
    assert "never" in page


@pytest.mark.parametrize(
    ("query", "shown"),
    [("state=locked", "lena"), ("state=inactive", "ivan"), ("role=none", "lena")],
)
def test_users_are_filtered_by_state_and_role(console: Client, query: str, shown: str) -> None:
    until = timezone.now() + timedelta(minutes=5)
    make_user("Lena".lower())
    bind(make_user("ivan", is_active=False), "Viewer")
    LoginThrottle.objects.create(username="lena", source="*", failures=50, locked_until=until)

    page = text_of(console.get(f"{USERS}?{query}"))

    assert re.findall(r'change/[^"]*">(\w+)</a></th>', page) == [shown]


def test_a_generated_password_is_shown_once_works_and_is_nowhere_else(console: Client) -> None:
    form = {"username": "newby", "email": "", "full_name": "", "password": ""}

    page = text_of(console.post(f"{USERS}add/", form))

    user = User.objects.get(username="newby")
    (password,) = set(re.findall(r"[a-z2-9]{5}(?:-[a-z2-9]{5}){3}", page))
    assert user.check_password(password)
    assert password not in text_of(console.get(f"{USERS}{user.pk}/change/"))
    assert password not in str(list(AuditEvent.objects.values()))


def test_a_typed_password_is_not_shown_and_leads_to_the_roles(console: Client) -> None:
    form = {"username": "newby", "email": "", "full_name": "", "password": "a-long-password"}

    response = console.post(f"{USERS}add/", form, follow=True)

    user = User.objects.get(username="newby")
    assert response.redirect_chain == [(f"{USERS}{user.pk}/change/", 302)]
    assert "a-long-password" not in text_of(response)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"password": "short"}, "too short"),
        ({"username": "alice"}, "exists"),
        ({"username": "system"}, "reserved"),
        ({"username": "no spaces"}, "must begin with a letter"),
        ({"email": "nonsense"}, "valid email"),
    ],
)
def test_bad_input_changes_nothing_and_stays_in_the_form(
    console: Client, changed: dict[str, str], sentence: str
) -> None:
    form = {"username": "newby", "email": "n@example.com", "full_name": "New Bee", "password": ""}

    page = text_of(console.post(f"{USERS}add/", form | changed))

    assert sentence in page
    assert 'value="New Bee"' in page
    assert User.objects.count() == 1


def test_a_user_is_deactivated_and_activated(console: Client, viewer: User) -> None:
    session = make_session(viewer)
    elsewhere = client_of(viewer)

    assert "victor is inactive" in act(console, viewer, "deactivate")
    session.refresh_from_db()
    assert session.revoked_at
    assert elsewhere.get("/admin/").status_code == 302
    assert "victor is active." in act(console, viewer, "activate")
    assert AuditEvent.objects.filter(event="user.changed").count() == 2


def test_a_new_password_for_somebody_is_generated_and_ends_his_sessions(
    console: Client, viewer: User
) -> None:
    session = make_session(viewer)

    page = text_of(console.post(f"{USERS}{viewer.pk}/password/", {"password": ""}))

    (password,) = set(re.findall(r"[a-z2-9]{5}(?:-[a-z2-9]{5}){3}", page))
    viewer.refresh_from_db()
    session.refresh_from_db()
    assert viewer.check_password(password)
    assert session.revoked_at


def test_a_weak_new_password_is_refused_with_the_rule(console: Client, viewer: User) -> None:
    page = text_of(console.post(f"{USERS}{viewer.pk}/password/", {"password": "short"}))

    assert "too short" in page
    assert User.objects.get(pk=viewer.pk).check_password(PASSWORD)


def test_a_user_is_deleted_after_a_question_that_says_what_goes(
    console: Client, viewer: User
) -> None:
    make_session(viewer)

    question = text_of(console.get(f"{USERS}{viewer.pk}/delete/"))
    console.post(f"{USERS}{viewer.pk}/delete/", {"post": "yes"})

    assert "Every session ends and every role is taken" in question
    assert not User.objects.filter(pk=viewer.pk).exists()
    assert AuditEvent.objects.filter(event="user.deleted", target_name="victor").exists()


def test_nobody_deletes_himself(console: Client, admin: User) -> None:
    page = console.post(f"{USERS}{admin.pk}/delete/", {"post": "yes"}, follow=True)

    assert "You cannot delete yourself." in text_of(page)
    assert User.objects.filter(pk=admin.pk).exists()


# --- Roles of a user -----------------------------------------------------------------------------


def test_a_role_is_given_and_taken_on_the_page_of_the_user(
    console: Client, stranger: User, workspace: Workspace
) -> None:
    role = Role.objects.get(name="Operator")
    form = {"role": str(role.pk), "workspace": str(workspace.pk)}

    assert "sam is Operator in production." in act(console, stranger, "bind", **form)
    binding = RoleBinding.objects.get(user=stranger)
    assert binding.workspace == workspace
    said = act(console, stranger, "unbind", binding=str(binding.pk))
    assert "sam is not Operator in production any more." in said
    assert not RoleBinding.objects.filter(user=stranger).exists()


def test_a_refused_role_says_why_and_keeps_the_choice(
    console: Client, viewer: User, workspace: Workspace
) -> None:
    role = Role.objects.get(name="Viewer")

    page = act(console, viewer, "bind", role=str(role.pk), workspace="")

    assert "victor is Viewer everywhere already." in page
    assert f'<option value="{role.pk}" selected>' in page


def test_another_users_binding_cannot_be_taken_from_this_page(
    console: Client, viewer: User, operator: User
) -> None:
    binding = RoleBinding.objects.get(user=operator)

    page = act(console, viewer, "unbind", binding=str(binding.pk))

    assert "has been taken already" in page
    assert RoleBinding.objects.filter(pk=binding.pk).exists()


@pytest.mark.parametrize("number", ["\u00b2", "9" * 30, "9" * 5000, "-1", "", "x"])
def test_a_binding_that_there_cannot_be_is_a_sentence(
    console: Client, viewer: User, number: str
) -> None:
    page = act(console, viewer, "unbind", binding=number)

    assert "has been taken already" in page
    assert RoleBinding.objects.filter(user=viewer).exists()


@pytest.mark.parametrize("key", ["\u00b2", "9" * 30, "9" * 5000, "x"])
def test_a_role_that_there_cannot_be_leads_back_to_the_start(console: Client, key: str) -> None:
    for url in (f"/admin/accounts/role/{key}/change/", f"/admin/accounts/role/{key}/delete/"):
        answer = console.get(url, follow=True)

        assert "Perhaps it was deleted?" in text_of(answer)

    assert text_of(console.get(USERS, {"role": key}))


def test_the_last_admin_keeps_his_role(console: Client, admin: User) -> None:
    binding = RoleBinding.objects.get(user=admin)

    page = act(console, admin, "unbind", binding=str(binding.pk))

    assert "This is the last active Admin" in page
    assert RoleBinding.objects.filter(pk=binding.pk).exists()


# --- Sessions and lockouts -----------------------------------------------------------------------


def test_the_sessions_are_the_live_ones_with_the_instant_of_the_login(
    console: Client, viewer: User, operator: User
) -> None:
    now = timezone.now()
    first = make_session(viewer, created_at=now - timedelta(days=3), spent_at=now)
    make_session(viewer, family=first.family, source="10.1.1.1")
    make_session(operator, revoked_at=now, source="10.2.2.2")

    live = text_of(console.get("/admin/accounts/refreshsession/"))
    ended = text_of(console.get("/admin/accounts/refreshsession/?state=ended"))

    assert "10.1.1.1" in live
    assert "3 d ago" in live
    assert "1 session" in live
    assert "10.2.2.2" not in live
    assert "10.2.2.2" in ended


def test_one_session_is_ended_with_all_its_tokens(console: Client, viewer: User, api: Any) -> None:
    client, other = api(viewer), make_session(viewer)
    session = RefreshSession.objects.exclude(pk=other.pk).get(user=viewer)

    console.post(f"/admin/accounts/refreshsession/{session.pk}/end/")

    assert client.get("/v1/auth/me").status_code == 401
    other.refresh_from_db()
    assert other.revoked_at is None
    event = AuditEvent.objects.get(event="session.revoked")
    assert (event.actor_name, event.target_name) == ("alice", "victor")


def test_ending_a_rotated_session_outdates_the_tokens_of_its_spent_rows(
    console: Client, viewer: User, api: Any
) -> None:
    client = api(viewer)
    first = RefreshSession.objects.get(user=viewer)
    RefreshSession.objects.filter(pk=first.pk).update(spent_at=timezone.now())
    last = make_session(viewer, family=first.family)

    console.post(f"{USERS}{viewer.pk}/end-session/", {"session": str(last.pk)})

    assert client.get("/v1/auth/me").status_code == 401


def test_an_ended_session_cannot_be_ended_again(console: Client, viewer: User) -> None:
    session = make_session(viewer, revoked_at=timezone.now())

    page = console.post(f"/admin/accounts/refreshsession/{session.pk}/end/", follow=True)

    assert "This session has ended already." in text_of(page)
    assert not AuditEvent.objects.filter(event="session.revoked").exists()


def test_all_sessions_of_a_user_are_ended_at_the_console_too(
    console: Client, viewer: User, api: Any
) -> None:
    client, at_console = api(viewer), client_of(viewer)

    assert "logged out everywhere" in act(console, viewer, "end-all")

    assert client.get("/v1/auth/me").status_code == 401
    assert at_console.get("/admin/").status_code == 302
    assert AuditEvent.objects.get(event="session.revoked").data == {"session": "all"}


def test_lockouts_show_who_is_locked_and_are_ended(
    console: Client, viewer: User, settings: Any
) -> None:
    for _ in range(settings.LOCKOUT_FAILURES):
        lockout.count_failure("Victor", Actor(name="anonymous", source="10.9.9.9"))
    lockout.count_failure("nobody", Actor(name="anonymous", source="10.8.8.8"))
    row = LoginThrottle.objects.get(username="victor", source="10.9.9.9")

    page = text_of(console.get("/admin/accounts/loginthrottle/"))
    everything = text_of(console.get("/admin/accounts/loginthrottle/?state=all"))
    said = console.post(f"/admin/accounts/loginthrottle/{row.pk}/unlock/", follow=True)

    assert "10.9.9.9" in page
    assert "10.8.8.8" not in page
    assert "nobody of this name" in everything
    assert "victor can log in again." in text_of(said)
    assert not LoginThrottle.objects.filter(username="victor").exists()
    assert AuditEvent.objects.get(event="user.unlocked").target_id == str(viewer.pk)


def test_the_name_of_nobody_can_be_unlocked(console: Client) -> None:
    until = timezone.now() + timedelta(minutes=5)
    row = LoginThrottle.objects.create(username="ghost", failures=5, locked_until=until)

    console.post(f"/admin/accounts/loginthrottle/{row.pk}/unlock/")

    event = AuditEvent.objects.get(event="user.unlocked")
    assert (event.target_name, event.target_id) == ("ghost", "")


# --- Roles and workspaces ------------------------------------------------------------------------


def test_a_role_is_made_of_sentences(console: Client) -> None:
    form = {"name": "Deployer", "description": "", "permissions": ["server_read", "server_create"]}

    page = text_of(console.get("/admin/accounts/role/add/"))
    console.post("/admin/accounts/role/add/", form)

    assert "Create servers" in page
    assert "Auto-install</legend>" in page
    assert Role.objects.get(name="Deployer").permissions == ["server_create", "server_read"]


def test_every_permission_is_in_the_matrix_once(console: Client) -> None:
    from accounts.roles import PERMISSIONS

    page = text_of(console.get("/admin/accounts/role/add/"))

    assert sorted(re.findall(r'name="permissions" value="(\w+)"', page)) == sorted(PERMISSIONS)


def test_a_built_in_role_can_be_read_with_who_holds_it(console: Client, operator: User) -> None:
    role = Role.objects.get(name="Operator")

    page = text_of(console.get(f"/admin/accounts/role/{role.pk}/change/"))

    assert "Not allowed: </span>Read the audit trail" in page
    assert "Allowed: </span>Create servers" in page
    assert ">oscar</a> everywhere" in page
    assert 'type="checkbox"' not in page
    assert "Save" not in page


def test_a_role_that_is_held_is_not_deleted_and_the_page_says_why(
    console: Client, viewer: User
) -> None:
    role = Role.objects.create(name="Own", permissions=["server_read"])
    RoleBinding.objects.create(user=viewer, role=role)

    page = console.post(f"/admin/accounts/role/{role.pk}/delete/", {"post": "yes"}, follow=True)

    assert "The role Own is still bound to users." in text_of(page)
    assert Role.objects.filter(pk=role.pk).exists()


def test_a_workspace_is_made_and_changed_with_its_policy(console: Client) -> None:
    form = {"name": "staging", "description": "", "concurrency_policy": "reject"}

    console.post("/admin/accounts/workspace/add/", form)
    workspace = Workspace.objects.get(name="staging")
    changed = {"description": "Before it goes out", "concurrency_policy": "supersede"}
    console.post(f"/admin/accounts/workspace/{workspace.pk}/change/", changed)

    workspace.refresh_from_db()
    assert workspace.concurrency_policy == "supersede"
    assert AuditEvent.objects.get(event="workspace.changed").data["changed"] == {
        "description": ["", "Before it goes out"],
        "concurrency_policy": ["reject", "supersede"],
    }


def test_a_workspace_in_use_is_not_deleted_and_the_page_says_why(
    console: Client, workspace: Workspace
) -> None:
    make_server(workspace)

    url = f"/admin/accounts/workspace/{workspace.pk}/delete/"
    page = console.post(url, {"post": "yes"}, follow=True)

    assert "The workspace production is in use" in text_of(page)
    assert Workspace.objects.filter(pk=workspace.pk).exists()


def test_a_workspace_links_to_what_lives_in_it_as_far_as_one_may_see_it(
    console: Client, workspace: Workspace
) -> None:
    other = make_workspace("other")
    make_server(workspace, "mine-1")
    make_server(other, "theirs-1")
    role = Role.objects.create(name="Own", permissions=["workspace_read", "server_read"])
    guest = make_user("guest")
    RoleBinding.objects.create(user=guest, role=role, workspace=workspace)

    page = text_of(client_of(guest).get(f"/admin/accounts/workspace/{workspace.pk}/change/"))
    (url,) = re.findall(r'href="(/admin/operations/server/[^"]+)"', page)
    servers = text_of(console.get(url.replace("&amp;", "&")))

    assert "mine-1" in servers
    assert "theirs-1" not in servers
    assert "/admin/operations/operation/?" not in page


# --- The cost of lists ---------------------------------------------------------------------------


def fill(page: str, first: int, count: int) -> None:
    """That many more rows of the kind that the page shows, each with what hangs on it."""
    role = Role.objects.get(name="Viewer")
    until = timezone.now() + timedelta(minutes=5)
    for number in range(first, first + count):
        user = make_user(f"many{number}")
        RoleBinding.objects.create(user=user, role=role, workspace=make_workspace(f"w{number}"))
        make_session(user)
        LoginThrottle.objects.create(username=user.username, failures=5, locked_until=until)
        Role.objects.create(name=f"Role{number}", permissions=["server_read"])
        AuditEvent.objects.create(event="user.created", actor_name="x", target_name=user.username)


def queries_of(client: Client, page: str) -> int:
    client.get(page)  # the first request of a session notes when it began
    with CaptureQueriesContext(connection) as asked:
        assert client.get(page).status_code == 200
    return len(asked)


@pytest.mark.parametrize(
    "page",
    ["user", "role", "rolebinding", "refreshsession", "loginthrottle", "workspace", "auditevent"],
)
def test_a_list_asks_as_often_for_one_row_as_for_200(console: Client, page: str) -> None:
    url = f"/admin/accounts/{page}/"
    fill(page, 0, 1)
    few = queries_of(console, url)
    fill(page, 1, 199)

    assert queries_of(console, url) == few
    assert few <= 12


def test_the_page_of_a_user_asks_as_often_for_many_roles_and_sessions(
    console: Client, viewer: User
) -> None:
    url = f"{USERS}{viewer.pk}/change/"
    bind(viewer, "Developer", make_workspace())
    make_session(viewer)
    few = queries_of(console, url)
    for number in range(15):
        bind(viewer, "Operator", make_workspace(f"w{number}"))
        make_session(viewer)

    assert queries_of(console, url) == few
