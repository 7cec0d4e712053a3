"""`POST /v1/operations/{id}/rerun`: once more, on purpose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.actor import Actor
from accounts.models import Role, RoleBinding, User, Workspace
from operations.commands import Kind
from operations.models import Operation
from operations.services.workflows import submit_workflow
from tests.answers import assert_error, last_event, nothing_changes
from tests.factories import make_operation, make_user

Api = Callable[[User | None], APIClient]


@pytest.fixture
def client(operator: User, workspace: Workspace, api: Api) -> APIClient:
    return api(operator)


def ended(workspace: Workspace, **fields: Any) -> Operation:
    operation = make_operation(workspace, **fields)
    Operation.objects.update(status="failed", reason="exit", finished_at=timezone.now())
    return operation


def rerun(client: APIClient, operation: Operation, **headers: Any) -> Any:
    return client.post(f"/v1/operations/{operation.pk}/rerun", **headers)


def test_an_operation_runs_again_with_its_recorded_parameters(
    client: APIClient, workspace: Workspace, operator: User
) -> None:
    params = {"name": "dns", "settings": {"password": "never-to-be-seen"}}
    old = ended(
        workspace, kind=Kind.TASKSERV_CREATE, params=params, check_mode=True, timeout_seconds=77
    )

    answer = rerun(client, old)

    assert answer.status_code == 202
    shown = answer.json()
    assert (shown["rerun_of"], shown["status"]) == (str(old.pk), "pending")
    assert shown["parameters"] == {"name": "dns", "settings": {"password": "********"}}
    new = Operation.objects.get(pk=shown["id"])
    assert (new.params, new.check_mode, new.timeout_seconds) == (params, True, 77)
    assert (new.requested_by, new.rerun_of) == (operator, old)
    last_event(event="operation.submitted", actor=operator, target_id=shown["id"])
    assert Operation.objects.get(pk=old.pk).status == "failed"


def workflow(workspace: Workspace) -> Operation:
    params = {"name": "dns", "settings": {"password": "never-to-be-seen"}}
    step = {"id": "a", "kind": "cluster_create", "params": params}
    body = {"name": "w", "steps": [step]}
    made = submit_workflow(actor=Actor(name="t"), workspace=workspace, body=body)
    Operation.objects.update(status="completed", finished_at=timezone.now())
    return made


def test_a_workflow_runs_again_as_a_whole(client: APIClient, workspace: Workspace) -> None:
    old = workflow(workspace)

    answer = rerun(client, old)

    new = Operation.objects.get(pk=answer.json()["id"])
    assert (new.kind, new.rerun_of, new.steps.count()) == ("workflow", old, 1)
    assert new.params == old.params
    assert "never-to-be-seen" not in answer.content.decode()


def test_what_has_not_ended_does_not_run_again(client: APIClient, workspace: Workspace) -> None:
    operation = make_operation(workspace)

    with nothing_changes():
        answer = rerun(client, operation)

    assert "has not ended" in assert_error(answer, 409)["message"]


def test_what_a_deleted_workspace_held_does_not_run_again(
    client: APIClient, workspace: Workspace
) -> None:
    old = ended(workspace)
    workspace.delete()

    assert rerun(client, old).status_code in (404, 409)
    assert Operation.objects.count() == 1


def test_a_rerun_with_a_key_launches_once(client: APIClient, workspace: Workspace) -> None:
    old = ended(workspace)

    answers = [rerun(client, old, HTTP_IDEMPOTENCY_KEY="again") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [202, 200]
    assert old.reruns.count() == 1


@pytest.mark.parametrize(
    ("make", "missing"), [(ended, "server_create"), (workflow, "workflow_submit")]
)
def test_it_needs_the_permission_of_what_it_does(
    make: Callable[[Workspace], Operation], missing: str, workspace: Workspace, api: Api
) -> None:
    person = make_user("rita")
    permissions = ["operation_read", "operation_rerun", "workspace_read"]
    role = Role.objects.create(name="Rerunner", permissions=permissions)
    RoleBinding.objects.create(user=person, role=role)
    client, old = api(person), make(workspace)

    assert missing in assert_error(rerun(client, old), 403)["message"]
    assert old.reruns.count() == 0
