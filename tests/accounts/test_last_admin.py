"""The last active user who is Admin everywhere cannot be removed, in no way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.models import AuditEvent, RoleBinding, User, Workspace
from tests.answers import assert_error, nothing_changes
from tests.concurrently import at_once
from tests.factories import bind, make_user

Api = Callable[[User | None], APIClient]


def active_admins() -> int:
    return RoleBinding.objects.filter(
        role__name="Admin", workspace=None, user__is_active=True
    ).count()


def deactivate(client: APIClient, user: User) -> Any:
    return client.patch(f"/v1/users/{user.pk}", {"is_active": False}, format="json")


def delete(client: APIClient, user: User) -> Any:
    return client.delete(f"/v1/users/{user.pk}")


def unbind(client: APIClient, user: User) -> Any:
    return client.delete(f"/v1/role-bindings/{user.bindings.get().pk}")


@pytest.mark.parametrize("remove", [deactivate, unbind])
def test_the_last_admin_cannot_remove_himself(
    remove: Callable[[APIClient, User], Any], admin: User, api: Api
) -> None:
    client = api(admin)

    with nothing_changes():
        assert_error(remove(client, admin), 409)


@pytest.mark.parametrize("remove", [deactivate, unbind, delete])
def test_an_admin_who_is_not_the_last_can_be_removed(
    remove: Callable[[APIClient, User], Any], admin: User, api: Api
) -> None:
    second = make_user("second")
    bind(second, "Admin")

    assert remove(api(admin), second).status_code in (200, 204)
    assert active_admins() == 1


def test_inactive_admins_and_admins_of_a_workspace_do_not_count(
    admin: User, workspace: Workspace, api: Api
) -> None:
    bind(make_user("asleep", is_active=False), "Admin")
    bind(make_user("local"), "Admin", workspace)

    client = api(admin)

    with nothing_changes():
        assert_error(deactivate(client, admin), 409)


def test_whoever_is_no_admin_can_be_removed_while_there_is_one(
    admin: User, viewer: User, api: Api
) -> None:
    assert deactivate(api(admin), viewer).status_code == 200


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
@pytest.mark.parametrize("remove", [deactivate, unbind, delete])
def test_two_admins_who_remove_each_other_at_once_leave_one(
    remove: Callable[[APIClient, User], Any], api: Api
) -> None:
    first, second = make_user("first"), make_user("second")
    bind(first, "Admin")
    bind(second, "Admin")
    clients = [api(first), api(second)]

    answers = at_once(
        [lambda: remove(clients[0], second), lambda: remove(clients[1], first)],
    )

    assert active_admins() == 1
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses[0] in (200, 204)
    assert statuses[1] in (401, 403, 404, 409), answers
    changes = AuditEvent.objects.filter(outcome="success", event__startswith="user.")
    unbound = AuditEvent.objects.filter(event="role-binding.deleted")
    assert changes.count() + unbound.count() == 1
