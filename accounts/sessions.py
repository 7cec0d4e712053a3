"""Login, refresh, logout and password: the life of a session."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.contrib.auth import authenticate
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from prometheus_client import Counter
from rest_framework_simplejwt.settings import api_settings

from accounts import audit, authentication, lockout, passwords, tokens
from accounts.actor import Actor
from accounts.events import Event
from accounts.models import RefreshSession, User
from provisioning.errors import Conflict, Invalid, NotFound, Unauthorized

WRONG_LOGIN = "The user name or the password is wrong."
REFUSED_REFRESH = "The refresh token is not valid any more: log in again."

login_failures = Counter("provisioning_login_failures", "Logins refused, by reason", ["reason"])


def verify_login(
    *, username: str, password: str, actor: Actor, request: HttpRequest | None = None
) -> User:
    """The user with this name and password; every refusal is counted and audited.

    Raises Unauthorized (one sentence for every cause) or TooManyRequests. API and console use it.
    """
    try:
        lockout.refuse_if_locked(username, actor.source)
    except Exception:
        login_failures.labels(reason="locked").inc()
        _record_failure(username, actor, "locked")
        raise
    user = authenticate(request, username=username, password=password)
    if not isinstance(user, User):
        login_failures.labels(reason="password").inc()
        with transaction.atomic():
            _record_failure(username, actor, "password")
            lockout.count_failure(username, actor)
        raise Unauthorized(WRONG_LOGIN)
    lockout.forget_failures(username, actor.source)
    return user


def _record_failure(username: str, actor: Actor, reason: str) -> None:
    audit.record(
        Event.LOGIN_FAILED,
        actor=replace(actor, name="anonymous", user=None),
        target_name=username[:150],
        outcome=audit.Outcome.DENIED,
        data={"reason": reason},
    )


def log_in(*, username: str, password: str, actor: Actor) -> dict[str, Any]:
    """Verify and open a session; returns the token pair."""
    user = verify_login(username=username, password=password, actor=actor)
    with transaction.atomic():
        now = lock_user(user.pk)
        if now is None or not now.is_active or now.password != user.password:
            raise Unauthorized(WRONG_LOGIN)  # changed while the password was being checked
        session = _open_session(now, uuid.uuid4(), actor)
        User.objects.filter(pk=user.pk).update(last_login=timezone.now())
        audit.record(
            Event.LOGIN_SUCCEEDED,
            actor=replace(actor, name=user.username, user=user),
            target=user,
            data={"session": session.family.hex},
        )
    return tokens.issue_pair(session)


def refresh(*, refresh_token: str, actor: Actor) -> dict[str, Any]:
    """Spend a refresh token for the next pair.

    Of several concurrent tries one wins, by the conditional UPDATE; presenting a spent one revokes
    the whole family, because one of its two holders is a thief. Raises Unauthorized.
    """
    try:
        payload = tokens.parse_refresh(refresh_token)
        session_id = uuid.UUID(str(payload.get("jti")))
    except (Unauthorized, ValueError) as error:
        audit.record(Event.SESSION_REFUSED, actor=actor, outcome=audit.Outcome.DENIED)
        sentence = error.message if isinstance(error, Unauthorized) else REFUSED_REFRESH
        raise Unauthorized(sentence) from None
    with transaction.atomic():
        pair = _rotate(session_id, actor)
    if pair is None:
        raise Unauthorized(REFUSED_REFRESH)
    return pair


def lock_user(user_id: int) -> User | None:
    """The row that whoever opens or ends sessions of a user takes first, in a transaction.

    Without it a refresh that has not committed yet would survive the revocation of its family:
    PostgreSQL's UPDATE does not see the row that the refresh inserts.
    """
    return User.objects.select_for_update(no_key=True).filter(pk=user_id).first()


def _rotate(session_id: uuid.UUID, actor: Actor) -> dict[str, Any] | None:
    owner_id = RefreshSession.objects.filter(pk=session_id).values_list("user", flat=True).first()
    if owner_id is not None:
        lock_user(owner_id)
    now = timezone.now()
    # No join: Django would update by a subselect, and PostgreSQL, when it has waited for another
    # refresh, looks again at the row's own columns only; both would succeed.
    live = RefreshSession.objects.filter(
        pk=session_id,
        spent_at=None,
        revoked_at=None,
        expires_at__gt=now,
        user__in=User.objects.filter(is_active=True),
    )
    won = live.update(spent_at=now)
    session = RefreshSession.objects.select_related("user").filter(pk=session_id).first()
    if session is None:
        audit.record(Event.SESSION_REFUSED, actor=actor, outcome=audit.Outcome.DENIED)
        return None
    owner = replace(actor, name=session.user.username, user=session.user)
    data = {"session": session.family.hex}
    if not won:
        event = Event.SESSION_REUSED if session.spent_at else Event.SESSION_REFUSED
        if session.spent_at:
            _revoke(RefreshSession.objects.filter(family=session.family), now)
        audit.record(
            event, actor=owner, target=session.user, outcome=audit.Outcome.DENIED, data=data
        )
        return None
    following = _open_session(session.user, session.family, actor)
    audit.record(Event.SESSION_REFRESHED, actor=owner, target=session.user, data=data)
    return tokens.issue_pair(following)


def _open_session(user: User, family: uuid.UUID, actor: Actor) -> RefreshSession:
    return RefreshSession.objects.create(
        user=user,
        family=family,
        expires_at=timezone.now() + api_settings.REFRESH_TOKEN_LIFETIME,
        source=actor.source,
        user_agent=actor.user_agent,
    )


def _revoke(sessions: Any, now: datetime) -> int:
    return int(sessions.filter(revoked_at=None).update(revoked_at=now))


def log_out(*, family: uuid.UUID, actor: Actor) -> None:
    """End one session: its refresh token at once, its access tokens within five seconds."""
    assert actor.user
    with transaction.atomic():
        lock_user(actor.user.pk)
        _revoke(RefreshSession.objects.filter(family=family, user=actor.user), timezone.now())
        audit.record(
            Event.SESSION_REVOKED, actor=actor, target=actor.user, data={"session": family.hex}
        )
    authentication.forget_cached_people()


CONSOLE = "console"  # the `session` of events at the console, whose sessions are Django's


def record_console_login(actor: Actor) -> None:
    """Somebody has come in by the login page."""
    audit.record(Event.LOGIN_SUCCEEDED, actor=actor, target=actor.user, data={"session": CONSOLE})


def record_console_logout(actor: Actor) -> None:
    audit.record(Event.SESSION_REVOKED, actor=actor, target=actor.user, data={"session": CONSOLE})


def revoke_session(*, family: uuid.UUID, user: User, actor: Actor) -> None:
    """An admin ends one session of somebody, as its owner does by `log_out`. Raises Conflict when it
    has ended already."""
    with transaction.atomic():
        lock_user(user.pk)
        now = timezone.now()
        mine = RefreshSession.objects.filter(family=family, user=user)
        if not (live_sessions(now) & mine).exists():
            raise Conflict("This session has ended already.")
        _revoke(mine, now)  # the spent ones, too: access tokens live as long as any is not revoked
        audit.record(Event.SESSION_REVOKED, actor=actor, target=user, data={"session": family.hex})
        transaction.on_commit(authentication.forget_cached_people)


def revoke_all_sessions(*, user: User, actor: Actor) -> None:
    """An admin ends every session of somebody: tokens within five seconds, the console at once."""
    with transaction.atomic():
        locked = lock_user(user.pk)
        if locked is None:
            raise NotFound("This user is gone.")
        end_all_sessions(locked)
        audit.record(Event.SESSION_REVOKED, actor=actor, target=locked, data={"session": "all"})


def live_sessions(now: datetime) -> QuerySet[RefreshSession]:
    """Of each session that goes on the one row whose token still works."""
    return RefreshSession.objects.filter(spent_at=None, revoked_at=None, expires_at__gt=now)


def end_all_sessions(user: User) -> None:
    """Revoke every refresh token of a user and outdate his access tokens.

    Call in a transaction that has locked the user's row (see `lock_user`).
    """
    _revoke(RefreshSession.objects.filter(user=user), timezone.now())
    user.token_version += 1
    user.save(update_fields=["token_version", "updated_at"])
    transaction.on_commit(authentication.forget_cached_people)


def change_password(*, user: User, old_password: str, new_password: str, actor: Actor) -> None:
    """A person changes his own password: the old one is asked for, every session ends.

    Raises Invalid for a wrong old password (counted like a failed login) or a weak new one.
    """
    check_present_password(user=user, password=old_password, actor=actor)
    passwords.check(new_password, user, field="new_password")
    set_password(user=user, new_password=new_password, actor=actor)


def check_present_password(*, user: User, password: str, actor: Actor) -> None:
    """Raise Invalid for a wrong one (counted like a failed login), TooManyRequests when locked."""
    lockout.refuse_if_locked(user.username, actor.source)
    if not user.check_password(password):
        with transaction.atomic():
            _record_failure(user.username, actor, "password")
            lockout.count_failure(user.username, actor)
        raise Invalid("is not your present password", field="old_password")


def set_password(*, user: User, new_password: str, actor: Actor) -> None:
    """Store a new password and end every session of the user. The caller has checked it."""
    with transaction.atomic():
        user = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        user.set_password(new_password)
        user.save(update_fields=["password", "updated_at"])
        end_all_sessions(user)
        audit.record(Event.PASSWORD_CHANGED, actor=actor, target=user)
