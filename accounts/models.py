"""Who may do what where, the sessions of people, and the audit trail."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts.roles import PERMISSIONS
from provisioning.jsonb import Decoder

NAME_RULE = (
    "must begin with a letter or digit and hold only letters, digits, '.', '_' and '-' "
    "(at most 63 characters)"
)
validate_name = RegexValidator(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z", NAME_RULE)
USERNAME_RULE = (
    "must begin with a letter or digit and hold only letters, digits, '.', '_', '@', '+' and '-' "
    "(at most 150 characters)"
)
validate_username = RegexValidator(r"\A[A-Za-z0-9][A-Za-z0-9._@+-]{0,149}\Z", USERNAME_RULE)


def is_scoped(permission: str) -> bool:
    """Whether a binding for one workspace grants it; a name of another version grants nothing."""
    return permission in PERMISSIONS and PERMISSIONS[permission].is_scoped


@dataclass(frozen=True)
class Grants:
    """What somebody holds: permissions everywhere, and permissions for single workspaces (by id)."""

    everywhere: frozenset[str] = frozenset()
    by_workspace: dict[int, frozenset[str]] = field(default_factory=dict)

    def allows(self, permission: str, workspace_id: int | None = None) -> bool:
        """In this workspace; without one: anywhere at all (for global permissions: everywhere)."""
        if permission in self.everywhere:
            return True
        if not is_scoped(permission):
            return False
        if workspace_id is not None:
            return permission in self.by_workspace.get(workspace_id, frozenset())
        return any(permission in held for held in self.by_workspace.values())

    def workspaces_for(self, permission: str) -> frozenset[int] | None:
        """The ids of the workspaces in which it is held; None means all."""
        if permission in self.everywhere:
            return None
        return frozenset(key for key, held in self.by_workspace.items() if permission in held)

    def covers(self, permissions: frozenset[str], workspace_id: int | None) -> bool:
        """Whether somebody with these grants may give these permissions away (there, where only the
        scoped ones of them will count)."""
        if workspace_id is None:
            return permissions <= self.everywhere
        counting = {name for name in permissions if is_scoped(name)}
        return counting <= self.everywhere | self.by_workspace.get(workspace_id, frozenset())

    @property
    def is_empty(self) -> bool:
        return not self.everywhere and not self.by_workspace


class UserManager(BaseUserManager["User"]):
    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(username__iexact=username)


class User(AbstractBaseUser):
    """A person. What he may do comes from role bindings alone; there is no superuser flag.

    `token_version` is in every access token: raising it ends all of them within five seconds.
    """

    username = models.CharField(max_length=150, unique=True, validators=[validate_username])
    email = models.EmailField(blank=True, default="")
    full_name = models.CharField(max_length=150, blank=True, default="")
    is_active = models.BooleanField(default=True, help_text="Clear it to lock the person out.")
    token_version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        ordering = ("id",)
        constraints = [
            models.UniqueConstraint(
                Lower("username"),
                name="user_username_unique",
                violation_error_message="A user of this name exists.",
            )
        ]

    def __str__(self) -> str:
        return self.username

    @property
    def grants(self) -> Grants:
        """Read once per object; the API's objects live at most five seconds."""
        if not hasattr(self, "_grants"):
            self._grants = read_grants(self)
        return self._grants

    @property
    def is_staff(self) -> bool:
        """Whoever holds any role may open the console; its pages ask for their own permission."""
        return self.is_active and not self.grants.is_empty

    def has_perm(self, permission: str, workspace: Workspace | None = None) -> bool:
        from accounts.backends import RoleBackend

        return RoleBackend().has_perm(self, permission, workspace)

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """Ends the sessions of the console, too, whenever the access tokens end."""
        value = f"{self.password}:{self.token_version}"
        return salted_hmac("accounts.session", value, secret=secret, algorithm="sha256").hexdigest()

    def has_module_perms(self, app_label: str) -> bool:
        return self.is_staff


