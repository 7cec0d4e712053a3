"""Give the operations that are there already their subject, in short transactions."""

from __future__ import annotations

from typing import Any

from django.db import migrations
from django.db.models import Value
from django.db.models.fields.json import KT
from django.db.models.functions import Coalesce, Left

BATCH_ROWS = 10_000


def fill(apps: Any, schema_editor: Any) -> None:
    rows = apps.get_model("operations", "Operation").objects.using(schema_editor.connection.alias)
    name = Left(Coalesce(KT("params__hostname"), KT("params__name"), Value("")), 253)
    left = rows.order_by("pk")
    while batch := list(left.values_list("pk", flat=True)[:BATCH_ROWS]):
        rows.filter(pk__gte=batch[0], pk__lte=batch[-1], subject="").update(subject=name)
        left = rows.order_by("pk").filter(pk__gt=batch[-1])


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("operations", "0004_operation_subject")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
