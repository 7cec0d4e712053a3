"""An audit event as a sentence that a person reads: "alice gave bob the role Operator in production".

One table for all: each app puts the sentences of its events into it with `register_sentences`. A
sentence names what it shows in braces; nothing else of an event can get into it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from string import Formatter
from typing import Any, Final

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from accounts.changes import data_of, masked
from accounts.events import Event
from accounts.models import AuditEvent

# A sentence, or what chooses one for an event.
Sentence = str | Callable[[AuditEvent], str]

LONGEST: Final = 120
_TABLE: dict[str, Sentence] = {}


def register_sentences(sentences: Mapping[str, Sentence]) -> None:
    """Add the sentences of an app's events.

    Braces may hold `actor`, `target`, `workspace`, `source`, `place` ("in production" or "everywhere"),
    `changes` (the names of the fields that changed), and any key of the event's data.
    """
    for event, sentence in sentences.items():
        _TABLE[str(event)] = sentence


def known_events() -> list[str]:
    """Every event that has a sentence, by name."""
    return sorted(_TABLE)


def sentence_of(event: AuditEvent) -> str:
    """One line of plain text."""
    return "".join(text for text, _ in _parts(event))


def marked_sentence_of(event: AuditEvent) -> SafeString:
    """The same as HTML, with what it names in bold."""
    return format_html_join(
        "",
        "{}",
        ((format_html("<b>{}</b>", text) if named else text,) for text, named in _parts(event)),
    )


def _parts(event: AuditEvent) -> Iterator[tuple[str, bool]]:
    """`(text, whether it is a name or value of the event)`."""
    entry = _TABLE.get(event.event, _unknown)
    for literal, field, _, _ in Formatter().parse(
        entry if isinstance(entry, str) else entry(event)
    ):
        if literal:
            yield literal, False
        if field:
            yield _field(event, field), field in ("actor", "target")


def _field(event: AuditEvent, name: str) -> str:
    match name:
        case "actor":
            shown: Any = event.actor_name
        case "target":
            shown = event.target_name or event.target_id or "something"
        case "workspace" | "source":
            shown = getattr(event, name) or "somewhere"
        case "place":
            shown = f"in {event.workspace}" if event.workspace else "everywhere"
        case "changes":
            changed = data_of(event).get("changed")
            shown = ", ".join(name.replace("_", " ") for name in changed or ()) or "nothing"
        case _:
            shown = masked(data_of(event).get(name, "?"), name)
    if isinstance(shown, list):
        shown = ", ".join(str(one) for one in shown)
    line = " ".join(str(shown).split())
    return line if len(line) <= LONGEST else line[: LONGEST - 3] + "..."


def _unknown(event: AuditEvent) -> str:
    """`answer-token.rotated` of a version that this one does not know: its name says most of it."""
    noun, _, verb = re.sub(r"[{}]", "", event.event).replace("-", " ").partition(".")
    told = (
        f"{{actor}}: {noun} {{target}} {verb}" if event.target_name else f"{{actor}}: {noun} {verb}"
    )
    return told + {"denied": " (refused)", "failed": " (failed)"}.get(event.outcome, "")


# --- The sentences of people and workspaces ----------------------------------------------------


def _login_failed(event: AuditEvent) -> str:
    reasons = {
        "locked": "{actor} was refused: {target} is locked out after failed logins",
        "password": "{actor} was refused: wrong password for {target}",
    }
    return reasons.get(str(data_of(event).get("reason")), "{actor} was refused as {target}")


def _login_succeeded(event: AuditEvent) -> str:
    where = "at the console" if data_of(event).get("session") == "console" else "by the API"
    return "{actor} logged in " + where


def _session_revoked(event: AuditEvent) -> str:
    which = data_of(event).get("session")
    if event.actor_name == event.target_name:
        return "{actor} logged out of the console" if which == "console" else "{actor} logged out"
    return "{actor} ended " + ("all sessions" if which == "all" else "a session") + " of {target}"


def _password_changed(event: AuditEvent) -> str:
    if event.actor_name == event.target_name:
        return "{actor} changed his own password"
    return "{actor} gave {target} a new password"


def _user_changed(event: AuditEvent) -> str:
    changed = data_of(event).get("changed") or {}
    if list(changed) == ["is_active"]:
        return (
            "{actor} activated {target}"
            if changed["is_active"][1]
            else "{actor} deactivated {target}"
        )
    return "{actor} changed {target}: {changes}"


register_sentences(
    {
        Event.LOGIN_SUCCEEDED: _login_succeeded,
        Event.LOGIN_FAILED: _login_failed,
        Event.LOGIN_LOCKED: "{target} was locked out for {seconds} s after failed logins from {source}",
        Event.SESSION_REFRESHED: "{actor} renewed a session",
        Event.SESSION_REFUSED: "{actor} was refused: the refresh token is not valid any more",
        Event.SESSION_REUSED: (
            "{actor} was refused: a spent refresh token came again, so the whole session was ended"
        ),
        Event.SESSION_REVOKED: _session_revoked,
        Event.ACCESS_DENIED: "{actor} was refused: {target} ({reason})",
        Event.AUTHENTICATION_FAILED: "{actor} was refused: {target} ({reason})",
        Event.PASSWORD_CHANGED: _password_changed,
        Event.USER_CREATED: "{actor} created the user {target}",
        Event.USER_CHANGED: _user_changed,
        Event.USER_DELETED: "{actor} deleted the user {target}",
        Event.USER_UNLOCKED: "{actor} unlocked {target}",
        Event.ROLE_CREATED: "{actor} created the role {target}",
        Event.ROLE_CHANGED: "{actor} changed the role {target}: {changes}",
        Event.ROLE_DELETED: "{actor} deleted the role {target}",
        Event.BINDING_CREATED: "{actor} gave {user} the role {role} {place}",
        Event.BINDING_DELETED: "{actor} took the role {role} {place} from {user}",
        Event.WORKSPACE_CREATED: "{actor} created the workspace {target}",
        Event.WORKSPACE_CHANGED: "{actor} changed the workspace {target}: {changes}",
        Event.WORKSPACE_DELETED: "{actor} deleted the workspace {target}",
        Event.AUDIT_PRUNED: "{actor} deleted {count} audit events from before {before}",
        Event.AUDIT_EXPORTED: "{actor} exported audit events as {format}",
    }
)
