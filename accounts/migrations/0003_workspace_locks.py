"""The policy of workspaces, and who may keep one for himself."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models

LOCKERS = ("Admin", "Operator")


def allow(apps: Any, schema_editor: Any) -> None:
    for role in apps.get_model("accounts", "Role").objects.filter(
        is_built_in=True, name__in=LOCKERS
    ):
        role.permissions = sorted({*role.permissions, "workspace_lock"})
        role.save()


def forbid(apps: Any, schema_editor: Any) -> None:
    for role in apps.get_model("accounts", "Role").objects.all():
        role.permissions = [name for name in role.permissions if name != "workspace_lock"]
        role.save()


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_built_in_roles")]
    operations = [
        migrations.AddField(
            model_name="workspace",
            name="concurrency_policy",
            field=models.CharField(
                choices=[
                    ("queue", "Queue: wait for the other to end"),
                    ("reject", "Reject: refuse the newer one"),
                    ("supersede", "Supersede: cancel the queued older one"),
                ],
                default="queue",
                max_length=9,
            ),
        ),
        migrations.RunPython(allow, forbid),
    ]
