"""Reading the audit trail: filters, pages and exports that cost the same with a million events.

Nothing here counts. A page is found from the id of the one before it; a filter that no index serves
looks at the newest `WINDOW` events unless it is given the day from which to look.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from datetime import UTC, date, datetime, time, timedelta
from itertools import chain
from typing import Any, Final

import orjson
from django.db.models import Q, QuerySet

from accounts import audit
from accounts.actor import Actor
from accounts.changes import masked
from accounts.events import Event
from accounts.models import AuditEvent, User
from accounts.sentences import known_events, sentence_of
from provisioning.errors import Invalid

PAGE: Final = 50
BATCH: Final = 500
WINDOW: Final = 100_000
STRAY: Final = 10_000  # how far ids may be out of the order of time
FORMATS: Final = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}
COLUMNS: Final = (
    *("id", "occurred_at", "event", "outcome", "sentence", "actor", "target_type", "target_id"),
    *("target_name", "workspace", "source", "user_agent", "request_id", "data"),
)


@dataclass(frozen=True)
class TrailFilter:
    """What to look for; what is empty is not asked. `event` may be a noun with a dot: `operation.`.
    `since` and `until` are days in UTC, both included."""

    q: str = ""
    event: str = ""
    outcome: str = ""
    actor: str = ""
    target_type: str = ""
    target_id: str = ""
    workspace: str = ""
    source: str = ""
    request_id: str = ""
    since: date | None = None
    until: date | None = None

    @property
    def is_empty(self) -> bool:
        return not any(asdict(self).values())

    @property
    def is_windowed(self) -> bool:
        """Whether it would have to look at every event there is."""
        asks_slowly = self.q or self.outcome or self.source or self.target_type
        asks_quickly = self.since or self.target_id or self.request_id
        return bool(asks_slowly and not asks_quickly)

    def rows(self, *, is_patient: bool = False) -> QuerySet[AuditEvent]:
        """The newest first; whoever is patient gets all of them, however long it takes."""
        rows = AuditEvent.objects.order_by("-id").filter(
            **{
                lookup: getattr(self, name)
                for name, lookup in LOOKUPS.items()
                if getattr(self, name)
            }
        )
        if self.event:
            rows = rows.filter(event__in=events_of(self.event))
        if self.since:
            began = start_of(self.since)
            rows = rows.filter(occurred_at__gte=began, pk__gt=first_since(began) - STRAY)
        if self.until and self.until < date.max:
            ended = start_of(self.until + timedelta(days=1))
            rows = rows.filter(occurred_at__lt=ended, pk__lt=first_since(ended) + STRAY)
        for word in self.q.split():
            rows = rows.filter(matching(word))
        if self.is_windowed and not is_patient:
            rows = rows.filter(pk__gt=newest_id() - WINDOW)
        return rows


LOOKUPS: Final = {
    "outcome": "outcome",
    "actor": "actor_name",
    "target_type": "target_type",
    "target_id": "target_id",
    "workspace": "workspace",
    "source": "source",
    "request_id": "request_id",
}


def events_of(name: str) -> list[str]:
    """`operation.` as all events of that noun; any other as itself."""
    if not name.endswith("."):
        return [name]
    return [event for event in known_events() if event.startswith(name)]


def matching(word: str) -> Q:
    return (
        Q(target_name__icontains=word)
        | Q(actor_name__icontains=word)
        | Q(event__icontains=word)
        | Q(workspace__icontains=word)
        | Q(target_id=word)
        | Q(request_id=word)
        | Q(source=word)
    )


def start_of(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)


def first_since(instant: datetime) -> int:
    """About where that instant is among the ids, for a database that would else sort all days since.
    Ids are given a little before or after the instants, by transactions that run side by side."""
    later = AuditEvent.objects.filter(occurred_at__gte=instant).order_by("occurred_at")
    found = later.values_list("id", flat=True).first()
    return newest_id() + 1 if found is None else found


def newest_id() -> int:
    return AuditEvent.objects.order_by("-id").values_list("id", flat=True).first() or 0


# --- Pages -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TrailPage:
    """At most `PAGE` events, newest first, and the ids to go on from (None: nothing there)."""

    events: list[AuditEvent]
    older: int | None
    newer: int | None


def read_page(
    rows: QuerySet[AuditEvent], *, before: int | None = None, after: int | None = None
) -> TrailPage:
    """The page below an id, or above one; without either the newest."""
    if after is not None:
        found = list(rows.filter(pk__gt=after).order_by("id")[: PAGE + 1])
        events = found[:PAGE][::-1]
        newer = events[0].pk if len(found) > PAGE else None
        return TrailPage(events, events[-1].pk if events else None, newer)
    found = list((rows.filter(pk__lt=before) if before is not None else rows)[: PAGE + 1])
    events = found[:PAGE]
    older = events[-1].pk if len(found) > PAGE else None
    return TrailPage(events, older, events[0].pk if events and before is not None else None)


def events_around(user: User, count: int) -> list[AuditEvent]:
    """The newest that he did or that were done to him; two questions, each answered by an index."""
    acts = AuditEvent.objects.filter(actor=user).order_by("-id")[:count]
    about = AuditEvent.objects.filter(target_type="user", target_id=str(user.pk)).order_by("-id")
    found = {event.pk: event for event in chain(acts, about[:count])}
    return [found[pk] for pk in sorted(found, reverse=True)[:count]]


def of_same_request(event: AuditEvent, count: int) -> list[AuditEvent]:
    """What else the same request brought about, oldest first."""
    if not event.request_id:
        return []
    others = AuditEvent.objects.filter(request_id=event.request_id).exclude(pk=event.pk)
    return list(others.order_by("id")[:count])


# --- Export ------------------------------------------------------------------------------------


def export_trail(asked: TrailFilter, *, format: str, actor: Actor) -> Iterator[bytes]:
    """The filtered events, newest first, as `csv` or `jsonl`; the export is an event itself.

    It holds one batch in memory, and no cursor of the database while the client reads slowly. Raises
    Invalid for any other format.
    """
    if format not in FORMATS:
        raise Invalid(f"{format!r} is neither csv nor jsonl", field="format")
    told = {
        field.name: str(value) for field in fields(asked) if (value := getattr(asked, field.name))
    }
    rows, newest = asked.rows(is_patient=True), newest_id()
    audit.record(
        Event.AUDIT_EXPORTED,
        actor=actor,
        data={"format": format, "filter": told, "up_to": newest},
    )
    write = write_csv if format == "csv" else write_lines
    return write(in_batches(rows, newest + 1))


def in_batches(rows: QuerySet[AuditEvent], below: int) -> Iterator[list[AuditEvent]]:
    while batch := list(rows.filter(pk__lt=below)[:BATCH]):
        yield batch
        below = batch[-1].pk


def write_lines(batches: Iterator[list[AuditEvent]]) -> Iterator[bytes]:
    for batch in batches:
        yield b"".join(orjson.dumps(as_row(event)) + b"\n" for event in batch)


def write_csv(batches: Iterator[list[AuditEvent]]) -> Iterator[bytes]:
    yield (",".join(COLUMNS) + "\r\n").encode()
    for batch in batches:
        text = io.StringIO()
        writer = csv.writer(text)
        for event in batch:
            row = as_row(event)
            row["data"] = orjson.dumps(row["data"]).decode() if row["data"] else ""
            writer.writerow([harmless(str(row[name])) for name in COLUMNS])
        yield text.getvalue().encode()


def as_row(event: AuditEvent) -> dict[str, Any]:
    return {
        "id": event.pk,
        "occurred_at": event.occurred_at.isoformat(),
        "event": event.event,
        "outcome": event.outcome,
        "sentence": sentence_of(event),
        "actor": event.actor_name,
        "target_type": event.target_type,
        "target_id": event.target_id,
        "target_name": event.target_name,
        "workspace": event.workspace,
        "source": event.source,
        "user_agent": event.user_agent,
        "request_id": event.request_id,
        "data": masked(event.data),
    }


def harmless(cell: str) -> str:
    """A spreadsheet takes a cell that begins like this for a formula (OWASP: CSV Injection)."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else cell
