"""A machine asks for its answer: decide by the snapshot, then allot, render and record in one
transaction.

The transaction begins with the token's row, and learns there whether the catalogue is still the one
that was decided by. If not, it is undone and the request decided again.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.db import OperationalError
from django.utils import timezone

from autoinstall import keys, limits, snapshot
from autoinstall.answers import HOOK, RenderFailed, to_json, to_toml
from autoinstall.authentication import Credential, How, Refusal, authenticate
from autoinstall.documents import CONTROL
from autoinstall.installers import OF_TOML, CannotServe, fitted
from autoinstall.matching import Entry
from autoinstall.models import Attempt
from autoinstall.services import recording
from autoinstall.services.allotting import CounterAtEnd, Stale, Wish
from autoinstall.services.together import Draft, commit_together
from autoinstall.services.using import Exhausted, Use
from autoinstall.snapshot import ConfigEntry, Snapshot, TokenEntry
from autoinstall.sysinfo import MalformedInfo, SystemInfo, read_system_info

Outcome, Status = Attempt.Outcome, Attempt.Status
# An edit a moment; each makes one request decide once more.
MOST_DECISIONS = 50


@dataclass(frozen=True)
class Asked:
    """One request for an answer, as it came through a door."""

    raw: bytes
    credential: Credential
    source: str
    accepts_json: bool
    user_agent: str = ""
    request_id: str = ""
    received_at: datetime = field(default_factory=timezone.now)

    @cached_property
    def info(self) -> SystemInfo:
        """Raises MalformedInfo."""
        return read_system_info(self.raw)


@dataclass(frozen=True)
class Reply:
    """What goes back: an answer, or one plain sentence for the person at the machine's console."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    retry_after_seconds: int | None = None


def answer(asked: Asked) -> Reply:
    """The answer, or why there is none. Every call leaves a row and an audit event, as long as the
    database takes them."""
    return _settled(asked, _serve)


def refuse_unread(asked: Asked, sentence: str, *, status: int) -> Reply:
    """For a body that was not read: the sentence, or 401 for whoever shows no good token."""
    return _settled(
        asked, lambda case, _: _failed(case, Outcome.MALFORMED, sentence, status=status)
    )


def _settled(asked: Asked, serve: Callable[[Case, Snapshot], Reply]) -> Reply:
    """Decide by the snapshot, and again as long as the catalogue changes meanwhile."""
    try:
        for _ in range(MOST_DECISIONS):
            view = snapshot.current()
            try:
                return _decide(asked, serve, view, view.generation)
            except Stale:
                snapshot.refresh()
    except OperationalError:
        raise  # a database that refuses takes no row either
    except Exception:
        _record_unproven(asked, Outcome.ERROR, "Something went wrong on the server: see its log.")
        raise
    sentence = "The prepared configs are changing too fast: try again in a moment."
    _record_unproven(asked, Outcome.ERROR, sentence)
    return _say(503, sentence, retry_after=1)


@dataclass(frozen=True)
class Case:
    """A request whose token is good, as of this generation of the catalogue."""

    asked: Asked
    token: TokenEntry
    how: How
    generation: int

    def use(self, count: int) -> Use:
        return Use(
            self.token, self.generation, count, self.asked.source[:45], self.asked.received_at
        )

    def blank(self, info: SystemInfo | None) -> dict[str, Any]:
        return recording.blank(self.asked, token=self.token.name, how=self.how, info=info)


def _decide(
    asked: Asked, serve: Callable[[Case, Snapshot], Reply], view: Snapshot, generation: int
) -> Reply:
    found = authenticate(view, asked.credential, asked.source)
    if isinstance(found, Refusal):
        return _refuse(asked, found, generation)
    try:
        return serve(Case(asked, *found, generation), view)
    except Exhausted:
        return _refuse(asked, Refusal("The token has been used as often as it may be."), generation)


def _serve(case: Case, view: Snapshot) -> Reply:
    try:
        info = case.asked.info
    except MalformedInfo as error:
        return _failed(case, Outcome.MALFORMED, str(error))
    entry = best(view, case.token.pk, info.info)
    return _no_match(case) if entry is None else _issue(case, entry.payload)


def best(view: Snapshot, token: int, info: dict[str, Any]) -> Entry | None:
    """The first match by priority, then age; else the default, if this token may fetch it."""
    matches = view.configs.find(info, token)
    return matches[0] if matches else view.configs.default(token)


# --- Answered ----------------------------------------------------------------------------------


