"""Workflows from the API to the processes: order, failure, retry, rollback, cancel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError
from rest_framework.test import APIClient

from accounts.actor import Actor
from accounts.models import AuditEvent, User, Workspace
from operations import runner
from operations.models import Operation, OperationTally, Server
from operations.services.workflows import submit_workflow
from tests.operations.harness import events_of, release, turning, wait_for_status
from tests.processes import is_alive, most_at_once, processes_of, read_journal, wait_until

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)


@pytest.fixture
def client(
    journal: Path, api: Callable[[User | None], APIClient], operator: User, workspace: Workspace
) -> APIClient:
    """The operator's, in the workspace `production`, with the fake CLI."""
    return api(operator)


def server(hostname: str, *depends_on: str, **fields: Any) -> dict[str, Any]:
    """A step of that id that creates a server of that name."""
    params = {"hostname": hostname, "provider": "p", "plan": "q"}
    step = {"id": hostname, "kind": "server_create", "params": params, **fields}
    return step | ({"depends_on": list(depends_on)} if depends_on else {})


def submit(client: APIClient, *steps: dict[str, Any], **fields: Any) -> Operation:
    body = {"workspace": "production", "name": "test", "steps": steps, **fields}
    answer = client.post("/v1/workflows/submit", body, format="json")
    assert answer.status_code == 202, answer.content
    return Operation.objects.get(pk=answer.json()["id"])


def run(client: APIClient, *steps: dict[str, Any], **fields: Any) -> Operation:
    workflow = submit(client, *steps, **fields)
    runner.run_turn()
    workflow.refresh_from_db()
    return workflow


def started(journal: Path) -> list[str]:
    return [line.name for line in read_journal(journal) if line.word == "start"]


def outcomes(workflow: Operation) -> dict[str, tuple[str, str | None]]:
    """The last attempt of each step."""
    rows = workflow.steps.filter(is_rollback=False).order_by("attempt")
    return {row.step_id: (row.status, row.reason) for row in rows}


OK = ("completed", None)


def test_steps_run_after_what_they_depend_on(client: APIClient, journal: Path) -> None:
    workflow = run(
        client,
        server("ok-c", "ok-b", "ok-a"),
        server("ok-b", "ok-a"),
        server("ok-a"),
    )
    assert started(journal) == ["ok-a", "ok-b", "ok-c"]
    assert (workflow.status, workflow.error) == ("completed", None)
    assert workflow.result == {"steps": dict.fromkeys(["ok-a", "ok-b", "ok-c"], "completed")}
    assert events_of(workflow) == ["submitted", "completed"]
    assert workflow.started_at
    assert workflow.finished_at


def test_steps_that_do_not_depend_on_each_other_run_at_once(
    client: APIClient, journal: Path
) -> None:
    run(client, *(server(f"meet-4-{index}") for index in range(4)))
    assert most_at_once(read_journal(journal)) == 4


def test_no_more_steps_run_at_once_than_the_workflow_allows(
    client: APIClient, journal: Path
) -> None:
    run(client, *(server(f"meet-2-{index}") for index in range(6)), parallel_limit=2)
    assert most_at_once(read_journal(journal)) == 2
    assert len(started(journal)) == 6


def test_a_failed_step_fails_its_dependants_and_no_others(client: APIClient, journal: Path) -> None:
    workflow = run(
        client,
        server("fail-4-a"),
        server("ok-b", "fail-4-a"),
        server("ok-c", "ok-b"),
        server("ok-d"),
    )
    assert outcomes(workflow) == {
        "fail-4-a": ("failed", "exit"),
        "ok-b": ("failed", "dependency_failed"),
        "ok-c": ("failed", "dependency_failed"),
        "ok-d": OK,
    }
    assert (workflow.status, workflow.reason) == ("failed", "exit")
    assert workflow.error == "Step 'fail-4-a' failed: the cloud refused fail-4-a"
    assert sorted(started(journal)) == ["fail-4-a", "ok-d"]
    assert Server.objects.get().hostname == "ok-d"


def test_a_failure_may_be_continued(client: APIClient) -> None:
    workflow = run(client, server("fail-1-a", on_failure="continue"), server("ok-b", "fail-1-a"))
    assert outcomes(workflow) == {"fail-1-a": ("failed", "exit"), "ok-b": OK}
    assert workflow.status == "completed"


def test_a_rollback_deletes_what_was_created_in_reverse_order(
    client: APIClient, journal: Path
) -> None:
    workflow = run(
        client,
        server("ok-a"),
        server("ok-b", "ok-a"),
        server("fail-1-c", "ok-b", on_failure="rollback"),
    )
    undone = workflow.steps.filter(is_rollback=True).order_by("id")
    assert [(row.kind, row.step_id, row.status) for row in undone] == [
        ("server_delete", "ok-b", "completed"),
        ("server_delete", "ok-a", "completed"),
    ]
    assert started(journal) == ["ok-a", "ok-b", "fail-1-c", "ok-b", "ok-a"]
    assert workflow.status == "failed"
    assert not Server.objects.exists()


