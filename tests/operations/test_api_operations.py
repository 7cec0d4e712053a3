"""`/v1/operations` and `/v1/workflows`: reading, filtering, cancelling, logs."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.actor import Actor
from accounts.models import AuditEvent, Role, User, Workspace
from operations.commands import Kind
from operations.models import Operation, OperationLog
from operations.serializers import OperationOut
from provisioning.formats import JSONRenderer
from tests.answers import assert_error, last_event, nothing_changes, one_event
from tests.factories import bind, make_operation, make_workspace

Api = Callable[[User | None], APIClient]
TASKSERV = Kind.TASKSERV_CREATE
STEP = {"id": "a", "kind": "server_create", "params": {"provider": "local", "plan": "small"}}


@pytest.fixture
def client(operator: User, workspace: Workspace, api: Api) -> APIClient:
    return api(operator)


def ended(operation: Operation, status: str = "completed", **fields: Any) -> Operation:
    Operation.objects.filter(pk=operation.pk).update(
        status=status, finished_at=timezone.now(), **fields
    )
    operation.refresh_from_db()
    return operation


# --- Reading -----------------------------------------------------------------------------------


def test_an_id_may_be_written_in_capitals(client: APIClient, workspace: Workspace) -> None:
    operation = make_operation(workspace)

    answer = client.get(f"/v1/operations/{str(operation.pk).upper()}")

    assert answer.json()["id"] == str(operation.pk)


def test_a_row_is_shown_like_the_instance(client: APIClient, workspace: Workspace) -> None:
    first = ended(make_operation(workspace))
    operation = ended(
        make_operation(
            workspace, params={"name": "dns", "settings": {"key": "hush"}}, kind=TASKSERV
        ),
        "failed",
        result={"text": "größer \U0001f600", "list": [1, 2.5, None, True, {}]},
        error="no 'such' host",
        reason="exit",
        exit_code=3,
        rerun_of=first,
        created_at=datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC),
        started_at=datetime(2026, 1, 31, 12, 0, 0, 100, tzinfo=UTC),
    )

    answers = [
        client.get(f"/v1/operations/{operation.pk}").json(),
        client.get("/v1/operations").json()[0],
    ]

    expected = json.loads(JSONRenderer().render(OperationOut(operation).data))
    assert answers == [expected, expected]
    assert expected["parameters"]["settings"] == {"key": "********"}
    assert expected["created_at"] == "2026-01-31T12:00:00Z"


def test_an_operation_without_a_workspace_is_shown_to_who_sees_all(
    admin: User, stranger: User, workspace: Workspace, api: Api
) -> None:
    bind(stranger, "Operator", workspace)
    operation = ended(make_operation(workspace), workspace=None)
    path = f"/v1/operations/{operation.pk}"

    assert api(admin).get(path).json()["workspace"] == workspace.name
    assert_error(api(stranger).get(path), 404)


def test_operations_of_another_workspace_are_404(
    stranger: User, workspace: Workspace, api: Api
) -> None:
    bind(stranger, "Operator", workspace)
    other = make_operation(make_workspace("secret"))
    client = api(stranger)
    path = f"/v1/operations/{other.pk}"

    with nothing_changes():
        answers = [client.get(path), client.get(f"{path}/log"), client.post(f"{path}/cancel")]

    for answer in answers:
        assert_error(answer, 404)
    assert client.get("/v1/operations").json() == []


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["c", "b", "a"]),
        ("status=pending", ["c", "b"]),
        ("status=completed", ["a"]),
        ("kind=cluster_delete", ["c"]),
        ("requested_by=ann", ["b"]),
        ("workspace=staging", ["b"]),
        ("workspace=staging&status=completed", []),
    ],
)
def test_the_list_is_narrowed_by_its_filters(
    query: str, names: list[str], client: APIClient, workspace: Workspace
) -> None:
    ended(make_operation(workspace, params={"hostname": "a", "provider": "p", "plan": "q"}))
    make_operation(
        make_workspace("staging"),
        actor=Actor(name="ann"),
        params={"hostname": "b", "provider": "p", "plan": "q"},
    )
    make_operation(workspace, kind="cluster_delete", params={"name": "c"})
    subjects = {str(row.pk): row.subject for row in Operation.objects.all()}

    rows = client.get(f"/v1/operations?{query}").json()

    assert [subjects[row["id"]] for row in rows] == names


def test_the_list_is_narrowed_by_time(client: APIClient, workspace: Workspace) -> None:
    now = timezone.now()
    for hours in (3, 2, 1):
        row = make_operation(workspace)
        Operation.objects.filter(pk=row.pk).update(created_at=now - timedelta(hours=hours))
    since, until = (
        (now - timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")
        for minutes in (150, 90)
    )

    rows = client.get(f"/v1/operations?since={since}&until={until}").json()

    assert len(rows) == 1


# --- Cancelling --------------------------------------------------------------------------------


def test_a_waiting_operation_is_cancelled_at_once(
    client: APIClient, operator: User, workspace: Workspace
) -> None:
    operation = make_operation(workspace)

    answer = client.post(f"/v1/operations/{operation.pk}/cancel")

    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    operation.refresh_from_db()
    assert (operation.status, operation.reason) == ("cancelled", "cancelled_by_user")
    assert operation.started_at is None
    last_event(event="operation.cancelled", actor=operator, target_id=str(operation.pk))


def test_a_running_operation_is_asked_to_end(
    client: APIClient, operator: User, workspace: Workspace
) -> None:
    operation = make_operation(workspace)
    Operation.objects.filter(pk=operation.pk).update(status="running")

    with one_event(event="operation.cancel-requested", actor=operator):
        answer = client.post(f"/v1/operations/{operation.pk}/cancel")

    assert (answer.status_code, answer.json()["status"]) == (202, "running")
    assert answer.json()["cancel_requested_at"] is not None
    operation.refresh_from_db()
    assert operation.cancel_requested_at is not None


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_an_operation_that_has_ended_is_409(
    status: str, client: APIClient, workspace: Workspace
) -> None:
    operation = ended(make_operation(workspace), status)

    with nothing_changes():
        answer = client.post(f"/v1/operations/{operation.pk}/cancel")

    assert status in assert_error(answer, 409)["message"]


def test_who_only_sees_an_operation_cannot_cancel_it(
    stranger: User, workspace: Workspace, api: Api
) -> None:
    bind(stranger, "Viewer", workspace)
    bind(stranger, "Operator", make_workspace("mine"))
    operation = make_operation(workspace)
    client = api(stranger)

    with nothing_changes(AuditEvent), one_event(event="access.denied", actor=stranger):
        assert_error(client.post(f"/v1/operations/{operation.pk}/cancel"), 403)


# --- Logs --------------------------------------------------------------------------------------


@pytest.fixture
def logged(workspace: Workspace) -> Operation:
    """`out 1 é\\n` on stdout, `err 1\\n` on stderr, `out 2\\n` on stdout."""
    operation = make_operation(workspace)
    offset = 0
    positions = {"stdout": 0, "stderr": 0}
    for stream, text in (("stdout", "out 1 é\n"), ("stderr", "err 1\n"), ("stdout", "out 2\n")):
        data = text.encode()
        OperationLog.objects.create(
            operation=operation,
            stream=stream,
            offset=offset,
            stream_offset=positions[stream],
            data=data,
        )
        offset += len(data)
        positions[stream] += len(data)
    return operation


@pytest.mark.parametrize(
    ("query", "expected", "following"),
    [
        ("", "out 1 é\nerr 1\nout 2\n", 21),
        ("offset=9", "err 1\nout 2\n", 21),
        ("offset=9&limit=6", "err 1\n", 15),
        ("offset=21", "", 21),
        ("offset=5000", "", 5000),
        ("stream=stdout", "out 1 é\nout 2\n", 15),
        ("stream=stderr", "err 1\n", 6),
        ("stream=stdout&offset=9", "out 2\n", 15),
        ("tail=1", "out 2\n", 21),
        ("tail=2", "err 1\nout 2\n", 21),
        ("tail=100", "out 1 é\nerr 1\nout 2\n", 21),
        ("tail=1&stream=stderr", "err 1\n", 6),
    ],
)
def test_a_log_is_read_by_bytes_or_by_lines(
    query: str, expected: str, following: int, client: APIClient, logged: Operation
) -> None:
    answer = client.get(f"/v1/operations/{logged.pk}/log?{query}")

    assert answer.status_code == 200
    assert answer.content.decode() == expected
    assert answer.headers["X-Next-Offset"] == str(following)
    assert answer.headers["X-Log-Complete"] == "false"


def test_a_log_is_complete_when_the_operation_has_ended_and_all_is_read(
    client: APIClient, logged: Operation
) -> None:
    ended(logged)

    part = client.get(f"/v1/operations/{logged.pk}/log?limit=9")
    rest = client.get(f"/v1/operations/{logged.pk}/log?offset={part.headers['X-Next-Offset']}")

    assert part.headers["X-Log-Complete"] == "false"
    assert rest.headers["X-Log-Complete"] == "true"


def test_a_log_is_text_that_a_browser_neither_runs_nor_guesses(
    client: APIClient, workspace: Workspace
) -> None:
    operation = make_operation(workspace)
    OperationLog.objects.create(
        operation=operation,
        stream="stdout",
        offset=0,
        stream_offset=0,
        data=b"<script>alert(1)</script>\xff\x00",
    )

    answer = client.get(f"/v1/operations/{operation.pk}/log")

    assert answer.content == b"<script>alert(1)</script>\xff\x00"
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


# --- Workflows ---------------------------------------------------------------------------------


def submit(client: APIClient, steps: list[dict[str, Any]], **body: Any) -> Any:
    document = {"workspace": "production", "name": "web", "steps": steps} | body
    return client.post("/v1/workflows/submit", document, format="json")


def test_a_submitted_workflow_is_an_operation_with_one_operation_for_each_step(
    client: APIClient, operator: User
) -> None:
    answer = submit(client, [STEP, STEP | {"id": "b", "depends_on": ["a"]}])

    assert answer.status_code == 202
    workflow = answer.json()
    assert (workflow["kind"], workflow["status"]) == ("workflow", "pending")
    assert answer.headers["Location"] == f"/v1/operations/{workflow['id']}"
    steps = Operation.objects.filter(workflow=workflow["id"]).order_by("step_id")
    assert [(step.step_id, step.is_ready) for step in steps] == [("a", True), ("b", False)]
    events = AuditEvent.objects.filter(event="operation.submitted", actor=operator)
    assert events.count() == 3


def test_a_workflow_is_read_with_its_steps_and_its_progress(client: APIClient) -> None:
    workflow = submit(client, [STEP, STEP | {"id": "b", "depends_on": ["a"]}]).json()["id"]
    ended(Operation.objects.get(workflow=workflow, step_id="a"))

    body = client.get(f"/v1/workflows/{workflow}").json()
    status = client.get(f"/v1/workflows/{workflow}/status").json()

    assert (body["id"], body["name"]) == (workflow, "web")
    assert [(step["step"], step["status"]) for step in body["steps"]] == [
        ("a", "completed"),
        ("b", "pending"),
    ]
    assert status["progress"] == {
        "total": 2,
        "pending": 1,
        "running": 0,
        "completed": 1,
        "failed": 0,
        "cancelled": 0,
        "percent": 50,
    }


def test_operations_and_dependencies_are_accepted_for_steps_and_depends_on(
    client: APIClient,
) -> None:
    body = {
        "workspace": "production",
        "name": "web",
        "operations": [STEP, STEP | {"id": "b", "dependencies": ["a"]}],
    }

    answer = client.post("/v1/workflows/submit", body, format="json")

    assert answer.status_code == 202
    assert Operation.objects.get(step_id="b").is_ready is False


def test_the_operations_of_a_workflow_can_be_listed(
    client: APIClient, workspace: Workspace
) -> None:
    make_operation(workspace)
    workflow = submit(client, [STEP]).json()["id"]

    rows = client.get(f"/v1/operations?workflow={workflow}").json()

    assert [row["workflow"] for row in rows] == [workflow]


def test_an_operation_that_is_no_workflow_is_404_there(
    client: APIClient, workspace: Workspace
) -> None:
    operation = make_operation(workspace)

    assert_error(client.get(f"/v1/workflows/{operation.pk}"), 404)
    assert client.get("/v1/workflows").json() == []


def test_a_cancelled_workflow_cancels_its_waiting_steps(client: APIClient, operator: User) -> None:
    workflow = submit(client, [STEP, STEP | {"id": "b", "depends_on": ["a"]}]).json()["id"]

    answer = client.post(f"/v1/workflows/{workflow}/cancel")

    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    steps = Operation.objects.filter(workflow=workflow)
    assert {(step.status, step.reason) for step in steps} == {("cancelled", "workflow_cancelled")}
    assert AuditEvent.objects.filter(
        event="operation.cancel-requested", actor=operator, target_id=workflow
    ).exists()


def test_a_workflow_that_has_ended_is_409(client: APIClient) -> None:
    workflow = submit(client, [STEP]).json()["id"]
    client.post(f"/v1/workflows/{workflow}/cancel")

    with nothing_changes():
        assert_error(client.post(f"/v1/workflows/{workflow}/cancel"), 409)


def test_a_workflow_is_no_way_around_the_permission_of_a_step(
    stranger: User, workspace: Workspace, api: Api
) -> None:
    Role.objects.create(
        name="Submitter",
        permissions=["cluster_create", "workflow_read", "workflow_submit", "workspace_read"],
    )
    bind(stranger, "Submitter", workspace)
    client = api(stranger)
    cluster = {"id": "c", "kind": "cluster_create", "params": {"name": "kubernetes"}}

    with nothing_changes(AuditEvent), one_event(event="access.denied", actor=stranger):
        refused = submit(client, [cluster, STEP])
    with nothing_changes(AuditEvent):
        rollback = submit(client, [cluster | {"on_failure": "rollback"}])

    assert "server_create" in assert_error(refused, 403)["message"]
    assert "cluster_delete" in assert_error(rollback, 403)["message"]
    assert submit(client, [cluster]).status_code == 202


def test_ids_are_ordered_by_time(client: APIClient) -> None:
    ids = [uuid.UUID(submit(client, [STEP]).json()["id"]) for _ in range(3)]

    assert ids == sorted(ids)
    assert {key.version for key in ids} == {7}


def test_a_workflow_is_not_cancelled_by_way_of_its_operation_without_the_permission(
    stranger: User, operator: User, workspace: Workspace, api: Api
) -> None:
    Role.objects.create(
        name="Stopper", permissions=["operation_read", "operation_cancel", "workspace_read"]
    )
    bind(stranger, "Stopper")
    body = {"workspace": workspace.name, "name": "w", "steps": [STEP]}
    workflow = api(operator).post("/v1/workflows/submit", body, format="json").json()

    client = api(stranger)

    with nothing_changes(AuditEvent):
        answer = client.post(f"/v1/operations/{workflow['id']}/cancel")

    assert_error(answer, 403)
    assert Operation.objects.get(pk=workflow["id"]).status == "pending"
