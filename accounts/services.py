"""Users, roles, role bindings and workspaces: one act, one function.

Two rules hold everywhere: nobody gives away, or takes over, more than he holds himself; and the last
active user who is Admin everywhere cannot be removed.

Rows are locked with `no_key`: the audit event of an actor refers to his row, and on PostgreSQL two
admins who change each other would else wait for each other without end.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction

from accounts import audit, authentication, lockout, passwords, sessions
from accounts.actor import RESERVED_NAMES, Actor
from accounts.events import Event
from accounts.models import Role, RoleBinding, User, Workspace
from accounts.roles import ADMIN
from provisioning.errors import Conflict, Forbidden, Invalid

# --- What every change needs -------------------------------------------------------------------


def _check_row(row: models.Model) -> None:
    """Model rules as one sentence; a broken uniqueness is a Conflict."""
    try:
        row.clean_fields()
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        raise Invalid(messages[0], field=field) from None
    try:
        row.validate_unique()
        row.validate_constraints()
    except ValidationError as error:
        raise Conflict(error.messages[0]) from None


def _save(row: models.Model, taken: str, update_fields: list[str] | None = None) -> None:
    """Save; a race for the same name is a Conflict like the check before it."""
    try:
        with transaction.atomic():
            row.save(update_fields=update_fields)
    except IntegrityError:
        raise Conflict(taken) from None


def _refuse_escalation(actor: Actor, permissions: frozenset[str], workspace_id: int | None) -> None:
    if actor.is_system or actor.grants.covers(permissions, workspace_id):
        return
    missing = sorted(permissions - actor.grants.everywhere)
    raise Forbidden(f"You cannot give what you do not hold yourself: {', '.join(missing)}.")


def _refuse_to_touch_the_mightier(actor: Actor, user: User) -> None:
    """Changing somebody's password or activity is a way to become him."""
    if actor.is_system or actor.user == user:
        return
    for binding in RoleBinding.objects.filter(user=user).select_related("role"):
        _refuse_escalation(actor, frozenset(binding.role.permissions), binding.workspace_id)


def _refuse_last_admin(lost: models.QuerySet[RoleBinding]) -> None:
    """Raise Conflict when these bindings are the last of an active Admin everywhere.

    The built-in Admin role is locked first: two admins who remove each other at the same time would
    else both pass.
    """
    Role.objects.select_for_update(no_key=True).get(name=ADMIN)
    admins = RoleBinding.objects.filter(
        role__name=ADMIN, role__is_built_in=True, workspace=None, user__is_active=True
    )
    if admins.exists() and not admins.exclude(pk__in=lost.values("pk")).exists():
        raise Conflict("This is the last active Admin: give somebody else that role first.")


# --- Users -------------------------------------------------------------------------------------


def create_user(
    *, username: str, password: str, email: str = "", full_name: str = "", actor: Actor
) -> User:
    """A new active user without any role. Raises Invalid or Conflict."""
    if username.lower() in RESERVED_NAMES:
        raise Invalid(f"{username!r} is reserved for the server itself", field="username")
    user = User(username=username, email=email, full_name=full_name)
    passwords.check(password, user)
    user.set_password(password)
    _check_row(user)
    with transaction.atomic():
        _save(user, f"A user named {username} exists.")
        audit.record(Event.USER_CREATED, actor=actor, target=user, data={"email": email})
    return user


def change_user(*, user: User, actor: Actor, **values: Any) -> User:
    """Change `email`, `full_name` or `is_active`; deactivating ends every session."""
    with transaction.atomic():
        user = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        _refuse_to_touch_the_mightier(actor, user)
        before = {name: getattr(user, name) for name in values}
        for name, value in values.items():
            setattr(user, name, value)
        _check_row(user)
        changed = audit.changes(before, values)
        if not changed:
            return user
        if changed.get("is_active") == [True, False]:
            _refuse_last_admin(RoleBinding.objects.filter(user=user))
        user.save(update_fields=[*changed, "updated_at"])
        if "is_active" in changed:
            sessions.end_all_sessions(user)
        audit.record(Event.USER_CHANGED, actor=actor, target=user, data={"changed": changed})
    return user


def set_user_password(*, user: User, new_password: str, actor: Actor) -> None:
    """Give somebody a new password (an admin's act); ends his sessions and his lockouts."""
    _refuse_to_touch_the_mightier(actor, user)
    passwords.check(new_password, user)
    with transaction.atomic():
        sessions.set_password(user=user, new_password=new_password, actor=actor)
        lockout.forget_all_failures(user.username)


def delete_user(*, user: User, actor: Actor) -> None:
    if actor.user == user:
        raise Conflict("You cannot delete yourself.")
    with transaction.atomic():
        _refuse_to_touch_the_mightier(actor, user)
        _refuse_last_admin(RoleBinding.objects.filter(user=user))
        audit.record(Event.USER_DELETED, actor=actor, target=user)
        user.delete()
        transaction.on_commit(authentication.forget_cached_people)


# --- Roles -------------------------------------------------------------------------------------


