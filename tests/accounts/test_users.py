"""`/v1/users`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts import authentication
from accounts.models import AuditEvent, RefreshSession, User
from tests.answers import assert_error, last_event, nothing_changes, one_event
from tests.factories import PASSWORD, bind, make_user

Api = Callable[[User | None], APIClient]
KEYS = {"id", "username", "email", "full_name", "is_active", "created_at", "last_login"}


@pytest.fixture
def client(admin: User, api: Api) -> APIClient:
    return api(admin)


def create(client: APIClient, **body: Any) -> Any:
    return client.post(
        "/v1/users", {"username": "newcomer", "password": PASSWORD} | body, format="json"
    )


def change(client: APIClient, user: User, **body: Any) -> Any:
    return client.patch(f"/v1/users/{user.pk}", body, format="json")


def test_a_user_is_created_without_any_role(client: APIClient, admin: User) -> None:
    with one_event(event="user.created", actor=admin, target_name="newcomer"):
        answer = create(client, email="n@example.com", full_name="New Comer")

    assert answer.status_code == 201
    assert set(answer.json()) == KEYS
    user = User.objects.get(username="newcomer")
    assert (user.email, user.full_name, user.is_active) == ("n@example.com", "New Comer", True)
    assert user.check_password(PASSWORD)
    assert not user.bindings.exists()


def test_no_answer_holds_a_password_hash(client: APIClient, viewer: User) -> None:
    texts = [
        client.get(path).content.decode()
        for path in ("/v1/users", f"/v1/users/{viewer.pk}", "/v1/audit")
    ]

    assert "argon2" not in "".join(texts)


def test_a_user_is_read_by_his_number(client: APIClient, viewer: User) -> None:
    answer = client.get(f"/v1/users/{viewer.pk}")

    assert (answer.status_code, answer.json()["username"]) == (200, "victor")


@pytest.mark.parametrize("name", ["victor", "VICTOR"])
def test_a_name_that_is_taken_is_409_whatever_its_case(
    name: str, client: APIClient, viewer: User
) -> None:
    with nothing_changes():
        assert_error(create(client, username=name), 409)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("username", "-begins-with-a-dash"),
        ("username", "has space"),
        ("username", "line\nbreak"),
        ("username", "m\u00fcller"),
        ("username", "../etc"),
        ("username", "a" * 151),
        ("username", 5),
        ("password", "short"),
        ("password", "password123"),
        ("password", None),
        ("email", "no address"),
        ("email", "a" * 250 + "@example.com"),
        ("full_name", "x" * 151),
        ("full_name", {"a": 1}),
        ("is_active", False),
        ("is_superuser", True),
    ],
)
def test_a_value_that_breaks_a_rule_is_400(field: str, value: object, client: APIClient) -> None:
    with nothing_changes():
        answer = create(client, **{field: value})

    assert_error(answer, 400, field=field)


def test_a_change_is_stored_and_its_old_and_new_values_recorded(
    client: APIClient, admin: User, viewer: User
) -> None:
    with one_event(
        event="user.changed",
        actor=admin,
        target_id=str(viewer.pk),
        data={"changed": {"full_name": ["", "Victor V."]}},
    ):
        answer = change(client, viewer, full_name="Victor V.")

    assert (answer.status_code, answer.json()["full_name"]) == (200, "Victor V.")
    viewer.refresh_from_db()
    assert viewer.full_name == "Victor V."


@pytest.mark.parametrize("body", [{}, {"full_name": "", "is_active": True}])
def test_a_change_that_changes_nothing_leaves_no_trace(
    body: dict[str, Any], client: APIClient, viewer: User
) -> None:
    with nothing_changes():
        assert change(client, viewer, **body).status_code == 200


@pytest.mark.parametrize("field", ["username", "password", "id", "token_version"])
def test_what_cannot_be_changed_here_is_refused_by_name(
    field: str, client: APIClient, viewer: User
) -> None:
    with nothing_changes():
        assert_error(change(client, viewer, **{field: "x"}), 400, field=field)


def test_deactivating_ends_every_session(
    client: APIClient, viewer: User, api: Api, django_capture_on_commit_callbacks: Any
) -> None:
    his = api(viewer)
    assert his.get("/v1/servers").status_code == 200

    with django_capture_on_commit_callbacks(execute=True):
        change(client, viewer, is_active=False)

    assert_error(his.get("/v1/servers"), 401)
    assert not RefreshSession.objects.filter(user=viewer, revoked_at=None).exists()


def test_a_person_who_is_activated_again_does_not_get_his_old_sessions_back(
    client: APIClient, viewer: User, api: Api
) -> None:
    his = api(viewer)
    change(client, viewer, is_active=False)

    change(client, viewer, is_active=True)
    authentication.forget_cached_people()

    assert_error(his.get("/v1/servers"), 401)


def test_an_admin_gives_a_new_password_and_every_session_ends(
    client: APIClient, admin: User, viewer: User, api: Api
) -> None:
    his = api(viewer)

    with one_event(event="password.changed", actor=admin, target_id=str(viewer.pk)):
        answer = client.post(
            f"/v1/users/{viewer.pk}/password", {"password": "given-by-an-admin"}, format="json"
        )

    assert answer.status_code == 204
    viewer.refresh_from_db()
    assert viewer.check_password("given-by-an-admin")
    authentication.forget_cached_people()
    assert_error(his.get("/v1/servers"), 401)
    assert "given-by-an-admin" not in str(list(AuditEvent.objects.values()))


def test_an_admin_gives_no_weak_password(client: APIClient, viewer: User) -> None:
    with nothing_changes():
        answer = client.post(
            f"/v1/users/{viewer.pk}/password", {"password": "short"}, format="json"
        )

    assert_error(answer, 400, field="password")


def test_a_deleted_user_is_gone_and_his_story_stays(
    client: APIClient, admin: User, viewer: User, api: Api
) -> None:
    api(viewer).get("/v1/audit")  # refused, and recorded

    with one_event(event="user.deleted", actor=admin, target_name="victor"):
        answer = client.delete(f"/v1/users/{viewer.pk}")

    assert (answer.status_code, answer.content) == (204, b"")
    assert not User.objects.filter(username="victor").exists()
    refused = AuditEvent.objects.get(event="access.denied")
    assert (refused.actor, refused.actor_name) == (None, "victor")


def test_nobody_deletes_himself(client: APIClient, admin: User) -> None:
    bind(make_user("another"), "Admin")  # so that the last Admin is not the reason

    with nothing_changes():
        assert_error(client.delete(f"/v1/users/{admin.pk}"), 409)


@pytest.mark.parametrize("path", ["", "/password", "/unlock"])
def test_an_unknown_user_is_404(path: str, client: APIClient) -> None:
    method = "POST" if path else "PATCH"
    with nothing_changes():
        answer = client.generic(
            method, f"/v1/users/999999{path}", '{"password": "x"}', "application/json"
        )

    assert answer.status_code == 404 or (method == "PATCH" and answer.status_code == 400)


def test_the_list_is_in_the_order_of_creation(client: APIClient, admin: User) -> None:
    for name in ("zoe", "bob"):
        make_user(name)

    names = [user["username"] for user in client.get("/v1/users").json()]

    assert names == ["alice", "zoe", "bob"]


def test_a_deactivated_admin_is_no_admin(client: APIClient, admin: User) -> None:
    User.objects.filter(pk=admin.pk).update(is_active=False)
    authentication.forget_cached_people()

    assert_error(client.get("/v1/users"), 401)
    last_event(event="authentication.failed")


@pytest.mark.parametrize("name", ["system", "System", "anonymous", "command-line"])
def test_nobody_is_called_like_the_server_itself(client: APIClient, name: str) -> None:
    with nothing_changes():
        answer = create(client, username=name)

    assert_error(answer, 400)
    assert "is reserved for the server itself" in answer.json()["message"]
