"""A drained system: what runs finishes, what is queued waits, what is new is refused."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families
from rest_framework.test import APIClient

from accounts.actor import SYSTEM
from accounts.models import AuditEvent, User, Workspace
from operations import broker, runner, worker
from operations.models import Operation
from operations.services import drain
from tests.answers import assert_error, last_event, nothing_changes, one_event
from tests.factories import make_operation
from tests.operations.harness import release, status_of, turning, wait_for_status

Api = Callable[[User | None], APIClient]

PATH = "/v1/system/drain"
SERVER = {"workspace": "production", "hostname": "ok-1", "provider": "p", "plan": "q"}
STEP = {"id": "a", "kind": "cluster_create", "params": {"name": "k"}}

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue().strip()


def test_the_api_drains_tells_and_resumes(admin: User, workspace: Workspace, api: Api) -> None:
    client = api(admin)
    make_operation(workspace)

    with one_event(event="system.drained", actor=admin, data={"reason": "upgrade"}):
        answer = client.put(PATH, {"reason": "upgrade"}, format="json")
    assert answer.status_code == 200
    state = client.get(PATH).json()
    assert state == answer.json()
    assert state.pop("drained_at")
    assert state == {
        "is_drained": True,
        "reason": "upgrade",
        "drained_by": "alice",
        "running": 0,
        "queued": 1,
    }

    with one_event(event="system.resumed", actor=admin):
        assert client.delete(PATH).status_code == 204
    assert client.get(PATH).json()["is_drained"] is False
    with nothing_changes():
        assert client.delete(PATH).status_code == 204


def test_draining_again_changes_the_reason_and_not_the_time(admin: User, api: Api) -> None:
    client = api(admin)
    first = client.put(PATH, {"reason": "a"}, format="json").json()
    with nothing_changes():
        client.put(PATH, {"reason": "a"}, format="json")
    second = client.put(PATH, {"reason": "b"}, format="json").json()

    assert second == first | {"reason": "b"}
    assert AuditEvent.objects.filter(event="system.drained").count() == 2


@pytest.mark.parametrize("reason", ["x" * 256, "two\nlines", 5])
def test_a_reason_that_is_no_line_is_refused(reason: object, admin: User, api: Api) -> None:
    assert_error(api(admin).put(PATH, {"reason": reason}, format="json"), 400, field="reason")
    assert drain.find() is None


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/servers/create", SERVER),
        ("/v1/servers/create", SERVER | {"check_mode": True}),
        ("/v1/workflows/submit", {"workspace": "production", "name": "w", "steps": [STEP]}),
    ],
)
def test_new_work_is_refused_with_the_reason_and_when_to_come_again(
    path: str,
    body: dict[str, object],
    operator: User,
    workspace: Workspace,
    api: Api,
    caplog: pytest.LogCaptureFixture,
) -> None:
    drain.drain_system(actor=SYSTEM, reason="upgrade until six")
    client = api(operator)

    with nothing_changes():
        answer = client.post(path, body, format="json")
    error = assert_error(answer, 503)
    assert not [line for line in caplog.records if line.levelname == "ERROR"], "nothing is broken"
    assert error["message"] == (
        "The system is drained and takes no new operations: upgrade until six"
    )
    assert answer.headers["Retry-After"] == "30"
    drain.resume_system(actor=SYSTEM)
    assert client.post(path, body, format="json").status_code == 202


def test_what_is_queued_waits_for_the_resume(workspace: Workspace, journal: Path) -> None:
    operation = make_operation(workspace)
    drain.drain_system(actor=SYSTEM)

    assert not broker.has_work()
    runner.run_turn()
    assert status_of(operation) == "pending"

    drain.resume_system(actor=SYSTEM)
    assert broker.has_work()
    runner.run_turn()
    assert status_of(operation) == "completed"


def test_what_runs_finishes_and_the_next_step_of_its_workflow_waits(
    operator: User, workspace: Workspace, journal: Path, api: Api
) -> None:
    steps = [
        {
            "id": name,
            "kind": "server_create",
            "params": {"hostname": name, "provider": "p", "plan": "q"},
            "depends_on": needs,
        }
        for name, needs in (("hold-a", []), ("ok-b", ["hold-a"]))
    ]
    body = {"workspace": "production", "name": "w", "steps": steps}
    workflow = api(operator).post("/v1/workflows/submit", body, format="json").json()["id"]
    first, second = Operation.objects.filter(workflow=workflow).order_by("id")
    with turning():
        wait_for_status(first, "running")
        drain.drain_system(actor=SYSTEM)
        release(journal)
    assert (status_of(first), status_of(second)) == ("completed", "pending")

    drain.resume_system(actor=SYSTEM)
    runner.run_turn()
    assert status_of(Operation.objects.get(pk=workflow)) == "completed"


def test_work_that_waited_for_a_resume_is_no_sign_of_a_blocked_cluster(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_operation(workspace)
    supervisor = worker.Worker()
    drain.drain_system(actor=SYSTEM)
    monkeypatch.setattr(worker, "STUCK_SECONDS", 0.0)
    assert not supervisor.is_stuck()
    assert not supervisor.is_stuck()

    drain.resume_system(actor=SYSTEM)
    monkeypatch.setattr(worker, "STUCK_SECONDS", 30.0)
    assert not supervisor.is_stuck()


def test_commands_drain_and_resume(workspace: Workspace) -> None:
    with one_event(event="system.drained", actor_name="command-line", data={"reason": "why"}):
        assert run("drain", "--reason", "why") == "Drained; 0 operations still run."
    with one_event(event="system.resumed", actor_name="command-line"):
        assert run("resume") == "Resumed."
    assert run("resume") == "It was not drained."
    with pytest.raises(CommandError, match="reason: must be one line"):
        run("drain", "--reason", "a\nb")


def test_drain_can_wait_for_what_runs(workspace: Workspace, journal: Path) -> None:
    operation = make_operation(
        workspace, params={"hostname": "hold-a", "provider": "p", "plan": "q"}
    )
    with turning():
        wait_for_status(operation, "running")
        with pytest.raises(CommandError, match="1 operations still run"):
            run("drain", "--wait", "0.1")
        release(journal)
        assert run("drain", "--wait", "60") == "Drained; 0 operations still run."


def test_metrics_readiness_and_console_tell_of_a_drain(
    admin: User, workspace: Workspace, api: Api, client: Client
) -> None:
    def gauge() -> float:
        text = api(admin).get("/v1/metrics").content.decode()
        families = {family.name: family for family in text_string_to_metric_families(text)}
        return families["provisioning_drained"].samples[0].value

    assert gauge() == 0
    drain.drain_system(actor=SYSTEM, reason="<b>disk</b>")

    assert gauge() == 1
    ready = client.get("/health/ready")
    assert ready.json()["is_drained"] is True
    assert "disk" not in str(ready.json()["workers"])
    client.force_login(admin)
    page = client.get("/admin/").content.decode()
    assert "The system is drained since" in page
    assert "&lt;b&gt;disk&lt;/b&gt;" in page
    client.logout()
    assert "The system is drained" not in client.get("/admin/login/").content.decode()
    last_event(event="system.drained")