def create_role(*, name: str, permissions: list[str], description: str = "", actor: Actor) -> Role:
    role = Role(name=name, description=description, permissions=sorted(set(permissions)))
    _check_row(role)
    _refuse_escalation(actor, frozenset(permissions), None)
    with transaction.atomic():
        _save(role, f"A role named {name} exists.")
        audit.record(
            Event.ROLE_CREATED, actor=actor, target=role, data={"permissions": role.permissions}
        )
    return role


def change_role(*, role: Role, actor: Actor, **values: Any) -> Role:
    """Change `name`, `description` or `permissions` of a role that is not built in."""
    with transaction.atomic():
        role = Role.objects.select_for_update(no_key=True).get(pk=role.pk)
        _refuse_built_in(role)
        if "permissions" in values:
            values["permissions"] = sorted(set(values["permissions"]))
        before = {name: getattr(role, name) for name in values}
        held = frozenset(role.permissions)
        for name, value in values.items():
            setattr(role, name, value)
        _check_row(role)
        # Neither what it would hold nor what it holds now: taking from the mightier is no less.
        _refuse_escalation(actor, frozenset(role.permissions) | held, None)
        changed = audit.changes(before, values)
        if changed:
            _save(role, f"A role named {role.name} exists.", [*changed, "updated_at"])
            audit.record(Event.ROLE_CHANGED, actor=actor, target=role, data={"changed": changed})
            transaction.on_commit(authentication.forget_cached_people)
    return role


def delete_role(*, role: Role, actor: Actor) -> None:
    _refuse_built_in(role)
    _refuse_escalation(actor, frozenset(role.permissions), None)
    with transaction.atomic():
        audit.record(Event.ROLE_DELETED, actor=actor, target=role)
        try:
            with transaction.atomic():
                role.delete()
        except models.ProtectedError:
            raise Conflict(f"The role {role.name} is still bound to users.") from None


def _refuse_built_in(role: Role) -> None:
    if role.is_built_in:
        raise Conflict(f"The role {role.name} is built in and stays as it is.")


# --- Role bindings -----------------------------------------------------------------------------


def create_binding(
    *, user: User, role: Role, workspace: Workspace | None = None, actor: Actor
) -> RoleBinding:
    """Give a user a role, in one workspace or (None) everywhere."""
    _refuse_escalation(actor, frozenset(role.permissions), workspace.pk if workspace else None)
    binding = RoleBinding(user=user, role=role, workspace=workspace)
    with transaction.atomic():
        _save(binding, f"{binding} already.")
        audit.record(
            Event.BINDING_CREATED,
            actor=actor,
            target=binding,
            workspace=workspace.name if workspace else "",
            data={"user": user.username, "role": role.name},
        )
        transaction.on_commit(authentication.forget_cached_people)
    return binding


def delete_binding(*, binding: RoleBinding, actor: Actor) -> None:
    _refuse_escalation(actor, frozenset(binding.role.permissions), binding.workspace_id)
    with transaction.atomic():
        _refuse_last_admin(RoleBinding.objects.filter(pk=binding.pk))
        audit.record(
            Event.BINDING_DELETED,
            actor=actor,
            target=binding,
            workspace=binding.workspace.name if binding.workspace else "",
            data={"user": binding.user.username, "role": binding.role.name},
        )
        binding.delete()
        transaction.on_commit(authentication.forget_cached_people)


# --- Workspaces --------------------------------------------------------------------------------


def create_workspace(*, name: str, actor: Actor, **values: str) -> Workspace:
    """`values` are `description` and `concurrency_policy`."""
    workspace = Workspace(name=name, **values)
    _check_row(workspace)
    with transaction.atomic():
        _save(workspace, f"A workspace named {name} exists.")
        audit.record(Event.WORKSPACE_CREATED, actor=actor, target=workspace, workspace=name)
    return workspace


def change_workspace(*, workspace: Workspace, actor: Actor, **values: str) -> Workspace:
    """Change `description` or `concurrency_policy`; the name is what the CLI knows and stays."""
    with transaction.atomic():
        workspace = Workspace.objects.select_for_update(no_key=True).get(pk=workspace.pk)
        before = {key: getattr(workspace, key) for key in values}
        for key, value in values.items():
            setattr(workspace, key, value)
        _check_row(workspace)
        changed = audit.changes(before, values)
        if changed:
            workspace.save(update_fields=[*changed, "updated_at"])
            audit.record(
                Event.WORKSPACE_CHANGED,
                actor=actor,
                target=workspace,
                workspace=workspace.name,
                data={"changed": changed},
            )
    return workspace


def delete_workspace(*, workspace: Workspace, actor: Actor) -> None:
    """Delete an empty workspace; while anything lives in it the database refuses."""
    try:
        with transaction.atomic():
            audit.record(
                Event.WORKSPACE_DELETED, actor=actor, target=workspace, workspace=workspace.name
            )
            workspace.delete()
            transaction.on_commit(authentication.forget_cached_people)
    except (models.ProtectedError, IntegrityError):
        # The second: something came to live in it just now. PostgreSQL says so at the commit.
        raise Conflict(
            f"The workspace {workspace.name} is in use: delete its servers, taskservs and "
            "clusters, and let its operations end, first."
        ) from None
