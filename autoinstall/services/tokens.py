"""Answer tokens: created, changed, rotated, deleted."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts import audit
from accounts.actor import Actor
from autoinstall import keys
from autoinstall.documents import TokenChange, TokenCreate
from autoinstall.events import Event
from autoinstall.models import AnswerToken, PreparedConfig
from autoinstall.services.catalogue import lock_catalogue, note_change
from provisioning.errors import Conflict, Invalid, NotFound

# Raises PreconditionFailed, or Invalid, when the row is not what the caller has seen.
Precondition = Callable[[Any], None]
MOST_NAMED = 10
COLUMNS = {
    "comment": "comment",
    "enabled": "enabled",
    "expire-at": "expire_at",
    "source-cidrs": "source_cidrs",
    "max-uses": "max_uses",
    "allow-in-path": "allow_in_path",
    "allow-without-secret": "allow_without_secret",
}


def any_state(row: Any) -> None:
    """The precondition of somebody who has none."""


def create_token(*, wanted: TokenCreate, actor: Actor) -> tuple[AnswerToken, str]:
    """A new token and its secret, which nobody can read again. Raises Invalid or Conflict."""
    values = wanted.model_dump(by_alias=True, exclude_none=True)
    columns = {COLUMNS[key]: value for key, value in values.items() if key in COLUMNS}
    _check_networks(columns)
    with transaction.atomic():
        lock_catalogue()
        if AnswerToken.objects.filter(name=wanted.id).exists():
            raise Conflict(f"An answer token with the id {wanted.id} exists.")
        token = AnswerToken(name=wanted.id, created_by=actor.name, **columns)
        return _insert(token, actor, wanted.secret)


def _insert(
    token: AnswerToken, actor: Actor, given_secret: str | None = None
) -> tuple[AnswerToken, str]:
    """Inside a transaction that has locked the catalogue."""
    secret = given_secret or keys.new_token_secret()
    token.secret_digest = keys.digest(secret)
    token.save()
    token.generation = note_change(token)
    token.save(update_fields=["generation"])
    audit.record(Event.TOKEN_CREATED, actor=actor, target=token)
    return token, secret


def create_token_for_config(
    config: PreparedConfig, *, name: str, actor: Actor
) -> tuple[AnswerToken, str]:
    """The token of a config that named none; in the transaction that saves the config."""
    token = AnswerToken(
        name=name, created_by=actor.name, comment="Automatically generated.", enabled=True
    )
    made = _insert(token, actor)
    config.authorized_tokens.add(token)
    return made


def change_token(
    *, name: str, change: TokenChange, actor: Actor, precondition: Precondition = any_state
) -> tuple[AnswerToken, str | None]:
    """The changed token and, with `regenerate-secret`, its new secret: the old one ends with this
    transaction. What is both deleted and set is set. Raises NotFound, Invalid."""
    given = change.model_dump(by_alias=True, exclude_unset=True)
    with transaction.atomic():
        lock_catalogue()
        token = find_token(name)
        precondition(token)
        before = {column: getattr(token, column) for column in COLUMNS.values()}
        for unset in change.delete:
            setattr(token, COLUMNS[unset], [] if unset == "source-cidrs" else None)
        for field, column in COLUMNS.items():
            if field in given:
                setattr(token, column, given[field])
        after = {column: getattr(token, column) for column in COLUMNS.values()}
        _check_networks(after)
        changed = audit.changes(before, after)
        secret = _rotate(token, actor) if change.regenerate_secret else None
        if changed:
            audit.record(Event.TOKEN_CHANGED, actor=actor, target=token, data={"changed": changed})
        if changed or secret:
            token.generation = note_change(token)
            token.save(
                update_fields=[
                    *changed,
                    *(["secret_digest", "rotated_at"] if secret else []),
                    "generation",
                ]
            )
    return token, secret


def _rotate(token: AnswerToken, actor: Actor) -> str:
    secret = keys.new_token_secret()
    token.secret_digest = keys.digest(secret)
    token.rotated_at = timezone.now()
    audit.record(Event.TOKEN_ROTATED, actor=actor, target=token)
    return secret


def delete_token(*, name: str, actor: Actor, precondition: Precondition = any_state) -> None:
    """Raises NotFound, and Conflict while prepared configs use it."""
    with transaction.atomic():
        lock_catalogue()
        token = find_token(name)
        precondition(token)
        users = list(
            token.configs.order_by("name").values_list("name", flat=True)[: MOST_NAMED + 1]
        )
        if users:
            more = ", ..." if len(users) > MOST_NAMED else ""
            raise Conflict(
                f"The answer token {name} is in use by prepared configs: "
                f"{', '.join(users[:MOST_NAMED])}{more}."
            )
        note_change(token)
        audit.record(Event.TOKEN_DELETED, actor=actor, target=token)
        token.delete()


def find_token(name: str) -> AnswerToken:
    """Raises NotFound."""
    # PostgreSQL would not even compare a null character.
    token = AnswerToken.objects.filter(name=name).first() if "\x00" not in name else None
    if token is None:
        raise NotFound(f"There is no answer token {name!r}.")
    return token


def _check_networks(columns: dict[str, Any]) -> None:
    networks = columns.get("source_cidrs") or []
    for text in networks:
        try:
            network = ipaddress.ip_network(text)
        except ValueError:
            raise Invalid(
                f"{text!r} is no network such as 10.0.0.0/24 or 2001:db8::/64", field="source-cidrs"
            ) from None
        if columns.get("allow_without_secret") and network.prefixlen == 0:
            raise Invalid(
                f"{text!r} is everybody: without a secret the networks must be narrower",
                field="source-cidrs",
            )
    if columns.get("allow_without_secret") and not networks:
        raise Invalid(
            "needs source-cidrs: without a secret, and from anywhere, it would be no protection",
            field="allow-without-secret",
        )
