"""The name that an operation works on, as a column."""

from __future__ import annotations

import importlib
from typing import Any

from django.apps import apps
from django.db import connection

from accounts.models import Workspace
from operations.models import Operation
from operations.services.ending import Ending, end
from tests.factories import make_operation

NAMELESS = {"provider": "p", "plan": "q"}


def test_the_subject_is_the_name_in_the_parameters(workspace: Workspace) -> None:
    server = make_operation(workspace, params=NAMELESS | {"hostname": "web-01"})
    cluster = make_operation(workspace, kind="cluster_create", params={"name": "k8s"})

    assert Operation.objects.get(pk=server.pk).subject == "web-01"
    assert Operation.objects.get(pk=cluster.pk).subject == "k8s"


def test_it_is_what_the_cli_chose_when_nobody_named_it(workspace: Workspace) -> None:
    operation = make_operation(workspace, params=NAMELESS)
    rows = Operation.objects.filter(pk=operation.pk)
    assert operation.subject == ""

    end(operation, Ending("completed", result={"hostname": "chosen-1"}), leaving="pending")

    assert rows.get().subject == "chosen-1"


def test_the_migration_fills_what_was_there_before(workspace: Workspace, monkeypatch: Any) -> None:
    migration = importlib.import_module("operations.migrations.0005_fill_operation_subject")
    monkeypatch.setattr(migration, "BATCH_ROWS", 2)
    names = [f"web-{number}" for number in range(5)]
    for name in names:
        make_operation(workspace, params=NAMELESS | {"hostname": name})
    make_operation(workspace, kind="cluster_create", params={"name": "k8s"})
    make_operation(workspace, params=NAMELESS)
    Operation.objects.update(subject="")

    migration.fill(apps, connection.SchemaEditorClass(connection))

    found = Operation.objects.order_by("id").values_list("subject", flat=True)
    assert list(found) == [*names, "k8s", ""]
