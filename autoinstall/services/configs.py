"""Prepared configs: created, changed, deleted; checked by the installer's rules when they are saved."""

from __future__ import annotations

import secrets as random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from django.db import transaction
from django.utils import timezone
from passlib.hash import sha512_crypt

from accounts import audit
from accounts.actor import Actor
from autoinstall import keys
from autoinstall.documents import DELETABLE, MAX_COUNTER, ConfigDocument, Errors, Secrets, read
from autoinstall.events import Event
from autoinstall.models import (
    AnswerToken,
    AuthorizedToken,
    HeldValue,
    PreparedConfig,
    TemplateCounter,
)
from autoinstall.services import checks
from autoinstall.services.catalogue import lock_catalogue, note_change
from autoinstall.services.tokens import Precondition, any_state, create_token_for_config
from provisioning.errors import Conflict, Invalid, NotFound

Wire = dict[str, Any]
# What has a column or a table of its own, and so is not in the stored document.
APART = frozenset({"id", "authorized-tokens", "is-default", "priority", "template-counters"})
# The best that every installed release's login accepts; 0.1 s here, a few milliseconds there.
ROUNDS = 100_000


@dataclass(frozen=True)
class Saved:
    """A config as it is after the change; a token and its secret where one was made for it; and what
    deserves attention."""

    config: PreparedConfig
    token: AnswerToken | None = None
    secret: str | None = None
    warnings: list[str] = field(default_factory=list)


def hashed(password: str) -> str:
    """A crypt(3) hash (SHA-512) as it goes to /etc/shadow."""
    return str(sha512_crypt.using(rounds=ROUNDS).hash(password))


def wire_of(config: PreparedConfig) -> Wire:
    """The whole wire form, but for the hash."""
    return wires_of([config])[0]


def wires_of(rows: list[PreparedConfig]) -> list[Wire]:
    """The same for many: three queries, however many they are."""
    keys = [row.pk for row in rows]
    tokens: dict[int, list[str]] = {}
    for key, name in (
        AuthorizedToken.objects.filter(config__in=keys)
        .order_by("id")
        .values_list("config_id", "token__name")
    ):
        tokens.setdefault(key, []).append(name)
    counters: dict[int, dict[str, int]] = {}
    for key, name, value in (
        TemplateCounter.objects.filter(config__in=keys)
        .order_by("id")
        .values_list("config_id", "name", "value")
    ):
        counters.setdefault(key, {})[name] = min(value, MAX_COUNTER)
    return [
        assembled(row, tokens=tokens.get(row.pk, []), counters=counters.get(row.pk, {}))
        for row in rows
    ]


def assembled(config: PreparedConfig, *, tokens: list[str], counters: Mapping[str, int]) -> Wire:
    wire: Wire = {"id": config.name}
    if tokens:
        wire["authorized-tokens"] = tokens
    wire["is-default"] = config.is_default
    wire.update(config.document)
    if counters:
        wire["template-counters"] = dict(counters)
    if config.priority:
        wire["priority"] = config.priority
    return wire


def read_document(wire: Mapping[str, Any], *, lax: bool = False) -> ConfigDocument:
    """Raises Invalid with the first sentence, and all of them as details."""
    document, errors = read(ConfigDocument, wire, lax=lax)
    if document is None:
        raise invalid(errors)
    return document


def invalid(errors: Errors) -> Invalid:
    name, texts = next(iter(errors.items()))
    error = Invalid(texts[0], field=None if name == "body" else name)
    error.details = errors
    return error


# --- Create ------------------------------------------------------------------------------------


def create_config(
    *, document: ConfigDocument, secrets: Secrets, actor: Actor, event_data: Wire | None = None
) -> Saved:
    """A new config. Raises Invalid or Conflict; then nothing was made, no token either."""
    password_hash = _hash_of(secrets)
    with transaction.atomic():
        lock_catalogue()
        refuse_taken_id(document)
        refuse_second_default(document, None)
        demand_password(secrets)
        tokens = tokens_named(document.authorized_tokens)
        checks.check(document)
        config = PreparedConfig(name=document.id, root_password_hash=password_hash or "")
        _fill(config, document)
        keep_password(config, document, secrets)
        config.save()
        saved = _save_parts(config, document, tokens, actor)
        audit.record(
            Event.CONFIG_CREATED,
            actor=actor,
            target=config,
            data={"config": checks.shown(wire_of(config)), **(event_data or {})},
        )
    return with_warnings(saved, document)


