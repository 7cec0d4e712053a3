"""The runner with real processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from accounts.models import AuditEvent, Workspace
from operations import runner
from operations.models import Server
from tests.factories import make_operation

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def place(transactional_db: None) -> Workspace:
    return Workspace.objects.create(name="production")


def test_an_operation_runs_and_its_result_becomes_a_server(
    fake_cli: Path, place: Workspace
) -> None:
    operation = make_operation(place, params={"hostname": "ok-1", "provider": "p", "plan": "q"})

    runner.run_turn()

    operation.refresh_from_db()
    assert (operation.status, operation.exit_code, operation.error) == ("completed", 0, None)
    assert operation.result is not None
    assert operation.result["ip_address"] == "192.0.2.1"
    server = Server.objects.get(hostname="ok-1")
    assert (server.status, server.last_operation_id) == ("running", operation.pk)
    events = AuditEvent.objects.filter(target_id=str(operation.pk)).order_by("id")
    assert [event.event for event in events] == [
        "operation.submitted",
        "operation.started",
        "operation.completed",
    ]
    assert fake_cli.read_text().split()[0:2] == ["start", str(operation.pk)]
