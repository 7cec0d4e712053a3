"""Names of audit events: `noun.verb-past`. A retired name stays here as a comment."""

from __future__ import annotations

from enum import StrEnum


class Event(StrEnum):
    LOGIN_SUCCEEDED = "login.succeeded"
    LOGIN_FAILED = "login.failed"
    LOGIN_LOCKED = "login.locked"
    SESSION_REFRESHED = "session.refreshed"
    SESSION_REFUSED = "session.refused"
    SESSION_REUSED = "session.reused"
    SESSION_REVOKED = "session.revoked"
    ACCESS_DENIED = "access.denied"
    AUTHENTICATION_FAILED = "authentication.failed"
    PASSWORD_CHANGED = "password.changed"  # noqa: S105 - the name of an event
    USER_CREATED = "user.created"
    USER_CHANGED = "user.changed"
    USER_DELETED = "user.deleted"
    USER_UNLOCKED = "user.unlocked"
    ROLE_CREATED = "role.created"
    ROLE_CHANGED = "role.changed"
    ROLE_DELETED = "role.deleted"
    BINDING_CREATED = "role-binding.created"
    BINDING_DELETED = "role-binding.deleted"
    WORKSPACE_CREATED = "workspace.created"
    WORKSPACE_CHANGED = "workspace.changed"
    WORKSPACE_DELETED = "workspace.deleted"
    AUDIT_PRUNED = "audit.pruned"
    AUDIT_EXPORTED = "audit.exported"