def _issue(case: Case, config: ConfigEntry) -> Reply:
    info = case.asked.info
    attempt = case.blank(info)
    attempt["config_name"] = config.name
    wish = Wish(config, info.identity or f"attempt {attempt['id']}")

    def finish() -> bytes:
        attempt["counters"] = {name: wish.values[name] for name in config.counters}
        return _render(case.asked, config, attempt)

    try:
        body = commit_together(Draft(attempt, case.use(1), wish, finish))
    except (RenderFailed, CannotServe) as error:
        return _failed(case, Outcome.RENDER_FAILED, str(error), config=config.name)
    except CounterAtEnd as error:
        return _failed(case, Outcome.LIMIT, str(error), config=config.name)
    kind = "application/json; charset=utf-8" if case.asked.accepts_json else "application/toml"
    return Reply(200, body, kind)


def _render(asked: Asked, config: ConfigEntry, attempt: dict[str, Any]) -> bytes:
    """The answer's bytes; what of it is remembered goes into `attempt`."""
    compiled = config.compiled
    secret = keys.new_hook_secret()
    answer = compiled.render(asked.info.info, attempt["counters"])
    if compiled.wants_hook:
        answer = compiled.with_hook(answer, str(attempt["id"]), secret, is_json=asked.accepts_json)
    if asked.accepts_json:
        body = to_json(answer)
    else:
        # Those since 9.2 name JSON.
        version = min(asked.info.installer, OF_TOML)
        answer, attempt["omitted"] = fitted(answer, version, config.kept_password)
        body = to_toml(answer)
    attempt["status"] = Status.ANSWER_SENT
    if HOOK in answer:  # the oldest installers know none
        attempt["status"] = Status.IN_PROGRESS
        attempt["hook_digest"] = keys.digest(secret)
        attempt["deadline_at"] = attempt["received_at"] + timedelta(minutes=config.deadline_minutes)
    attempt["outcome"] = Outcome.ANSWERED
    attempt["answer_format"] = "json" if asked.accepts_json else "toml"
    attempt["answer_digest"] = hashlib.sha256(body).hexdigest()
    return body


# --- Not answered ------------------------------------------------------------------------------


def _no_match(case: Case) -> Reply:
    info = case.asked.info
    attempt = case.blank(info)
    attempt["outcome"], attempt["status"] = Outcome.NO_MATCH, Status.NO_ANSWER_FOUND
    attempt["reason"] = "No prepared config of this token matches, and none is its default."
    commit_together(Draft(attempt, case.use(0)))
    return _say(
        400,
        f"No prepared config matches this machine (serial {info.serial or 'unknown'}, "
        f"attempt {attempt['id']}).",
    )


def _failed(
    case: Case, outcome: Attempt.Outcome, sentence: str, *, config: str = "", status: int = 400
) -> Reply:
    """In a transaction of its own: what was allotted for it has been given back."""
    attempt = case.blank(case.asked.info if config else None)
    attempt.update(outcome=outcome, reason=sentence, config_name=config)
    commit_together(Draft(attempt, case.use(0)))
    return _say(status, sentence)


def _refuse(asked: Asked, refusal: Refusal, generation: int) -> Reply:
    """An empty 401, the same for every cause; many from one address are answered 429, and one row
    counts them."""
    if snapshot.generation_of_database() != generation:
        raise Stale  # the token may just have been made
    window = limits.count_refusal(asked.source)
    if not limits.is_over(window):
        _record_unproven(asked, Outcome.REFUSED, refusal.reason)
        return Reply(401)
    _count_beyond_the_limit(asked, window)
    seconds = limits.seconds_left(window)
    return _say(429, "Too many refused requests from this address.", retry_after=seconds)


def _count_beyond_the_limit(asked: Asked, window: limits.Window) -> None:
    if window.row and recording.count_repeat(window.row):
        return
    window.row = _record_unproven(
        replace(asked, raw=b""),
        Outcome.LIMIT,
        "Too many refused requests from this address; this row counts them.",
    )


def _record_unproven(asked: Asked, outcome: Attempt.Outcome, reason: str) -> uuid.UUID:
    """For whom no token speaks: what he called himself is written down, and proves nothing."""
    shown = asked.credential
    attempt = recording.blank(asked, token=shown.shown_name, how=shown.how)
    attempt.update(outcome=outcome, reason=reason)
    commit_together(Draft(attempt))
    return uuid.UUID(str(attempt["id"]))


def _say(status: int, sentence: str, retry_after: int | None = None) -> Reply:
    """What a machine sent may be quoted in it, and is to forge no line at the console."""
    line = CONTROL.sub("?", sentence)
    return Reply(status, f"{line}\n".encode(), retry_after_seconds=retry_after)
