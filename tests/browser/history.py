"""Two weeks of a small data centre, for pages that only look right with something on them.

`python -m tests.browser.history OPERATIONS ATTEMPTS` fills the database that the environment names. The
same numbers give the same rows, but for times and ids, which end now.
"""

from __future__ import annotations

import json
import random
import secrets
import sys
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.utils import timezone

from provisioning.identifiers import first_id_at

BATCH = 5000
DAYS = 14
HOSTS = ("web", "db", "cache", "git", "build", "mail", "log")
PLANS = ("2xCPU-4GB", "4xCPU-8GB", "8xCPU-32GB")
PEOPLE = ("admin", "operator", "ci")
ERRORS = (
    "The provider refused: quota of addresses reached.",
    "ssh: connect to host 192.0.2.17 port 22: No route to host",
)
BODY = Path(__file__).parents[1] / "autoinstall" / "data" / "installer-9.2.json"


def fill(operations: int, attempts: int) -> None:
    """Into tables that hold nothing newer."""
    from autoinstall.models import Attempt
    from operations.models import Operation

    chance = random.Random(operations + attempts)  # noqa: S311 - a story, not a secret
    for rows, model in (
        (list(history_of_operations(operations, chance)), Operation),
        (list(history_of_attempts(attempts, chance)), Attempt),
    ):
        model._default_manager.bulk_create(rows, BATCH)


def instants(count: int, chance: random.Random) -> list[datetime]:
    """In order, over the last two weeks, the last an hour ago; more by day than by night."""
    end = timezone.now() - timedelta(hours=1)
    found = [end - timedelta(days=DAYS - 1) * chance.random() ** 1.15 for _ in range(count)]
    return sorted(found)


def id_at(at: datetime) -> uuid.UUID:
    return uuid.UUID(int=first_id_at(at).int | secrets.randbits(62))


def history_of_operations(count: int, chance: random.Random) -> Iterator[Any]:
    from accounts.models import Workspace
    from operations.models import Operation

    workspace = Workspace.objects.get(name="production")
    for at in instants(count, chance):
        status = chance.choices(("completed", "failed", "cancelled"), (88, 9, 3))[0]
        started = at + timedelta(seconds=chance.random() * 3)
        ended = started + timedelta(seconds=chance.lognormvariate(3, 1.3))
        host = f"{chance.choice(HOSTS)}-{chance.randrange(1, 40):02d}"
        kind = chance.choice(("server_create", "server_create", "server_delete", "taskserv_create"))
        params = {"hostname": host, "provider": "local", "plan": chance.choice(PLANS)}
        if kind == "taskserv_create":
            params = {"name": chance.choice(("kubernetes", "postgres", "etcd")), "server": host}
        yield Operation(
            id=id_at(at),
            kind=kind,
            status=status,
            reason={"failed": "exit", "cancelled": "cancelled_by_user"}.get(status),
            workspace=workspace,
            workspace_name=workspace.name,
            params=params,
            requested_by_name=chance.choice(PEOPLE),
            request_id=str(id_at(at)),
            timeout_seconds=300,
            created_at=at,
            updated_at=ended,
            started_at=started,
            finished_at=ended,
            exit_code={"completed": 0, "failed": 1}.get(status),
            error=chance.choice(ERRORS) if status == "failed" else None,
            result={"hostname": host, "status": "running"} if status == "completed" else None,
        )


def history_of_attempts(count: int, chance: random.Random) -> Iterator[Any]:
    from autoinstall.models import Attempt

    machine = json.loads(BODY.read_text())
    for number, at in enumerate(instants(count, chance)):
        outcome = chance.choices(("answered", "no-match", "refused", "malformed"), (86, 7, 6, 1))[0]
        serial = f"R7{number:05d}"
        machine["dmi"]["system"].update(serial=serial, uuid=str(id_at(at)))
        is_known = outcome in ("answered", "no-match")
        row = Attempt(
            id=id_at(at),
            received_at=at,
            outcome=outcome,
            source=f"192.0.2.{chance.randrange(10, 200)}",
            user_agent="proxmox-fetch-answer/9.2.7",
            token_name="" if outcome == "refused" else f"rack-{chance.randrange(1, 8)}",
            credential="header",
            identity=f"uuid {machine['dmi']['system']['uuid']}" if is_known else "",
            product=chance.choice(("pve", "pve", "pve", "pbs", "pmg", "pdm")) if is_known else "",
            release="9.2" if is_known else "",
            serial=serial if is_known else "",
            raw=json.dumps(machine) if is_known else "",
            reason=REASONS.get(outcome, ""),
        )
        if outcome == "answered":
            answer(row, at, chance)
        elif outcome == "no-match":
            row.status = "no-answer-found"
        yield row


REASONS = {
    "no-match": "No prepared config of this token matches, and none is its default.",
    "refused": "The secret is wrong.",
    "malformed": "The body is no JSON: unexpected end of data at line 1 column 1.",
}


def answer(row: Any, at: datetime, chance: random.Random) -> None:
    row.config_name = f"{row.token_name}-{chance.choice(('compute', 'storage'))}"
    row.answer_format, row.answer_digest = "toml", f"{chance.getrandbits(256):064x}"
    row.counters = {"installation_nr": chance.randrange(1, 900)}
    row.deadline_at = at + timedelta(minutes=60)
    row.status = "in-progress"
    if chance.random() < 0.97:
        row.status = "finished"
        row.finished_at = at + timedelta(seconds=chance.lognormvariate(6, 0.3))
        row.hook_data = {"fqdn": f"pve{row.counters['installation_nr']}.example.com"}


if __name__ == "__main__":
    import django

    django.setup()
    fill(*map(int, sys.argv[1:]))
