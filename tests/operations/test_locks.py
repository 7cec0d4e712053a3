"""One change at a time to a server, taskserv or cluster: in order, by the workspace's policy."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.actor import Actor
from accounts.models import AuditEvent, User, Workspace
from operations import runner
from operations.commands import Kind
from operations.locks import lock_of
from operations.models import Operation, Runner
from operations.runner.turn import register
from operations.services import lifecycle
from operations.services.ending import Ending
from operations.services.workflows import submit_workflow
from provisioning.errors import Conflict
from tests.answers import assert_error, nothing_changes
from tests.concurrently import at_once
from tests.factories import make_operation, make_workspace
from tests.operations.harness import events_of, release, turning, wait_for_status
from tests.processes import read_journal, wait_until

Api = Callable[[User | None], APIClient]
BODY = {"workspace": "production", "provider": "p", "plan": "q", "hostname": "web-01"}
DONE = Ending(Operation.Status.COMPLETED, None, 0)


@pytest.mark.parametrize(
    ("kind", "params", "lock"),
    [
        ("server_create", {"hostname": "web-01", "plan": "x"}, "server web-01"),
        ("server_delete", {"hostname": "web-01"}, "server web-01"),
        ("server_create", {"plan": "x"}, ""),
        ("taskserv_create", {"name": "dns", "server": "web-01"}, "server web-01"),
        ("taskserv_delete", {"name": "dns"}, "taskserv dns"),
        ("cluster_create", {"name": "dns"}, "cluster dns"),
        ("workflow", {"name": "dns", "steps": []}, ""),
    ],
)
def test_what_an_operation_has_to_itself(kind: str, params: dict[str, Any], lock: str) -> None:
    assert lock_of(kind, params) == lock
    assert lock_of(kind, params, check_mode=True) == ""


@pytest.fixture
def turn(db: None) -> Runner:
    return register(Runner.Role.TURN)


def server(workspace: Workspace, hostname: str = "web-01", **fields: Any) -> Operation:
    params = {"hostname": hostname, "provider": "p", "plan": "q"}
    return make_operation(workspace, params=params, **fields)


def claim(turn: Runner) -> list[Operation]:
    return lifecycle.claim_operations(runner=turn)


def finish(operation: Operation) -> None:
    assert lifecycle.finish_operation(
        operation=operation, token=operation.fencing_token, ending=DONE
    )


def test_of_one_thing_one_operation_runs_and_the_next_follows_in_order(
    workspace: Workspace, turn: Runner
) -> None:
    first, second, third = (server(workspace) for _ in range(3))
    other = server(workspace, "web-02")

    assert claim(turn) == [first, other]
    assert claim(turn) == []
    for following in (second, third):
        finish(lifecycle.running().get(lock="server web-01"))
        assert claim(turn) == [following]


def test_a_taskserv_on_a_server_waits_for_that_server(workspace: Workspace, turn: Runner) -> None:
    first = server(workspace)
    params = {"name": "dns", "server": "web-01"}
    make_operation(workspace, kind=Kind.TASKSERV_CREATE, params=params)
    loose = make_operation(workspace, kind=Kind.TASKSERV_CREATE, params={"name": "dns"})

    assert claim(turn) == [first, loose]


def test_the_same_name_in_another_workspace_is_another_thing(
    workspace: Workspace, turn: Runner
) -> None:
    both = [server(workspace), server(make_workspace("staging"))]

    assert claim(turn) == both


def test_a_check_waits_for_nobody_and_keeps_nobody_waiting(
    workspace: Workspace, turn: Runner
) -> None:
    check, change, another = (
        server(workspace, check_mode=True),
        server(workspace),
        server(workspace, check_mode=True),
    )

    assert claim(turn) == [check, change, another]


def test_a_retry_that_waits_for_its_time_keeps_nobody_waiting(
    workspace: Workspace, turn: Runner
) -> None:
    server(workspace, eligible_at=timezone.now() + timedelta(hours=1))
    second = server(workspace)

    assert claim(turn) == [second]


def test_the_database_refuses_a_second_one_that_runs(workspace: Workspace) -> None:
    both = [server(workspace).pk, server(workspace).pk]

    with pytest.raises(IntegrityError), transaction.atomic():
        Operation.objects.filter(pk__in=both).update(status="running")


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_claims_at_once_never_give_one_thing_to_two(workspace: Workspace, settings: Any) -> None:
    settings.MAX_CONCURRENT_OPERATIONS = 100
    for number in itertools.islice(itertools.cycle(range(4)), 24):
        server(workspace, f"web-0{number}")
    turns = [register(Runner.Role.TURN) for _ in range(4)]

    claimed = at_once([functools.partial(claim, one) for one in turns])

    assert sorted(op.lock for batch in claimed for op in batch) == [
        f"server web-0{number}" for number in range(4)
    ]


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_real_processes_of_one_thing_follow_each_other_in_order(
    journal: Path, workspace: Workspace
) -> None:
    mine = [server(workspace, "ok-1") for _ in range(5)]
    others = [server(workspace, f"ok-other-{number}") for number in range(5)]

    runner.run_turn()

    lines = [
        line for line in read_journal(journal) if line.operation in map(str, (op.pk for op in mine))
    ]
    assert [(line.word, line.operation) for line in lines if line.word in ("start", "end")] == [
        (word, str(operation.pk)) for operation in mine for word in ("start", "end")
    ]
    assert {operation.pk for operation in others} <= set(
        Operation.objects.filter(status="completed").values_list("pk", flat=True)
    )


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_the_next_one_starts_as_soon_as_the_lock_is_free(
    journal: Path, workspace: Workspace
) -> None:
    first, second = server(workspace, "hold-1"), server(workspace, "hold-1")
    with turning():
        wait_for_status(first, "running")
        lifecycle.cancel_operation(operation=first, actor=Actor(name="tester"))
        wait_for_status(second, "running")
        release(journal)
        wait_until(lambda: lifecycle.running().count() == 0, "nothing runs")


# --- Policies ----------------------------------------------------------------------------------


def with_policy(workspace: Workspace, policy: str) -> Workspace:
    workspace.concurrency_policy = policy
    workspace.save()
    return workspace


@pytest.mark.parametrize("is_running", [True, False])
def test_reject_refuses_a_second_one(
    is_running: bool, workspace: Workspace, turn: Runner, operator: User, api: Api
) -> None:
    with_policy(workspace, "reject")
    first = server(workspace)
    if is_running:
        claim(turn)
    client = api(operator)

    with nothing_changes():
        answer = client.post("/v1/servers/create", BODY, format="json")

    message = assert_error(answer, 409)["message"]
    assert "server web-01 is busy" in message and str(first.pk) in message


def test_reject_lets_others_and_checks_and_what_comes_later_in(
    workspace: Workspace, turn: Runner
) -> None:
    with_policy(workspace, "reject")
    first = server(workspace)

    server(workspace, "web-02")
    server(workspace, check_mode=True)
    claim(turn)
    first.refresh_from_db()
    finish(first)
    server(workspace)


def test_supersede_cancels_what_is_queued_and_leaves_what_runs(
    workspace: Workspace, turn: Runner
) -> None:
    with_policy(workspace, "supersede")
    running = server(workspace)
    claim(turn)
    queued = server(workspace)
    newest = server(workspace)

    for operation in (running, queued, newest):
        operation.refresh_from_db()
    assert (running.status, newest.status) == ("running", "pending")
    assert (queued.status, queued.reason) == ("cancelled", "superseded")
    assert queued.error == "A newer operation took its place before it started."
    assert events_of(queued) == ["submitted", "cancelled"]


def steps(*hostnames: str) -> dict[str, Any]:
    return {
        "name": "w",
        "steps": [
            {"id": f"s{n}", "kind": "server_delete", "params": {"hostname": name}}
            for n, name in enumerate(hostnames)
        ],
    }


def test_a_workflow_comes_in_as_a_whole_or_not_at_all(workspace: Workspace) -> None:
    with_policy(workspace, "reject")
    server(workspace, "web-02")

    with pytest.raises(Conflict, match="server web-02 is busy"), nothing_changes():
        submit_workflow(actor=Actor(name="t"), workspace=workspace, body=steps("web-01", "web-02"))
    submit_workflow(actor=Actor(name="t"), workspace=workspace, body=steps("web-03", "web-03"))


def test_a_step_of_a_workflow_is_not_superseded(workspace: Workspace) -> None:
    with_policy(workspace, "supersede")
    workflow = submit_workflow(actor=Actor(name="t"), workspace=workspace, body=steps("web-01"))
    server(workspace)

    assert workflow.steps.get().status == "pending"


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_of_many_at_once_reject_takes_one(workspace: Workspace) -> None:
    with_policy(workspace, "reject")

    def submit() -> bool:
        try:
            server(workspace)
        except Conflict:
            return False
        return True

    assert sum(at_once([submit] * 6)) == 1
    assert Operation.objects.count() == 1


def test_the_policy_is_set_by_who_manages_workspaces(
    workspace: Workspace, admin: User, api: Api
) -> None:
    path = f"/v1/workspaces/{workspace.pk}"

    client = api(admin)
    answer = client.patch(path, {"concurrency_policy": "reject"}, format="json")

    assert answer.json()["concurrency_policy"] == "reject"
    workspace.refresh_from_db()
    assert workspace.concurrency_policy == "reject"
    for body in ({"concurrency_policy": "explode"}, {}):
        with nothing_changes():
            assert_error(client.patch(path, body, format="json"), 400)


# --- By hand -----------------------------------------------------------------------------------


def lock_path(workspace: Workspace) -> str:
    return f"/v1/workspaces/{workspace.pk}/lock"


def put(client: APIClient, workspace: Workspace, reason: str = "Moving racks") -> Any:
    return client.put(lock_path(workspace), {"reason": reason}, format="json")


def test_who_keeps_a_workspace_works_alone(
    workspace: Workspace, operator: User, admin: User, api: Api
) -> None:
    mine, other = api(operator), api(admin)
    assert put(mine, workspace).json()["holder"] == "oscar"

    with nothing_changes():
        refused = other.post("/v1/servers/create", BODY, format="json")
        assert_error(put(other, workspace), 409)

    assert "locked by oscar: Moving racks" in assert_error(refused, 409)["message"]
    assert mine.post("/v1/servers/create", BODY, format="json").status_code == 202
    check = other.post("/v1/servers/create", BODY | {"check_mode": True}, format="json")
    assert check.status_code == 202
    shown = other.get(lock_path(workspace)).json()
    assert (shown["workspace"], shown["reason"]) == ("production", "Moving racks")


def test_what_others_have_queued_waits_until_the_lock_is_gone(
    workspace: Workspace, turn: Runner, operator: User, api: Api
) -> None:
    waiting = server(workspace, actor=Actor(name="somebody"))
    put(api(operator), workspace)
    own = server(workspace, "web-02", actor=Actor(name="oscar", user=operator))

    assert claim(turn) == [own]
    assert api(operator).delete(lock_path(workspace)).status_code == 204
    assert claim(turn) == [waiting]


def test_who_keeps_a_workspace_does_not_wait_for_what_he_keeps_waiting(
    workspace: Workspace, turn: Runner, operator: User, api: Api
) -> None:
    waiting = server(workspace, actor=Actor(name="somebody"))
    put(api(operator), workspace)
    own = server(workspace, actor=Actor(name="oscar", user=operator))

    assert (waiting.lock, claim(turn)) == (own.lock, [own])


def test_a_lock_of_somebody_else_is_taken_away_by_force_and_recorded(
    workspace: Workspace, operator: User, admin: User, api: Api
) -> None:
    put(api(operator), workspace)
    path, client = lock_path(workspace), api(admin)

    with nothing_changes():
        assert "locked by oscar" in assert_error(client.delete(path), 409)["message"]
        assert_error(client.delete(f"{path}?force=maybe"), 400, field="force")
    assert client.delete(f"{path}?force=true").status_code == 204
    event = AuditEvent.objects.latest("id")
    assert (event.event, event.actor_name) == ("workspace.unlock-forced", "alice")
    assert event.data == {"holder": "oscar", "reason": "Moving racks"}
    assert_error(client.get(path), 404)


def test_an_operator_forces_nobody(
    workspace: Workspace, operator: User, admin: User, api: Api
) -> None:
    put(api(admin), workspace)

    assert_error(api(operator).delete(f"{lock_path(workspace)}?force=true"), 403)
    assert api(admin).get(lock_path(workspace)).status_code == 200


def test_the_holder_may_say_another_reason(workspace: Workspace, operator: User, api: Api) -> None:
    put(api(operator), workspace)

    assert put(api(operator), workspace, "Still moving").json()["reason"] == "Still moving"