def test_what_cannot_be_undone_has_an_end_like_any_other(client: APIClient) -> None:
    nameless = {"id": "a", "kind": "server_create", "params": {"provider": "p", "plan": "q"}}
    workflow = run(client, nameless, server("fail-1-b", "a", on_failure="rollback"))
    undo = workflow.steps.get(is_rollback=True)
    assert (undo.kind, undo.status, undo.reason) == ("server_delete", "failed", "spawn_failed")
    assert (undo.error or "").startswith("It cannot be undone: ")
    assert events_of(undo) == ["submitted", "failed"]
    assert OperationTally.objects.get(kind="server_delete", status="failed").count == 1
    assert workflow.status == "failed"


def test_a_failed_step_is_tried_again_after_its_delays(client: APIClient, journal: Path) -> None:
    retry = {"max_attempts": 3, "delay_seconds": 0.1, "backoff": 3}
    workflow = submit(client, server("again-3-a", retry=retry), server("ok-b", "again-3-a"))
    wait_until(lambda: is_over_after_a_turn(workflow), "the workflow ends")
    assert workflow.status == "completed"
    runs = workflow.steps.filter(step_id="again-3-a").order_by("attempt")
    assert [(row.attempt, row.status) for row in runs] == [
        (1, "failed"),
        (2, "failed"),
        (3, "completed"),
    ]
    begins = [line.at for line in read_journal(journal) if line.word == "start"]
    assert begins[1] - begins[0] >= 0.1
    assert begins[2] - begins[1] >= 0.3
    assert started(journal) == ["again-3-a"] * 3 + ["ok-b"]


def is_over_after_a_turn(workflow: Operation) -> bool:
    runner.run_turn()
    workflow.refresh_from_db()
    return workflow.is_final


def test_a_step_that_fails_too_often_fails_the_workflow(client: APIClient, journal: Path) -> None:
    workflow = run(
        client, server("fail-5-a", retry={"max_attempts": 2}), server("ok-b", "fail-5-a")
    )
    assert workflow.status == "failed"
    assert started(journal) == ["fail-5-a"] * 2


def test_a_cancelled_workflow_starts_nothing_more_and_ends_what_runs(
    client: APIClient, journal: Path
) -> None:
    workflow = submit(client, server("stubborn-a"), server("ok-b", "stubborn-a"))
    with turning():
        wait_until(lambda: len(read_journal(journal)) == 4, "the first step runs")
        answer = client.post(f"/v1/workflows/{workflow.pk}/cancel")
        assert answer.status_code == 202
        wait_for_status(workflow, "cancelled")
    assert outcomes(workflow) == {
        "stubborn-a": ("cancelled", "workflow_cancelled"),
        "ok-b": ("cancelled", "workflow_cancelled"),
    }
    assert not any(is_alive(line.pid) for line in read_journal(journal))
    for row in workflow.steps.all():
        assert processes_of(row.pk) == set()
    assert events_of(workflow) == ["submitted", "cancel-requested", "cancelled"]


def test_a_workflow_that_waits_is_cancelled_at_once(client: APIClient, journal: Path) -> None:
    workflow = submit(client, server("ok-a"), server("ok-b", "ok-a"))
    answer = client.post(f"/v1/operations/{workflow.pk}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    runner.run_turn()
    assert started(journal) == []


def test_a_workflow_that_has_ended_cannot_be_cancelled(client: APIClient) -> None:
    workflow = run(client, server("ok-a"))
    answer = client.post(f"/v1/workflows/{workflow.pk}/cancel")
    assert (answer.status_code, answer.json()["error"]) == (409, "CONFLICT")


def test_a_cancelled_step_fails_its_dependants(client: APIClient, journal: Path) -> None:
    workflow = submit(client, server("ok-a"), server("ok-b", "ok-a"))
    step = workflow.steps.get(step_id="ok-a")
    assert client.post(f"/v1/operations/{step.pk}/cancel").status_code == 200
    assert outcomes(workflow) == {
        "ok-a": ("cancelled", "cancelled_by_user"),
        "ok-b": ("failed", "dependency_failed"),
    }
    workflow.refresh_from_db()
    assert (workflow.status, workflow.reason) == ("failed", "cancelled_by_user")


def test_the_names_of_the_original_are_accepted(client: APIClient, journal: Path) -> None:
    first, second = server("ok-a"), server("ok-b")
    second["dependencies"] = ["ok-a"]
    body = {"workspace": "production", "name": "test", "operations": [second, first]}
    answer = client.post("/v1/workflows/submit", body, format="json")
    assert answer.status_code == 202
    runner.run_turn()
    assert started(journal) == ["ok-a", "ok-b"]


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([server("a", "b"), server("b", "a")], "a -> b -> a"),
        ([server("a"), server("a")], "the id 'a' is given twice"),
        ([server("a", "z")], "step 'a' depends on 'z', which is no step"),
        ([], "steps"),
        ([server("a") | {"params": {"hostname": "-x"}}], "hostname"),
        ([server("a") | {"kind": "workflow"}], "kind"),
        ([server("a") | {"unknown": 1}], "unknown"),
        ([server("a", on_failure="shrug")], "on_failure"),
        ([server("a", retry={"max_attempts": 0})], "max_attempts"),
    ],
)
def test_a_workflow_that_cannot_run_is_refused_whole(
    client: APIClient, steps: list[dict[str, Any]], words: str
) -> None:
    body = {"workspace": "production", "name": "test", "steps": [*steps]}
    answer = client.post("/v1/workflows/submit", body, format="json")
    assert answer.status_code == 400
    assert answer.json()["error"] == "VALIDATION_ERROR"
    assert words in str(answer.json())
    assert not Operation.objects.exists()
    assert not AuditEvent.objects.filter(event="operation.submitted").exists()


