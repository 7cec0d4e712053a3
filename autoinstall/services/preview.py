"""What a machine would be answered, and why: the same decision as `answering`, with nothing handed
out."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from autoinstall import keys, rules, snapshot
from autoinstall.answers import (
    SECRET,
    Answer,
    RenderFailed,
    masked,
    to_toml,
)
from autoinstall.documents import MAX_COUNTER, ConfigDocument
from autoinstall.filters import compile_filter
from autoinstall.installers import OF_TOML, CannotServe, fitted
from autoinstall.matching import Entry
from autoinstall.models import AnswerToken, Attempt, HeldValue, TemplateCounter
from autoinstall.services import checks
from autoinstall.services.allotting import CounterAtEnd, at_end, first_gap
from autoinstall.snapshot import ConfigEntry
from autoinstall.sysinfo import MalformedInfo, SystemInfo, of_stored, read_system_info
from provisioning.errors import Invalid, NotFound

# Of many configs those are shown that come nearest; the winner always.
MOST_SHOWN = 100
NO_ATTEMPT = "00000000-0000-0000-0000-000000000000"
_LAST = 2**62


@dataclass(frozen=True)
class Question:
    """Which machine, and optionally by which token only, and with which config not saved yet."""

    info: SystemInfo
    token: str | None = None
    draft: ConfigDocument | None = None


def info_of_attempt(attempt_id: str) -> SystemInfo:
    """Raises Invalid, also for an attempt that brought no system information."""
    try:
        key = uuid.UUID(attempt_id)
    except ValueError:
        raise Invalid(f"{attempt_id!r} is no id of an attempt", field="attempt") from None
    attempt = Attempt.objects.filter(pk=key).first()
    if attempt is None:
        raise Invalid(f"there is no attempt {attempt_id}", field="attempt")
    if not attempt.product:
        raise Invalid(f"attempt {attempt_id} brought no valid system information", field="attempt")
    return of_stored(attempt.raw)


def info_of_json(raw: bytes) -> SystemInfo:
    """Raises Invalid."""
    try:
        return read_system_info(raw)
    except MalformedInfo as error:
        raise Invalid(str(error), field="system-info") from None


def preview(question: Question) -> dict[str, Any]:
    """`{"machine", "configs": [...], "configs-left-out", "winner", "why", "answer"}`.

    `answer` is null without a winner; else `{"json", "toml", "counters", "omitted", "rejected",
    "error"}` with secrets masked. Raises Invalid for an unknown token.
    """
    candidates = _candidates(question)
    _check_token(question)
    judged = [(entry, _verdict(entry, question)) for entry in candidates]
    winner, why = _winner(judged, question)
    shown = sorted(judged, key=lambda item: _nearness(item, winner))[:MOST_SHOWN]
    kept = {entry.key for entry, _ in shown}
    info = question.info
    return {
        "machine": {
            "identity": info.identity or None,
            "serial": info.serial or None,
            "product": info.product,
            "release": info.release,
            "installer": "{}.{}".format(*info.installer),
        },
        "winner": winner.payload.name if winner else None,
        "why": why,
        "configs": [verdict for entry, verdict in judged if entry.key in kept],
        "configs-left-out": len(judged) - len(shown),
        "answer": _answer(winner.payload, info) if winner else None,
    }


# --- Which config ------------------------------------------------------------------------------


def _candidates(question: Question) -> list[Entry]:
    """Every config in the order in which they are tried, the draft among them."""
    snapshot.refresh()
    saved = list(snapshot.current().configs)
    if question.draft is None:
        return saved
    old = _saved_as(question.draft.id)
    entry = _draft_entry(question.draft, old)
    others = [one for one in saved if one is not old]
    return sorted([*others, entry], key=lambda one: one.order)


def _saved_as(name: str) -> Entry | None:
    return next((one for one in snapshot.current().configs if one.payload.name == name), None)


def _draft_entry(draft: ConfigDocument, old: Entry | None) -> Entry:
    names = list(draft.authorized_tokens)
    tokens = AnswerToken.objects.filter(name__in=names).values_list("pk", flat=True)
    key = old.key if old else _LAST
    return Entry(
        key=key,
        order=(draft.priority, key),
        filters=tuple(compile_filter(*item) for item in draft.target_filter.items()),
        tokens=frozenset(tokens),
        is_default=draft.is_default,
        payload=ConfigEntry(
            pk=key,
            name=draft.id,
            document=draft.wire(),
            password_hash=SECRET,
            counters=tuple(draft.template_counters),
            password_sealed=keys.sealed(SECRET) if draft.keep_root_password else "",
        ),
    )


def _verdict(entry: Entry, question: Question) -> dict[str, Any]:
    filters = [one.explain(question.info.info) for one in entry.filters]
    authorized = _is_authorized(entry, question)
    is_match = all(one.matched for one in filters) and bool(filters) and not entry.is_default
    return {
        "id": entry.payload.name,
        "priority": entry.order[0],
        "is-default": entry.is_default,
        "authorized": authorized,
        "matches": is_match,
        "filters": [
            {
                "pointer": one.pointer,
                "pattern": one.pattern,
                "found": one.found,
                "matches": one.matched,
                "reason": one.reason,
            }
            for one in filters
        ],
    }


def _is_authorized(entry: Entry, question: Question) -> bool:
    """Without a token in question every config is; a draft that names no token gets one of its own."""
    if question.token is None:
        return True
    draft = question.draft
    is_new = draft is not None and entry.payload.name == draft.id and not draft.authorized_tokens
    return _token_of(question) in entry.tokens or is_new


def _check_token(question: Question) -> None:
    if question.token is not None:
        _token_of(question)


def _token_of(question: Question) -> int:
    token = snapshot.current().tokens.get(question.token or "")
    if token is None:
        raise Invalid(f"there is no answer token {question.token!r}", field="token")
    return token.pk


def _winner(
    judged: list[tuple[Entry, dict[str, Any]]], question: Question
) -> tuple[Entry | None, str]:
    matching = [entry for entry, one in judged if one["matches"] and one["authorized"]]
    if matching:
        others = ", ".join(entry.payload.name for entry in matching[1:6])
        also = f" {others} would match as well, but come later." if others else ""
        return matching[0], f"{matching[0].payload.name} is the first that matches.{also}"
    default = next((entry for entry, one in judged if entry.is_default and one["authorized"]), None)
    if default is not None:
        return default, f"No filter matches; {default.payload.name} is the default."
    return None, "No config matches, and there is no default" + (
        f" for the token {question.token}." if question.token else "."
    )


def _nearness(item: tuple[Entry, dict[str, Any]], winner: Entry | None) -> tuple[Any, ...]:
    """What explains most comes first: the winner, then who fails fewest filters."""
    entry, verdict = item
    failed = sum(not one["matches"] for one in verdict["filters"])
    return entry is not winner, not verdict["authorized"], failed, entry.order


# --- Which answer ------------------------------------------------------------------------------


def _answer(config: ConfigEntry, info: SystemInfo) -> dict[str, Any]:
    result: dict[str, Any] = {
        "json": None,
        "toml": None,
        "counters": {},
        "omitted": [],
        "rejected": [],
        "error": None,
    }
    try:
        counters = result["counters"] = peek(config, info.identity)
        answer = config.compiled.render(info.info, counters)
        result["rejected"] = [
            {"path": problem.path, "reason": problem.sentence}
            for problem in rules.check_answer(checks.with_any_hash(answer), product=info.product)
        ]
        result["json"] = masked(_with_hook(config, answer, is_json=True))
        result["toml"], result["omitted"] = _toml(config, answer, info)
    except (CounterAtEnd, RenderFailed, CannotServe) as error:
        result["error"] = str(error)
    return result


def rendered(*, name: str, info: SystemInfo) -> dict[str, Any]:
    """The `answer` of a preview for one config, whether it matches or not. Raises NotFound."""
    snapshot.refresh()
    entry = _saved_as(name)
    if entry is None:
        raise NotFound(f"There is no prepared config {name!r}.")
    return _answer(entry.payload, info)


def rendered_draft(*, draft: ConfigDocument, info: SystemInfo) -> dict[str, Any]:
    """The same for one that is not saved."""
    snapshot.refresh()
    return _answer(_draft_entry(draft, _saved_as(draft.id)).payload, info)


def _with_hook(config: ConfigEntry, answer: Answer, *, is_json: bool) -> Answer:
    if not config.compiled.wants_hook:
        return answer
    return config.compiled.with_hook(answer, NO_ATTEMPT, SECRET, is_json=is_json)


def _toml(config: ConfigEntry, answer: Answer, info: SystemInfo) -> tuple[str, list[str]]:
    with_hook = _with_hook(config, answer, is_json=False)
    version = min(info.installer, OF_TOML)
    older, omitted = fitted(with_hook, version, config.kept_password)
    return to_toml(masked(older)).decode(), omitted


def peek(config: ConfigEntry, identity: str) -> dict[str, int]:
    """The counter values that this machine holds or would get next; none is taken. A draft brings the
    values it wants to begin with."""
    rows = HeldValue.objects.filter(config_id=config.pk)
    held: dict[str, int] = {}
    if config.is_sticky and identity:
        held = dict(rows.filter(identity=identity).values_list("name", "value"))
    begun = TemplateCounter.objects.filter(config_id=config.pk).values_list("name", "value")
    following = {**dict(begun), **config.document.get("template-counters", {})}
    for name in config.counters:
        if name not in held:
            value = following.get(name, 0)
            is_taken = rows.filter(name=name, value=value).exists()
            held[name] = first_gap(config.pk, name, value) if is_taken else value
            if held[name] > MAX_COUNTER:
                raise at_end(name)
    return {name: held[name] for name in config.counters}