class Workspace(models.Model):
    """A named set of servers, taskservs and clusters; the CLI's `--infra`."""

    class ConcurrencyPolicy(models.TextChoices):
        """What becomes of an operation on something that another one is queued for or running on."""

        QUEUE = "queue", "Queue: wait for the other to end"
        REJECT = "reject", "Reject: refuse the newer one"
        SUPERSEDE = "supersede", "Supersede: cancel the queued older one"

    name = models.CharField(max_length=63, unique=True, validators=[validate_name])
    description = models.CharField(max_length=255, blank=True, default="")
    concurrency_policy = models.CharField(
        max_length=9, choices=ConcurrencyPolicy, default=ConcurrencyPolicy.QUEUE
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return self.name


def validate_permissions(value: object) -> None:
    if not isinstance(value, list) or any(name not in PERMISSIONS for name in value):
        unknown = (
            [name for name in value if name not in PERMISSIONS]
            if isinstance(value, list)
            else value
        )
        raise ValidationError(f"{unknown!r} is no list of known permissions.")


class Role(models.Model):
    """A named list of permissions. The four built-in ones come by migration and stay as they are."""

    name = models.CharField(max_length=63, unique=True, validators=[validate_name])
    description = models.CharField(max_length=255, blank=True, default="")
    permissions = models.JSONField(default=list, validators=[validate_permissions])
    is_built_in = models.BooleanField(default=False, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return self.name


class RoleBinding(models.Model):
    """Ties a user to a role, in one workspace or (workspace empty) everywhere."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="bindings")
    role = models.ForeignKey(Role, on_delete=models.PROTECT, related_name="bindings")
    workspace = models.ForeignKey(
        Workspace,
        on_delete=models.CASCADE,
        related_name="bindings",
        null=True,
        blank=True,
        help_text="Empty: everywhere.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("id",)
        constraints = [
            models.UniqueConstraint(
                fields=("user", "role", "workspace"), name="binding_unique_in_workspace"
            ),
            models.UniqueConstraint(
                fields=("user", "role"),
                condition=models.Q(workspace=None),
                name="binding_unique_everywhere",
            ),
        ]

    def __str__(self) -> str:
        where = f"in {self.workspace}" if self.workspace else "everywhere"
        return f"{self.user} is {self.role} {where}"


def read_grants(user: User) -> Grants:
    """One query: all permissions of the user's bindings, by place."""
    everywhere: set[str] = set()
    by_workspace: dict[int, frozenset[str]] = {}
    rows: Iterable[tuple[int | None, list[str]]] = RoleBinding.objects.filter(
        user=user
    ).values_list("workspace_id", "role__permissions")
    for workspace_id, permissions in rows:
        if workspace_id is None:
            everywhere.update(permissions)
        else:
            held = {name for name in permissions if is_scoped(name)}
            by_workspace[workspace_id] = by_workspace.get(workspace_id, frozenset()) | held
    return Grants(everywhere=frozenset(everywhere), by_workspace=by_workspace)


class RefreshSession(models.Model):
    """One refresh token: its `id` is the token's `jti`. Rotation spends a row and makes the next of
    the same `family`; a family is one login, and the `sid` of its access tokens.

    A row is live while `spent_at` and `revoked_at` are empty and `expires_at` is ahead. Spending is
    one conditional UPDATE, so of eight concurrent refreshes exactly one succeeds.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    family = models.UUIDField(db_index=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="sessions")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(db_index=True)
    spent_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    source = models.CharField(max_length=45, blank=True, default="")
    user_agent = models.CharField(max_length=255, blank=True, default="")

    class Meta:
        ordering = ("-created_at",)
        verbose_name = "session"

    def __str__(self) -> str:
        return f"session of {self.user_id} since {self.created_at:%Y-%m-%d %H:%M}"


class LoginThrottle(models.Model):
    """Failed logins of one name from one source address; `locked_until` refuses further tries."""

    username = models.CharField(max_length=150)
    source = models.CharField(max_length=45, blank=True, default="")
    failures = models.PositiveIntegerField(default=0)
    first_failure_at = models.DateTimeField(default=timezone.now)
    locked_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "lockout"
        constraints = [
            models.UniqueConstraint(fields=("username", "source"), name="throttle_unique")
        ]

    def __str__(self) -> str:
        return f"{self.username} from {self.source or 'unknown'}"


class AuditEvent(models.Model):
    """One thing that happened, written in the transaction of the change it describes.

    Append-only. Actor and target are kept as text, so that the row still tells its story when they
    are gone; everything in the row is fixed when it is written and ordered by `id`.
    """

    class Outcome(models.TextChoices):
        SUCCESS = "success"
        DENIED = "denied"
        FAILED = "failed"

    occurred_at = models.DateTimeField(default=timezone.now, db_index=True)
    event = models.CharField(max_length=64, db_index=True)
    outcome = models.CharField(max_length=8, choices=Outcome, default=Outcome.SUCCESS)
    actor = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    actor_name = models.CharField(max_length=150, db_index=True)
    target_type = models.CharField(max_length=32, blank=True, default="")
    target_id = models.CharField(max_length=64, blank=True, default="", db_index=True)
    target_name = models.CharField(max_length=255, blank=True, default="")
    workspace = models.CharField(max_length=63, blank=True, default="", db_index=True)
    source = models.CharField(max_length=45, blank=True, default="")
    user_agent = models.CharField(max_length=255, blank=True, default="")
    request_id = models.CharField(max_length=128, blank=True, default="", db_index=True)
    data: models.JSONField[Any] = models.JSONField(default=dict, blank=True, decoder=Decoder)

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.event} by {self.actor_name}"
