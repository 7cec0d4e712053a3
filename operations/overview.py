"""The part of operations on the console's home page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Min, Q, QuerySet
from django.urls import reverse
from django.utils import timezone

from accounts.actor import Actor
from accounts.console import days
from accounts.console.charts import bar_chart
from accounts.console.days import plural
from accounts.console.home import Chart, Figure, Notice, Panel, Step, Tone, register_panel
from accounts.console.looks import duration
from accounts.console.took import newest_times
from accounts.permissions import within
from operations.models import Operation, Runner, WorkspaceLock
from provisioning.identifiers import first_id_at

Status = Operation.Status
TONES: tuple[tuple[str, str], ...] = (
    (Status.COMPLETED, "good"),
    (Status.FAILED, "bad"),
    (Status.CANCELLED, "warn"),
    (Status.RUNNING, "busy"),
    (Status.PENDING, "quiet"),
)
PAGE = "operations_operation"
# A queue that stands for longer than this wants somebody to look, whatever it waits for.
LONG_WAIT = timedelta(minutes=15)


@dataclass(frozen=True)
class Numbers:
    """What the panel is made of; `failed` since yesterday, `oldest` of the startable pending ones."""

    pending: int
    running: int
    oldest: datetime | None
    failed: int
    by_day: dict[str, list[int]]
    seconds: list[float]
    workers: list[Runner]

    @property
    def alive(self) -> int:
        return sum(worker.is_alive for worker in self.workers)

    @property
    def has_any(self) -> bool:
        return bool(self.pending or self.running or self.seconds or self.by_day)


@register_panel(1)
def operations_panel(actor: Actor) -> Panel | None:
    if not actor.grants.allows("operation_read"):
        return None
    numbers = read_numbers(actor)
    return Panel(
        "Operations",
        notices=list(notices(actor, numbers)),
        figures=figures(actor, numbers),
        charts=charts(numbers),
        steps=() if numbers.has_any else first_steps(actor),
    )


def visible(actor: Actor) -> QuerySet[Operation]:
    return Operation.objects.filter(within(actor, "operation_read"))


def read_numbers(actor: Actor) -> Numbers:
    """Five queries, whatever there is; none looks further back than two weeks or a thousand rows."""
    rows = visible(actor)
    now = timezone.now()
    pending, running = Q(status=Status.PENDING), Q(status=Status.RUNNING)
    unfinished = rows.filter(pending | running).aggregate(
        pending=Count("pk", filter=pending),
        running=Count("pk", filter=running),
        oldest=Min("created_at", filter=pending & Q(is_ready=True, eligible_at__lte=now)),
    )
    yesterday = first_id_at(now - timedelta(days=1))
    times = newest_times(rows.filter(status=Status.COMPLETED), "started_at")
    return Numbers(
        **unfinished,
        failed=rows.filter(status=Status.FAILED, pk__gte=yesterday).count(),
        by_day=days.count_by_day(rows, "status"),
        seconds=[days.seconds_of(start, end) for _, start, end in times],
        workers=list(Runner.objects.filter(role=Runner.Role.WORKER)),
    )


def notices(actor: Actor, numbers: Numbers) -> Iterator[Notice]:
    if not numbers.alive:
        yield Notice(
            "bad",
            "No worker is alive: nothing starts. Start one with: manage.py worker",
            workers_url(actor),
        )
    elif silent := len(numbers.workers) - numbers.alive:
        sentence = f"{plural(silent, 'worker')} of {len(numbers.workers)} gave no sign of life."
        yield Notice("warn", sentence, workers_url(actor))
    if numbers.failed:
        yield Notice(
            "bad",
            f"{plural(numbers.failed, 'operation')} of the last 24 hours failed.",
            days.list_url(PAGE, status__exact="failed", since="24h"),
        )
    if numbers.oldest and timezone.now() - numbers.oldest > LONG_WAIT:
        waiting = duration((timezone.now() - numbers.oldest).total_seconds())
        yield Notice(
            "warn",
            f"The oldest operation in the queue has waited for {waiting}.",
            days.list_url(PAGE, status__exact="pending"),
        )
    for lock in WorkspaceLock.objects.filter(
        within(actor, "workspace_read", "workspace")
    ).select_related("workspace")[:5]:
        yield Notice(
            "busy",
            f"{lock.holder_name} keeps the workspace {lock.workspace.name}: {lock.reason}",
            days.list_url(PAGE, workspace=lock.workspace.name, status__exact="pending"),
        )


def figures(actor: Actor, numbers: Numbers) -> list[Figure]:
    today = {status: counts[-1] for status, counts in numbers.by_day.items()}
    failed: Tone = "bad" if numbers.failed else ""
    day = f"{days.last_days()[-1]:%Y-%m-%d}"
    return [
        Figure("running", numbers.running, days.list_url(PAGE, status__exact="running"), "busy"),
        Figure("in the queue", numbers.pending, days.list_url(PAGE, status__exact="pending")),
        Figure(
            "failed in 24 hours",
            numbers.failed,
            days.list_url(PAGE, status__exact="failed", since="24h"),
            failed,
        ),
        Figure(
            "completed today",
            today.get(Status.COMPLETED, 0),
            days.list_url(PAGE, status__exact="completed", since=day),
            "good",
        ),
        Figure(
            "workers alive",
            numbers.alive,
            workers_url(actor),
            "good" if numbers.alive else "bad",
            f"of {len(numbers.workers)} known",
        ),
    ]


def charts(numbers: Numbers) -> list[Chart]:
    def of_day(begin: datetime, end: datetime) -> str:
        return days.list_url(PAGE, since=f"{begin:%Y-%m-%d}", until=f"{end:%Y-%m-%d}")

    def of_span(span: str) -> str:
        return days.list_url(PAGE, status__exact="completed", took=span)

    per_day = days.bars_by_day(numbers.by_day, TONES, of_day)
    words = days.middle_and_slowest(numbers.seconds)
    return [
        Chart(
            "Operations per day",
            bar_chart(per_day, name="Operations per day"),
            "None in the last two weeks.",
            legend=[(tone, status) for status, tone in TONES if status in numbers.by_day],
        ),
        Chart(
            f"How long they ran: {words}" if words else "How long they ran",
            bar_chart(
                days.bars_by_duration(numbers.seconds, of_span), name="Operations by duration"
            ),
            "No operation has completed yet.",
        ),
    ]


def first_steps(actor: Actor) -> list[Step]:
    steps = []
    if actor.grants.allows("server_create"):
        steps.append(
            Step(
                "Create a first server",
                reverse("admin:operations_server_add"),
                "The bundled CLI knows one provider, local: hosts that you own.",
            )
        )
    if actor.grants.allows("workspace_manage"):
        steps.append(
            Step(
                "Make workspaces",
                reverse("admin:accounts_workspace_add"),
                "One for each set of servers that belongs together; roles can be limited to one.",
            )
        )
    steps.append(
        Step(
            "Read how CI uses the API",
            "/v1/docs",
            "What launches something answers with an operation to follow.",
        )
    )
    return steps


def workers_url(actor: Actor) -> str:
    """The workers' page, for who may open it."""
    if not actor.grants.allows("system_admin"):
        return ""
    return days.list_url("operations_runner", role__exact="worker")
