"""`/health`, `/health/ready`, `/v1/version` and `/v1/metrics`."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families
from rest_framework.test import APIClient

from accounts.models import User, Workspace
from operations.models import Operation, OperationTally, Runner
from provisioning import __version__, health, views
from tests.answers import nothing_changes
from tests.factories import make_operation

Api = Callable[[User | None], APIClient]


def make_worker(**fields: Any) -> Runner:
    return Runner.objects.create(
        role=fields.pop("role", Runner.Role.WORKER),
        host_id=str(uuid.uuid4()),
        host_name="here",
        boot_id=str(uuid.uuid4()),
        pid=1,
        pid_started=1,
        **fields,
    )


def test_health_answers_without_a_token_and_touches_no_database(client: APIClient) -> None:
    # There is no `db` fixture here: a query would fail the test.
    answer = client.get("/health")

    assert answer.status_code == 200
    assert answer.json() == {"status": "healthy", "version": __version__}


def test_ready_is_200_while_everything_works(client: APIClient, db: None, fake_cli: Path) -> None:
    make_worker()

    with nothing_changes():
        answer = client.get("/health/ready")

    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ready",
        "checks": {"database": "ok", "worker": "ok", "cli": "ok", "disk": "ok"},
        "is_drained": False,
        "workers": [
            {
                "started_at": answer.json()["workers"][0]["started_at"],
                "heartbeat_seconds": answer.json()["workers"][0]["heartbeat_seconds"],
                "operations_running": 0,
            }
        ],
    }


def problems(client: APIClient) -> dict[str, str]:
    """What a 503 complains of."""
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    body = answer.json()
    assert body["status"] == "unavailable"
    return {name: text for name, text in body["checks"].items() if text != "ok"}


def test_without_a_worker_it_is_not_ready(client: APIClient, db: None, fake_cli: Path) -> None:
    assert problems(client) == {"worker": "No worker is alive: start one with `manage.py worker`."}


def test_a_worker_that_gave_no_sign_within_its_lease_is_none(
    client: APIClient, db: None, fake_cli: Path
) -> None:
    make_worker(heartbeat_at=timezone.now() - Runner.LEASE - timedelta(seconds=1))

    assert set(problems(client)) == {"worker"}


def test_a_single_turn_of_a_runner_is_no_worker(
    client: APIClient, db: None, fake_cli: Path
) -> None:
    make_worker(role=Runner.Role.TURN)

    assert set(problems(client)) == {"worker"}


def test_without_a_cli_it_is_not_ready(client: APIClient, db: None, settings: Any) -> None:
    make_worker()
    settings.CLI_PATH = "/does/not/exist"

    assert problems(client) == {
        "cli": "The CLI /does/not/exist does not exist: set provisioning.cli_path."
    }


def test_a_cli_that_cannot_be_executed_is_none(
    client: APIClient, db: None, settings: Any, tmp_path: Path
) -> None:
    make_worker()
    settings.CLI_PATH = str(tmp_path / "cli")
    (tmp_path / "cli").write_text("#!/bin/sh\n")

    assert set(problems(client)) == {"cli"}


def test_without_space_on_the_disk_it_is_not_ready(
    client: APIClient, db: None, fake_cli: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_worker()
    monkeypatch.setattr(health, "MIN_FREE_BYTES", 2**62)

    assert set(problems(client)) == {"disk"}


def test_all_reasons_are_told_at_once(client: APIClient, db: None, settings: Any) -> None:
    settings.CLI_PATH = "/does/not/exist"

    assert set(problems(client)) == {"worker", "cli"}


# --- Version -----------------------------------------------------------------------------------


@pytest.fixture
def _asked_again() -> Iterator[None]:
    """The CLI's version is asked once in the life of a process."""
    views.cli_version.cache_clear()
    yield
    views.cli_version.cache_clear()


@pytest.mark.usefixtures("_asked_again")
def test_version_tells_server_commit_and_cli(
    stranger: User, api: Api, fake_cli: Path, settings: Any
) -> None:
    body = api(stranger).get("/v1/version").json()

    assert set(body) == {"version", "api_version", "git_commit", "cli"}
    assert (body["version"], body["api_version"]) == (__version__, "v1")
    assert body["cli"]["version"] == "fake 1.2.3"
    assert body["cli"]["path"] == settings.CLI_PATH