def with_warnings(saved: Saved, document: ConfigDocument) -> Saved:
    """After the commit: the snapshot must not learn what may still be undone."""
    return replace(saved, warnings=checks.warnings(saved.config, document))


def _hash_of(secrets: Secrets) -> str | None:
    if secrets.root_password:
        return hashed(secrets.root_password)
    return secrets.root_password_hashed


def refuse_taken_id(document: ConfigDocument) -> None:
    if PreparedConfig.objects.filter(name=document.id).exists():
        raise Conflict(f"A prepared config with the id {document.id} exists.")


def demand_password(secrets: Secrets) -> None:
    if not secrets.root_password and secrets.root_password_hashed is None:
        raise Invalid(
            "either root-password or root-password-hashed must be given", field="root-password"
        )


def keep_password(config: PreparedConfig, document: ConfigDocument, secrets: Secrets) -> None:
    """The password itself where the config asks for it, and nowhere else. Raises Invalid."""
    if not document.keep_root_password:
        config.root_password_sealed = ""
    elif secrets.root_password:
        config.root_password_sealed = keys.sealed(secrets.root_password)
    elif secrets.root_password_hashed or not config.root_password_sealed:
        raise Invalid(
            "needs root-password: a hash cannot be turned back (give it, or leave this out)",
            field="keep-root-password",
        )


def refuse_second_default(document: ConfigDocument, pk: int | None) -> None:
    if not document.is_default:
        return
    other = PreparedConfig.objects.filter(is_default=True).exclude(pk=pk or 0).first()
    if other is not None:
        raise Conflict(f"The prepared config {other.name} is the default already.")


def tokens_named(names: list[str]) -> list[AnswerToken]:
    found = {token.name: token for token in AnswerToken.objects.filter(name__in=names)}
    unknown = [name for name in names if name not in found]
    if unknown:
        raise Invalid(
            f"there is no answer token {', '.join(map(repr, unknown))}", field="authorized-tokens"
        )
    return [found[name] for name in dict.fromkeys(names)]


def _fill(config: PreparedConfig, document: ConfigDocument) -> None:
    wire = document.wire()
    config.is_default = document.is_default
    config.priority = document.priority
    config.document = {key: value for key, value in wire.items() if key not in APART}
    config.updated_at = timezone.now()


def _save_parts(
    config: PreparedConfig,
    document: ConfigDocument,
    tokens: list[AnswerToken],
    actor: Actor,
    *,
    sets_counters: bool = True,
) -> Saved:
    """Tokens, counters and the generation of a config that has its row."""
    _set_tokens(config, tokens)
    token, secret = None, None
    if not tokens:
        name = _free_token_name(config.name)
        token, secret = create_token_for_config(config, name=name, actor=actor)
    if sets_counters:  # or a machine that took a value meanwhile would be overwritten
        _set_counters(config, document.template_counters)
    config.generation = note_change(config)
    config.save(update_fields=["generation"])
    return Saved(config, token, secret)


def _set_tokens(config: PreparedConfig, tokens: list[AnswerToken]) -> None:
    held = list(
        AuthorizedToken.objects.filter(config=config)
        .order_by("id")
        .values_list("token_id", flat=True)
    )
    if held != [token.pk for token in tokens]:  # the order is the caller's
        AuthorizedToken.objects.filter(config=config).delete()
        AuthorizedToken.objects.bulk_create(
            AuthorizedToken(config=config, token=token) for token in tokens
        )


def _free_token_name(config_name: str) -> str:
    """`<config>-<8 hex>`, made of what a token's id may hold, whatever the config's holds."""
    allowed = [
        char if char.isascii() and (char.isalnum() or char in "._-") else "-"
        for char in config_name
    ]
    return f"{''.join(allowed).strip('.-')[:55] or 'config'}-{random.token_hex(4)}"


