"""What the page of one operation shows, made ready for its templates."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from accounts.actor import Actor
from accounts.console.looks import badge, copyable, duration
from operations import logs, output
from operations.admin.words import REASON_WORDS, link_to, may, run_time_words, title_of
from operations.commands import BadValue, Kind
from operations.models import Operation, Runner
from operations.runner.call import masked, masked_argv
from operations.serializers import shown_params
from operations.services.workflows import definition_of
from operations.views.operations import permissions_of
from operations.views.workflows import progress_of

# Without script so many lines are there to read; the script fetches more.
PLAIN_LINES = 200
PLAIN_BYTES = 64 * 1024
MOST_RERUNS = 10
SHORT_COLUMNS = (
    *("id", "kind", "subject", "status", "reason", "workspace_name", "check_mode", "attempt"),
    *("cancel_requested_at", "created_at", "started_at", "finished_at", "step_id", "is_rollback"),
)
Fact = tuple[str, SafeString | str]


@dataclass(frozen=True)
class Moment:
    """An entry of the timeline; `tone` is a class of parts.css."""

    tone: str
    what: str
    at: datetime | None
    note: str = ""


def live_parts(operation: Operation, actor: Actor) -> dict[str, Any]:
    """What changes while it runs."""
    shown: dict[str, Any] = {
        "operation": operation,
        "heading": title_of(operation),
        "can_cancel": can_cancel(operation, actor),
        "can_rerun": can_rerun(operation, actor),
        "timeline": list(timeline(operation)),
        "facts": facts(operation),
        "result": as_json(operation.result) if operation.result else "",
        "version": f"{operation.status} {bool(operation.cancel_requested_at)}",
        "may_read_audit": actor.grants.allows("audit_read"),
    }
    if operation.kind == Kind.WORKFLOW:
        shown |= {"is_workflow": True, "progress": progress_of(operation)}
        shown |= {"steps": steps_of(operation), "result": ""}  # it says what the steps say
    return shown


def whole_page(operation: Operation, actor: Actor) -> dict[str, Any]:
    """What stays as it is, and the live parts."""
    return {
        **live_parts(operation, actor),
        "command": command_of(operation),
        "parameters": masked(operation, as_json(shown_params(operation.params))),
        "last_lines": "" if operation.kind == Kind.WORKFLOW else plain_tail(operation),
        "plain_lines": PLAIN_LINES,
    }


def can_cancel(operation: Operation, actor: Actor) -> bool:
    needed = ["operation_cancel"]
    if operation.kind == Kind.WORKFLOW:
        needed.append("workflow_cancel")
    is_open = not operation.is_final and operation.cancel_requested_at is None
    return is_open and all(may(actor, one, operation) for one in needed)


def can_rerun(operation: Operation, actor: Actor) -> bool:
    if not operation.is_final or operation.workspace_id is None:
        return False
    needed = ["operation_rerun", *permissions_of(operation)]
    return all(may(actor, one, operation) for one in needed)


# --- Timeline ----------------------------------------------------------------------------------


def timeline(operation: Operation) -> Iterator[Moment]:
    yield Moment("good", f"Submitted by {operation.requested_by_name}", operation.created_at)
    if operation.started_at:
        waited = (operation.started_at - operation.created_at).total_seconds()
        note = f"after waiting {duration(max(waited, 0.0))}"
        yield Moment("good", "Started", operation.started_at, note)
    elif not operation.is_final:
        yield Moment("busy", waiting_words(operation), None)
    if operation.cancel_requested_at:
        words = "Cancelling was asked for"
        yield Moment("warn", words, operation.cancel_requested_at)
    if operation.is_final:
        tone = {"completed": "good", "failed": "bad"}.get(operation.status, "warn")
        yield Moment(
            tone, operation.status.capitalize(), operation.finished_at, end_words(operation)
        )
    elif operation.started_at:
        yield Moment("busy", f"Running for {run_time_words(operation)}", None)


def waiting_words(operation: Operation) -> str:
    if operation.kind == Kind.WORKFLOW:
        return "Waits for its first step to start"
    if not operation.is_ready:
        return "Waits for other steps of its workflow"
    if operation.eligible_at - timezone.now() > timedelta(seconds=1):
        return f"The next try begins at {operation.eligible_at:%H:%M:%S} UTC"
    return "Waits for its turn"


def end_words(operation: Operation) -> str:
    parts = []
    if operation.started_at:
        parts.append(f"ran {run_time_words(operation)}")
    if operation.reason:
        parts.append(REASON_WORDS.get(operation.reason, operation.reason))
    if operation.exit_code is not None:
        parts.append(f"exit code {operation.exit_code}")
    return ", ".join(parts)


# --- Facts -------------------------------------------------------------------------------------


def facts(operation: Operation) -> list[Fact]:
    found: list[Fact] = [
        ("Operation", copyable(str(operation.pk))),
        ("Kind", operation.kind),
        ("Check mode", "yes: it changes nothing" if operation.check_mode else "no"),
    ]
    if operation.request_id:
        found.append(("Request", copyable(operation.request_id)))
    if operation.timeout_seconds:
        found.append(("Time limit", duration(float(operation.timeout_seconds))))
    if operation.lock:
        found.append(("Has to itself", operation.lock))
    found += related(operation)
    if worker := worker_of(operation):
        found.append(("Worker", worker))
    return found


def related(operation: Operation) -> list[Fact]:
    found: list[Fact] = []
    if operation.workflow:
        undo = " (its undoing)" if operation.is_rollback else ""
        words = f"Step {operation.step_id}{undo} of "
        found.append(("Workflow", format_html("{}{}", words, link_to(operation.workflow))))
        found.append(("Attempt", str(operation.attempt)))
    if operation.rerun_of:
        found.append(("Run again from", link_with_badge(operation.rerun_of)))
    # By the time, not the id: SQLite would read all ids in order, looking for those few.
    reruns = list(operation.reruns.order_by("-created_at").only(*SHORT_COLUMNS)[:MOST_RERUNS])
    if reruns:
        links = format_html_join("", "<div>{}</div>", ((link_with_badge(one),) for one in reruns))
        found.append(("Was run again", links))
    return found


def link_with_badge(operation: Operation) -> SafeString:
    return format_html("{} {}", link_to(operation), badge(operation.status))


def worker_of(operation: Operation) -> str:
    """The name of the host it runs or ran on, while a process of that host is known."""
    if not operation.host_id:
        return ""
    rows = Runner.objects.filter(host_id=operation.host_id).values_list("host_name", flat=True)
    return rows.first() or f"host {operation.host_id}"


def command_of(operation: Operation) -> str:
    """The command line with its secrets covered, as a shell would want it; empty when there is none."""
    if operation.kind == Kind.WORKFLOW:
        return ""
    try:
        return shlex.join(masked_argv(operation))
    except BadValue:
        return ""


def as_json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def plain_tail(operation: Operation) -> str:
    """The last lines without colours and control characters, for a page without script."""
    _, data = logs.tail(operation, lines=PLAIN_LINES, max_bytes=PLAIN_BYTES)
    text = output.ANSI.sub("", data.decode("utf-8", "replace")).replace("\r\n", "\n")
    return "".join(char for char in text if char >= " " or char in "\n\t")


# --- Workflows ---------------------------------------------------------------------------------


def short_rows(rows: QuerySet[Operation]) -> QuerySet[Operation]:
    """Without parameters, results and errors, which may be large."""
    return rows.only(*SHORT_COLUMNS)


def steps_of(workflow: Operation) -> list[dict[str, Any]]:
    """Every attempt and undoing, in the order of the definition."""
    steps = definition_of(workflow).steps
    order = {step.id: place for place, step in enumerate(steps)}
    needs = {step.id: ", ".join(step.depends_on) for step in steps}
    runs = short_rows(Operation.objects.filter(workflow=workflow)).order_by("id")
    return [
        {"run": run, "depends_on": needs.get(run.step_id, "")}
        for run in sorted(runs, key=lambda run: (order.get(run.step_id, 0), run.pk))
    ]