@pytest.mark.usefixtures("_asked_again")
def test_a_cli_that_does_not_exist_has_no_version(stranger: User, api: Api, settings: Any) -> None:
    settings.CLI_PATH = "/does/not/exist"

    assert api(stranger).get("/v1/version").json()["cli"] == {
        "path": "/does/not/exist",
        "version": None,
    }


# --- Metrics -----------------------------------------------------------------------------------


def scrape(client: APIClient, **headers: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    answer = client.get("/v1/metrics", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    samples: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(answer.content.decode()):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append((sample.labels, sample.value))
    return samples


@pytest.mark.parametrize(
    "accept",
    [
        "text/plain",
        "text/plain;version=0.0.4",
        "*/*",
        "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2",
    ],
)
def test_metrics_are_what_prometheus_asks_for(accept: str, viewer: User, api: Api) -> None:
    assert scrape(api(viewer), Accept=accept)


def test_metrics_tell_the_queue_and_the_workers(
    viewer: User, workspace: Workspace, api: Api
) -> None:
    make_worker()
    make_operation(workspace)
    make_operation(workspace)

    samples = scrape(api(viewer))

    assert samples["provisioning_queue_depth"] == [({}, 2.0)]
    assert samples["provisioning_workers"] == [({}, 1.0)]
    assert 0 <= samples["provisioning_queue_oldest_seconds"][0][1] < 60
    assert samples["provisioning_operations_open"] == [
        ({"kind": "server_create", "status": "pending"}, 2.0)
    ]


def test_metrics_tell_what_has_ended_and_how_long_it_ran(viewer: User, api: Api) -> None:
    OperationTally.objects.create(
        kind="server_create", status="completed", count=3, seconds=12.5, le_1=0, le_5=2, le_15=3
    )

    samples = scrape(api(viewer))

    labels = {"kind": "server_create", "status": "completed"}
    assert samples["provisioning_operations_total"] == [(labels, 3.0)]
    assert samples["provisioning_operation_run_seconds_sum"] == [(labels, 12.5)]
    buckets = {
        sample["le"]: value
        for sample, value in samples["provisioning_operation_run_seconds_bucket"]
    }
    assert (buckets["5.0"], buckets["15.0"], buckets["+Inf"]) == (2.0, 3.0, 3.0)


def test_metrics_count_failed_logins(viewer: User, api: Api) -> None:
    def failures() -> float:
        found = scrape(api(viewer)).get("provisioning_login_failures_total", [])
        return sum(value for labels, value in found if labels == {"reason": "password"})

    before = failures()
    APIClient().post("/v1/auth/login", {"username": "x", "password": "y"}, format="json")

    assert failures() == before + 1


@pytest.mark.parametrize("accept", ["text/plain", "*/*", "text/*"])
def test_a_log_is_text_for_whoever_asks_for_text(
    accept: str, viewer: User, workspace: Workspace, api: Api
) -> None:
    operation = make_operation(workspace)

    answer = api(viewer).get(f"/v1/operations/{operation.pk}/log", HTTP_ACCEPT=accept)

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_each_worker_is_told_with_its_age_and_what_runs_at_its_host(
    viewer: User, admin: User, workspace: Workspace, api: Api, client: Client
) -> None:
    silent = timezone.now() - timedelta(minutes=10)
    worker = make_worker()
    make_worker(heartbeat_at=silent, started_at=silent)
    operation = make_operation(workspace)
    Operation.objects.filter(pk=operation.pk).update(
        status="running", started_at=silent, host_id=worker.host_id, runner=uuid.uuid4()
    )

    samples = scrape(api(viewer))
    ages = [value for _, value in samples["provisioning_worker_heartbeat_seconds"]]
    running = samples["provisioning_worker_operations_running"]
    hosts = {labels["host_id"] for labels, _ in running}
    told = client.get("/health/ready").json()["workers"]
    client.force_login(admin)
    page = client.get("/admin/operations/runner/").content.decode()

    assert [age > 500 for age in ages] == [True, False]
    assert [value for _, value in running] == [0.0, 1.0]
    assert len(hosts) == 2
    assert {labels["host"] for labels, _ in running} == {"here"}
    assert [row["operations_running"] for row in told] == [0, 1]
    assert not {"host", "pid"} & set(told[0])
    assert f"/admin/operations/operation/{operation.pk}/change/" in page
