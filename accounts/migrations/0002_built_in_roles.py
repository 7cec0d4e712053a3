"""The four built-in roles, as `accounts.roles` had them when this was written."""

from __future__ import annotations

from typing import Any

from django.db import migrations

READ = [
    "server_read",
    "taskserv_read",
    "cluster_read",
    "workflow_read",
    "operation_read",
    "workspace_read",
    "metrics_read",
    "answer_token_read",
    "prepared_config_read",
    "installation_read",
]
DEVELOP = [*READ, "server_ssh"]
OPERATE = [
    *DEVELOP,
    "server_create",
    "server_delete",
    "taskserv_create",
    "taskserv_delete",
    "cluster_create",
    "cluster_delete",
    "workflow_submit",
    "workflow_cancel",
    "operation_cancel",
    "operation_rerun",
    "answer_token_manage",
    "prepared_config_manage",
    "installation_manage",
]
ADMINISTER = [
    *OPERATE,
    "workspace_manage",
    "user_manage",
    "role_manage",
    "audit_read",
    "system_admin",
]
ROLES = [
    (
        "Admin",
        ADMINISTER,
        "Full system access including all operations, workspace management and system administration",
    ),
    (
        "Operator",
        OPERATE,
        "Infrastructure operations including create/delete servers, taskservs, clusters, and workflow management",
    ),
    ("Developer", DEVELOP, "Read access plus SSH to servers, view workflows and operations"),
    ("Viewer", READ, "Read-only access to all resources and status information"),
]


def create(apps: Any, schema_editor: Any) -> None:
    role = apps.get_model("accounts", "Role")
    for name, permissions, description in ROLES:
        role.objects.create(
            name=name,
            permissions=sorted(permissions),
            description=description,
            is_built_in=True,
        )


def remove(apps: Any, schema_editor: Any) -> None:
    apps.get_model("accounts", "Role").objects.filter(is_built_in=True).delete()


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]
    operations = [migrations.RunPython(create, remove)]
