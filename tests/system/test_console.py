"""The browser console: who sees what, and that every act goes through its service."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.test import Client

from accounts.models import AuditEvent, Role, RoleBinding, User, Workspace
from tests.factories import PASSWORD, bind, make_operation, make_server, make_user, make_workspace

PAGES = [
    f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
    for model, page in admin.site._registry.items()
    if hasattr(page, "permissions")
]
FOR_READERS = {
    "/admin/accounts/workspace/",
    "/admin/operations/operation/",
    "/admin/operations/server/",
    "/admin/operations/taskserv/",
    "/admin/operations/cluster/",
    "/admin/operations/workspacelock/",
    "/admin/autoinstall/answertoken/",
    "/admin/autoinstall/preparedconfig/",
    "/admin/autoinstall/attempt/",
    "/admin/autoinstall/installation/",
}


def logged_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.parametrize("page", PAGES)
def test_the_admin_opens_every_page(admin: User, workspace: Workspace, page: str) -> None:
    make_server(workspace)
    make_operation(workspace)

    assert logged_in(admin).get(page).status_code == 200


@pytest.mark.parametrize("page", PAGES)
def test_a_viewer_opens_what_viewers_may_read_and_nothing_else(viewer: User, page: str) -> None:
    expected = 200 if page in FOR_READERS else 403

    assert logged_in(viewer).get(page).status_code == expected
    assert AuditEvent.objects.filter(event="access.denied").count() == (expected == 403)


@pytest.mark.parametrize("page", [page for page in PAGES if page not in FOR_READERS])
def test_the_home_of_a_viewer_shows_no_link_that_he_may_not_open(viewer: User, page: str) -> None:
    home = logged_in(viewer).get("/admin/").content.decode()

    assert page not in home
    assert "/admin/operations/operation/" in home


def test_a_stranger_is_not_let_in(stranger: User) -> None:
    response = logged_in(stranger).get("/admin/")

    assert response.status_code == 302
    assert response["Location"].startswith("/admin/login/")


def test_the_login_page_knows_the_product_and_refuses_a_wrong_password(admin: User) -> None:
    client = Client()

    page = client.get("/admin/login/").content.decode()
    response = client.post("/admin/login/", {"username": "alice", "password": "wrong"})

    assert "Provisioning Server" in page
    assert "The user name or the password is wrong." in response.content.decode()
    assert AuditEvent.objects.filter(event="login.failed", target_name="alice").count() == 1


def test_the_login_page_lets_the_right_password_in(admin: User) -> None:
    response = Client().post("/admin/login/", {"username": "alice", "password": PASSWORD})

    assert response.status_code == 302


def test_a_console_session_ends_with_the_tokens(admin: User) -> None:
    client = logged_in(admin)
    User.objects.filter(pk=admin.pk).update(token_version=admin.token_version + 1)

    assert client.get("/admin/").status_code == 302


def test_making_a_user_goes_through_the_service(admin: User) -> None:
    form = {"username": "newby", "password": "a-long-password", "email": "", "full_name": "N"}

    logged_in(admin).post("/admin/accounts/user/add/", form | {"is_active": "on"})

    user = User.objects.get(username="newby")
    assert user.check_password("a-long-password")
    assert AuditEvent.objects.get(event="user.created").actor == admin


def test_a_refusal_of_the_service_is_a_message_and_changes_nothing(admin: User) -> None:
    client = logged_in(admin)

    response = client.post(f"/admin/accounts/user/{admin.pk}/deactivate/", follow=True)

    assert "This is the last active Admin" in response.content.decode()
    assert User.objects.get(pk=admin.pk).is_active


def test_changing_a_user_is_audited_with_what_changed(admin: User, viewer: User) -> None:
    form = {"email": "v@example.com", "full_name": "", "is_active": "on", "password": ""}

    logged_in(admin).post(f"/admin/accounts/user/{viewer.pk}/change/", form)

    event = AuditEvent.objects.get(event="user.changed")
    assert event.data == {"changed": {"email": ["", "v@example.com"]}}


def test_nobody_can_change_a_built_in_role(admin: User) -> None:
    role = Role.objects.get(name="Viewer")

    response = logged_in(admin).post(
        f"/admin/accounts/role/{role.pk}/change/",
        {"name": "Viewer", "permissions": ["user_manage"]},
    )

    assert response.status_code == 403
    assert "user_manage" not in Role.objects.get(name="Viewer").permissions


def test_giving_more_than_one_holds_is_refused_and_audited(viewer: User) -> None:
    manager = make_user("manager")
    role = Role.objects.create(name="People", permissions=["user_manage"])
    RoleBinding.objects.create(user=manager, role=role)
    form = {"user": viewer.pk, "role": Role.objects.get(name="Admin").pk, "workspace": ""}

    response = logged_in(manager).post("/admin/accounts/rolebinding/add/", form, follow=True)

    assert "You cannot give what you do not hold" in response.content.decode()
    assert not RoleBinding.objects.filter(user=viewer, role__name="Admin").exists()
    assert AuditEvent.objects.filter(event="access.denied", actor=manager).exists()


def test_the_console_shows_only_the_workspaces_of_the_person(
    viewer: User, workspace: Workspace
) -> None:
    other = make_workspace("other")
    make_server(workspace, "mine-1")
    make_server(other, "theirs-1")
    guest = make_user("guest")
    bind(guest, "Viewer", workspace)

    page = logged_in(guest).get("/admin/operations/server/").content.decode()

    assert "mine-1" in page
    assert "theirs-1" not in page


@pytest.mark.parametrize(("who", "status"), [("operator", "cancelled"), ("viewer", "pending")])
def test_only_who_may_cancel_can_cancel(
    request: pytest.FixtureRequest, workspace: Workspace, who: str, status: str
) -> None:
    operation = make_operation(workspace)
    form = {"action": "cancel", "_selected_action": [str(operation.pk)]}

    logged_in(request.getfixturevalue(who)).post("/admin/operations/operation/", form)

    operation.refresh_from_db()
    assert operation.status == status


def test_the_audit_trail_can_be_read_but_not_changed(admin: User) -> None:
    event = AuditEvent.objects.create(event="login.failed", actor_name="x")
    client = logged_in(admin)

    assert client.get(f"/admin/accounts/auditevent/{event.pk}/change/").status_code == 200
    assert client.post(f"/admin/accounts/auditevent/{event.pk}/change/", {}).status_code == 403
    assert client.post(f"/admin/accounts/auditevent/{event.pk}/delete/").status_code == 403
    assert client.get("/admin/accounts/auditevent/add/").status_code == 403


def test_the_log_of_an_operation_cannot_inject_html(admin: User, workspace: Workspace) -> None:
    operation = make_operation(workspace)
    operation.log.create(stream="stdout", offset=0, stream_offset=0, data=b"<script>evil</script>")

    page: Any = logged_in(admin).get(f"/admin/operations/operation/{operation.pk}/change/")

    assert "<script>evil" not in page.content.decode()
    assert "&lt;script&gt;evil" in page.content.decode()


def change_password(client: Client, old: str, new: str) -> Any:
    form = {"old_password": old, "new_password1": new, "new_password2": new}
    return client.post("/admin/password_change/", form)


def test_changing_ones_password_ends_the_other_sessions_but_not_this_one(
    viewer: User, api: Any
) -> None:
    here, elsewhere, token = logged_in(viewer), logged_in(viewer), api(viewer)

    response = change_password(here, PASSWORD, "a-brand-new-password")

    assert response.status_code == 302
    assert User.objects.get(pk=viewer.pk).check_password("a-brand-new-password")
    assert AuditEvent.objects.filter(event="password.changed", actor=viewer).count() == 1
    assert here.get("/admin/").status_code == 200
    assert elsewhere.get("/admin/").status_code == 302
    assert token.get("/v1/auth/me").status_code == 401


def test_a_wrong_present_password_is_counted_and_changes_nothing(viewer: User) -> None:
    response = change_password(logged_in(viewer), "wrong", "a-brand-new-password")

    assert "is not your present password" in response.content.decode()
    assert User.objects.get(pk=viewer.pk).check_password(PASSWORD)
    assert AuditEvent.objects.filter(event="login.failed", target_name="victor").count() == 1
