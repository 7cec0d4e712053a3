"""What happened to a machine's request, in order: asked, answered, finished or timed out, asked again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.urls import reverse
from django.utils.safestring import SafeString

from accounts.console.looks import TONES, duration, moment
from autoinstall.models import Attempt

OUTCOMES: Final[dict[str, str]] = {
    "answered": "Answered",
    "no-match": "No prepared config matches",
    "refused": "Refused",
    "malformed": "Not understood",
    "limit": "Refused: beyond a limit",
    "render-failed": "The answer could not be made",
    "error": "Failed on the server",
}
CREDENTIALS: Final[dict[str, str]] = {
    "header": "in the header",
    "path": "in the URL's path",
    "source": "accepted by its address, without a secret",
    "none": "no token",
}


@dataclass(frozen=True)
class Event:
    """`at` lies in the future for what is awaited."""

    tone: str
    title: str
    at: datetime | None
    note: str = ""
    url: str = ""

    @property
    def when(self) -> SafeString | str:
        return moment(self.at, empty="")


def timeline(attempt: Attempt, later: Sequence[Attempt] = ()) -> list[Event]:
    """`later`: requests of the same machine that came afterwards, oldest first."""
    told = [asked(attempt), became(attempt), *reported(attempt)]
    return [*told, *(asked_again(other) for other in later)]


def asked(attempt: Attempt) -> Event:
    token = f"token {attempt.token_name}, " if attempt.token_name else ""
    unnamed = "a token " if not token and attempt.credential in ("header", "path") else ""
    how = f"{token}{unnamed}{CREDENTIALS[attempt.credential]}"
    source = f" from {attempt.source}" if attempt.source else ""
    return Event("", f"Asked{source}", attempt.received_at, how[:1].upper() + how[1:])


def became(attempt: Attempt) -> Event:
    title = OUTCOMES[attempt.outcome]
    if attempt.outcome == Attempt.Outcome.ANSWERED:
        counters = ", ".join(f"{name} = {value}" for name, value in attempt.counters.items())
        note = f"As {attempt.answer_format.upper()}" + (f", with {counters}" if counters else "")
        return Event("good", f"{title} by {attempt.config_name}", attempt.received_at, note)
    tone = TONES.get(attempt.outcome, "bad")
    if attempt.config_name:
        title = f"{title} ({attempt.config_name})"
    return Event(tone, title, attempt.received_at, attempt.reason)


def reported(attempt: Attempt) -> list[Event]:
    """The report of the installed machine: there, awaited, overdue, or never asked for."""
    status = Attempt.Status
    if attempt.status == status.FINISHED:
        return [finished(attempt)]
    if attempt.is_overdue:
        why = "It never reported: look at its console. A late report still finishes it."
        return [Event("warn", "Timed out", attempt.deadline_at, why)]
    if attempt.status == status.IN_PROGRESS:
        return [Event("busy", "Installing: its report is due", attempt.deadline_at)]
    if attempt.status == status.ANSWER_SENT:
        why = "No post-hook was asked for, so nobody learns how it ended."
        return [Event("", "No report is awaited", None, why)]
    return []


def finished(attempt: Attempt) -> Event:
    assert attempt.finished_at is not None
    took = (attempt.finished_at - attempt.received_at).total_seconds()
    is_late = attempt.deadline_at is not None and attempt.finished_at > attempt.deadline_at
    note = f"After {duration(took)}" + (", later than its deadline" if is_late else "")
    return Event("good", "Finished", attempt.finished_at, note)


def asked_again(other: Attempt) -> Event:
    tone = TONES.get(other.state or other.outcome, "")
    title = f"Asked again: {(other.state or other.outcome).replace('-', ' ')}"
    note = other.reason or (f"By {other.config_name}" if other.config_name else "")
    return Event(tone, title, other.received_at, note, page_of(other))


def page_of(attempt: Attempt) -> str:
    """The installation's page where there is one, else the attempt's."""
    noun = "installation" if attempt.status else "attempt"
    return reverse(f"admin:autoinstall_{noun}_change", args=[attempt.pk])
