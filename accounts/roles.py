"""The catalogue of permissions and the four built-in roles.

Role sentences and the names `server_read` and `server_create` come from the published documents of
the Rust "Provisioning API Server"; the other names follow their pattern.
"""

from __future__ import annotations

from dataclasses import dataclass

ADMIN, OPERATOR, DEVELOPER, VIEWER = "Admin", "Operator", "Developer", "Viewer"


@dataclass(frozen=True)
class Permission:
    """What one may do. `is_scoped`: a binding for one workspace grants it there; the others mean
    the whole installation and need a binding for all workspaces."""

    name: str
    sentence: str
    is_scoped: bool


def _scoped(name: str, sentence: str) -> Permission:
    return Permission(name, sentence, is_scoped=True)


def _global(name: str, sentence: str) -> Permission:
    return Permission(name, sentence, is_scoped=False)


PERMISSIONS: dict[str, Permission] = {
    permission.name: permission
    for permission in (
        _scoped("server_read", "See servers"),
        _scoped("server_create", "Create servers"),
        _scoped("server_delete", "Delete servers"),
        _scoped("server_ssh", "Open an SSH session on servers"),
        _scoped("taskserv_read", "See taskservs"),
        _scoped("taskserv_create", "Install taskservs"),
        _scoped("taskserv_delete", "Remove taskservs"),
        _scoped("cluster_read", "See clusters"),
        _scoped("cluster_create", "Create clusters"),
        _scoped("cluster_delete", "Delete clusters"),
        _scoped("workflow_read", "See workflows"),
        _scoped("workflow_submit", "Submit workflows"),
        _scoped("workflow_cancel", "Cancel workflows"),
        _scoped("operation_read", "See operations and their logs"),
        _scoped("operation_cancel", "Cancel operations"),
        _scoped("operation_rerun", "Run operations again"),
        _scoped("workspace_read", "See workspaces"),
        _scoped("workspace_lock", "Keep a workspace for oneself"),
        _global("metrics_read", "Read the metrics"),
        _global("answer_token_read", "See answer tokens"),
        _global("answer_token_manage", "Create, change and delete answer tokens"),
        _global("prepared_config_read", "See prepared configs"),
        _global("prepared_config_manage", "Create, change and delete prepared configs"),
        _global("installation_read", "See installations and attempts"),
        _global("installation_manage", "Delete installations"),
        _global("workspace_manage", "Create, change and delete workspaces"),
        _global("user_manage", "Manage users, their bindings and sessions"),
        _global("role_manage", "Manage roles"),
        _global("audit_read", "Read the audit trail"),
        _global("system_admin", "Administer the system"),
    )
}

_VIEWER = frozenset(name for name in PERMISSIONS if name.endswith("_read")) - {"audit_read"}
_DEVELOPER = _VIEWER | {"server_ssh"}
_OPERATOR = _DEVELOPER | {
    name
    for name in PERMISSIONS
    if name.startswith(("server_", "taskserv_", "cluster_", "workflow_", "operation_"))
    or name
    in ("workspace_lock", "answer_token_manage", "prepared_config_manage", "installation_manage")
}

BUILT_IN_ROLES: dict[str, tuple[str, frozenset[str]]] = {
    ADMIN: (
        "Full system access including all operations, workspace management and system administration",
        frozenset(PERMISSIONS),
    ),
    OPERATOR: (
        (
            "Infrastructure operations including create/delete servers, taskservs, clusters, and "
            "workflow management"
        ),
        _OPERATOR,
    ),
    DEVELOPER: (
        "Read access plus SSH to servers, view workflows and operations",
        _DEVELOPER,
    ),
    VIEWER: ("Read-only access to all resources and status information", _VIEWER),
}