def test_both_names_of_the_same_thing_are_refused(client: APIClient) -> None:
    body = {"workspace": "production", "name": "n", "steps": [server("a")], "operations": []}
    answer = client.post("/v1/workflows/submit", body, format="json")
    assert answer.status_code == 400


def test_a_submission_is_one_transaction(
    client: APIClient, operator: User, workspace: Workspace
) -> None:
    """What no column can hold in its last step leaves nothing of the first ones."""
    steps = [server("ok-a"), server("ok-b")]
    steps[1]["params"]["extra"] = float("nan")
    with pytest.raises(DatabaseError):
        submit_workflow(
            actor=Actor(name="oscar", user=operator),
            workspace=workspace,
            body={"name": "n", "steps": steps},
        )
    assert not Operation.objects.exists()
    assert not AuditEvent.objects.filter(event="operation.submitted").exists()


def test_progress_counts_the_last_attempt_of_each_step(client: APIClient, journal: Path) -> None:
    workflow = submit(
        client, server("ok-a"), server("hold-b"), server("ok-c", "hold-b"), server("fail-1-d")
    )
    with turning():
        wait_until(lambda: len(read_journal(journal)) == 5, "two of them have ended")
        wait_until(
            lambda: (
                client.get(f"/v1/workflows/{workflow.pk}/status").json()["progress"]["percent"]
                == 50
            ),
            "half of it has ended",
        )
        progress = client.get(f"/v1/workflows/{workflow.pk}/status").json()["progress"]
        release(journal)
    assert progress == {
        "total": 4,
        "pending": 1,
        "running": 1,
        "completed": 1,
        "failed": 1,
        "cancelled": 0,
        "percent": 50,
    }
    ended = client.get(f"/v1/workflows/{workflow.pk}/status").json()
    assert (ended["status"], ended["progress"]["percent"]) == ("failed", 100)


def test_a_workflow_shows_its_steps(client: APIClient) -> None:
    workflow = run(client, server("ok-a"), server("ok-b", "ok-a"))
    body = client.get(f"/v1/workflows/{workflow.pk}").json()
    assert (body["id"], body["name"], body["kind"]) == (str(workflow.pk), "test", "workflow")
    assert [(step["step"], step["status"]) for step in body["steps"]] == [
        ("ok-a", "completed"),
        ("ok-b", "completed"),
    ]
    ids = [step["operation"] for step in body["steps"]]
    for step_id in ids:
        assert client.get(f"/v1/operations/{step_id}").json()["workflow"] == str(workflow.pk)


def test_check_mode_reaches_every_step(client: APIClient) -> None:
    workflow = run(client, server("env-a"), check_mode=True)
    [step] = workflow.steps.all()
    assert step.check_mode
    assert step.result["argv"][-1] == "--check"
    assert not Server.objects.exists()


def test_a_workflow_goes_on_after_its_runner_was_killed(client: APIClient, journal: Path) -> None:
    """As after a crash between the end of one step and the claim of the next."""
    workflow = submit(client, server("ok-a"), server("ok-b", "ok-a"))
    first = workflow.steps.get(step_id="ok-a")
    runner.run_in_foreground(first, lambda: None)
    assert outcomes(workflow)["ok-a"] == OK
    runner.run_turn()
    workflow.refresh_from_db()
    assert workflow.status == "completed"
    assert started(journal) == ["ok-a", "ok-b"]
