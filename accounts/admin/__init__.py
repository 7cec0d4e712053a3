"""Console pages of people, workspaces and the audit trail; every act is the API's service."""

from __future__ import annotations

from accounts.admin.bindings import RoleBindingAdmin
from accounts.admin.events import AuditEventAdmin
from accounts.admin.lockouts import LoginThrottleAdmin
from accounts.admin.roles import RoleAdmin
from accounts.admin.sessions import RefreshSessionAdmin
from accounts.admin.users import UserAdmin
from accounts.admin.workspaces import WorkspaceAdmin

__all__ = [
    "AuditEventAdmin",
    "LoginThrottleAdmin",
    "RefreshSessionAdmin",
    "RoleAdmin",
    "RoleBindingAdmin",
    "UserAdmin",
    "WorkspaceAdmin",
]