def _set_counters(config: PreparedConfig, wanted: Mapping[str, int]) -> None:
    """A counter that is taken out gives back the values that machines hold of it."""
    # Locked in the order in which answers lock them, or the two would wait for each other.
    present = dict(
        config.counters.order_by("name").select_for_update().values_list("name", "value")
    )
    gone = present.keys() - wanted.keys()
    if gone:
        config.counters.filter(name__in=gone).delete()
        HeldValue.objects.filter(config=config, name__in=gone).delete()
    for name, value in wanted.items():
        if name not in present:
            TemplateCounter.objects.create(config=config, name=name, value=value)
        elif present[name] != value:
            config.counters.filter(name=name).update(value=value)


# --- Change ------------------------------------------------------------------------------------


def change_config(
    *,
    name: str,
    values: Mapping[str, Any],
    delete: list[str],
    secrets: Secrets,
    actor: Actor,
    precondition: Precondition = any_state,
    lax: bool = False,
) -> Saved:
    """Take out what `delete` names, set what `values` brings (maps, lists and the filesystem are replaced
    whole), check the whole. An empty list of tokens makes a new one. Raises NotFound, Conflict, Invalid.
    """
    for key in delete:
        if key not in DELETABLE:
            known = ", ".join(sorted(DELETABLE))
            raise Invalid(f"{key!r} cannot be deleted (can be: {known})", field="delete")
    password_hash = _hash_of(secrets)
    with transaction.atomic():
        lock_catalogue()
        config = find_config(name)
        precondition(config)
        before = wire_of(config)
        kept = {key: value for key, value in before.items() if key not in delete}
        document = read_document({**kept, **values, "id": name}, lax=lax)
        refuse_second_default(document, config.pk)
        tokens = tokens_named(document.authorized_tokens)
        checks.check(document)
        _fill(config, document)
        if password_hash:
            config.root_password_hash = password_hash
        keep_password(config, document, secrets)
        config.save()
        set_back = _set_back(before, document)
        saved = _save_parts(
            config,
            document,
            tokens,
            actor,
            sets_counters="template-counters" in values or "template-counters" in delete,
        )
        changed = audit.changes(*_same_keys(checks.shown(before), checks.shown(wire_of(config))))
        if password_hash:
            changed["root-password"] = ["********", "********"]
        audit.record(Event.CONFIG_CHANGED, actor=actor, target=config, data={"changed": changed})
    saved = with_warnings(saved, document)
    return replace(saved, warnings=[*saved.warnings, *set_back])


def _set_back(before: Wire, document: ConfigDocument) -> list[str]:
    """Without stickiness nobody remembers who got which value."""
    if document.sticky_counters:
        return []
    return [
        f"template-counters: {name!r} goes back from {old} to {document.template_counters[name]}: values "
        "that machines got are handed out again."
        for name, old in before.get("template-counters", {}).items()
        if document.template_counters.get(name, old) < old
    ]


def _same_keys(before: Wire, after: Wire) -> tuple[Wire, Wire]:
    everything = {**before, **after}
    return {key: before.get(key) for key in everything}, {key: after.get(key) for key in everything}


def find_config(name: str) -> PreparedConfig:
    """Raises NotFound."""
    # PostgreSQL would not even compare a null character.
    config = PreparedConfig.objects.filter(name=name).first() if "\x00" not in name else None
    if config is None:
        raise NotFound(f"There is no prepared config {name!r}.")
    return config


def delete_config(*, name: str, actor: Actor, precondition: Precondition = any_state) -> None:
    """Its tokens stay; what machines hold of its counters goes. Raises NotFound."""
    with transaction.atomic():
        lock_catalogue()
        config = find_config(name)
        precondition(config)
        note_change(config)
        audit.record(
            Event.CONFIG_DELETED,
            actor=actor,
            target=config,
            data={"config": checks.shown(wire_of(config))},
        )
        config.delete()
