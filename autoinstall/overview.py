"""The part of auto-install on the console's home page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Case, CharField, Count, F, Q, Value, When
from django.urls import reverse
from django.utils import timezone

from accounts.actor import Actor
from accounts.console import days
from accounts.console.charts import bar_chart
from accounts.console.days import plural
from accounts.console.home import Chart, Figure, Notice, Panel, Step, register_panel
from accounts.console.looks import from_now
from accounts.console.took import newest_times
from autoinstall.models import AnswerToken, Attempt, PreparedConfig
from provisioning.identifiers import first_id_at

Outcome, Status = Attempt.Outcome, Attempt.Status
TONES: tuple[tuple[str, str], ...] = (
    (Status.FINISHED, "good"),
    (Status.ANSWER_SENT, "quiet"),
    (Status.IN_PROGRESS, "busy"),
    (Attempt.TIMED_OUT, "bad"),
    (Status.NO_ANSWER_FOUND, "warn"),
)
# What went wrong with requests of the last day, as a sentence with their number before it.
TROUBLE: tuple[tuple[str, str, str], ...] = (
    (Outcome.NO_MATCH, "warn", "got no answer: no prepared config matched."),
    (Outcome.REFUSED, "bad", "refused: the token was missing, wrong or not allowed."),
    (Outcome.LIMIT, "warn", "stopped at a limit."),
    (Outcome.RENDER_FAILED, "bad", "got no answer: its prepared config could not be rendered."),
    (Outcome.MALFORMED, "warn", "could not be read."),
    (Outcome.ERROR, "bad", "failed on the server."),
)
EXPIRES_SOON = timedelta(days=14)
MOST_TOKENS = 5
ATTEMPTS, INSTALLATIONS = "autoinstall_attempt", "autoinstall_installation"


@dataclass(frozen=True)
class Numbers:
    """What the panel is made of. `outcomes` are counts since yesterday; `seconds` from the answer to the
    report."""

    outcomes: dict[str, int]
    installing: int
    overdue: int
    by_day: dict[str, list[int]]
    seconds: list[float]
    expiring: list[AnswerToken]


@register_panel(2)
def auto_install_panel(actor: Actor) -> Panel | None:
    if not actor.grants.allows("installation_read"):
        return None
    numbers = read_numbers(actor)
    return Panel(
        "Auto-install",
        notices=list(notices(numbers)),
        figures=figures(numbers),
        charts=charts(numbers),
        steps=list(first_steps(actor, numbers)),
    )


def read_numbers(actor: Actor) -> Numbers:
    """Five queries, whatever there is; none looks further back than two weeks or a thousand rows."""
    now = timezone.now()
    since = first_id_at(now - timedelta(days=1))
    outcomes = Attempt.objects.filter(pk__gte=since).order_by().values_list("outcome")
    overdue = Q(deadline_at__lte=now)
    times = newest_times(Attempt.objects.filter(status=Status.FINISHED), "received_at")
    return Numbers(
        outcomes=dict(outcomes.annotate(count=Count("pk"))),
        **Attempt.objects.filter(status=Status.IN_PROGRESS).aggregate(
            installing=Count("pk", filter=~overdue), overdue=Count("pk", filter=overdue)
        ),
        by_day=days.count_by_day(Attempt.installations.annotate(shown=state(overdue)), "shown"),
        seconds=[days.seconds_of(begin, end) for _, begin, end in times],
        expiring=expiring(now) if actor.grants.allows("answer_token_read") else [],
    )


def state(overdue: Q) -> Case:
    """`Attempt.state` as the database computes it."""
    is_overdue = Q(status=Status.IN_PROGRESS) & overdue
    return Case(
        When(is_overdue, then=Value(Attempt.TIMED_OUT)),
        default=F("status"),
        output_field=CharField(),
    )


def expiring(now: datetime) -> list[AnswerToken]:
    """Tokens that end within two weeks, the next to end first; those already ended trouble nobody."""
    until = int((now + EXPIRES_SOON).timestamp())
    rows = AnswerToken.objects.filter(expire_at__gt=int(now.timestamp()), expire_at__lte=until)
    return list(rows.exclude(enabled=False).order_by("expire_at")[:MOST_TOKENS])


def notices(numbers: Numbers) -> Iterator[Notice]:
    if numbers.overdue:
        machines = plural(numbers.overdue, "machine")
        yield Notice(
            "bad",
            f"{machines} did not report back in time.",
            days.list_url(INSTALLATIONS, state=Attempt.TIMED_OUT),
        )
    for outcome, tone, sentence in TROUBLE:
        if count := numbers.outcomes.get(outcome, 0):
            yield Notice(
                "bad" if tone == "bad" else "warn",
                f"{plural(count, 'request')} of the last 24 hours {sentence}",
                days.list_url(ATTEMPTS, outcome=outcome, since="24h"),
            )
    for token in numbers.expiring:
        assert token.expires_at is not None
        yield Notice(
            "warn",
            f"The token {token.name} expires {from_now(token.expires_at)}.",
            reverse("admin:autoinstall_answertoken_change", args=[token.pk]),
        )


def figures(numbers: Numbers) -> list[Figure]:
    no_match = numbers.outcomes.get(Outcome.NO_MATCH, 0)
    refused = numbers.outcomes.get(Outcome.REFUSED, 0)
    return [
        Figure(
            "installing now",
            numbers.installing,
            days.list_url(INSTALLATIONS, state=Status.IN_PROGRESS),
            "busy",
        ),
        Figure(
            "timed out",
            numbers.overdue,
            days.list_url(INSTALLATIONS, state=Attempt.TIMED_OUT),
            "bad" if numbers.overdue else "",
        ),
        Figure(
            "answered in 24 hours",
            numbers.outcomes.get(Outcome.ANSWERED, 0),
            days.list_url(ATTEMPTS, outcome=Outcome.ANSWERED, since="24h"),
            "good",
        ),
        Figure(
            "without an answer in 24 hours",
            no_match,
            days.list_url(ATTEMPTS, outcome=Outcome.NO_MATCH, since="24h"),
            "warn" if no_match else "",
        ),
        Figure(
            "refused in 24 hours",
            refused,
            days.list_url(ATTEMPTS, outcome=Outcome.REFUSED, since="24h"),
            "bad" if refused else "",
        ),
    ]


def charts(numbers: Numbers) -> list[Chart]:
    def of_day(begin: datetime, end: datetime) -> str:
        return days.list_url(INSTALLATIONS, since=f"{begin:%Y-%m-%d}", until=f"{end:%Y-%m-%d}")

    def of_span(span: str) -> str:
        return days.list_url(INSTALLATIONS, state=Status.FINISHED, took=span)

    words = days.middle_and_slowest(numbers.seconds)
    return [
        Chart(
            "Installations per day",
            bar_chart(
                days.bars_by_day(numbers.by_day, TONES, of_day), name="Installations per day"
            ),
            "No machine asked in the last two weeks.",
            legend=[(tone, status) for status, tone in TONES if status in numbers.by_day],
        ),
        Chart(
            f"From the answer to the report: {words}" if words else "From the answer to the report",
            bar_chart(
                days.bars_by_duration(numbers.seconds, of_span), name="Installations by duration"
            ),
            "No machine has reported back yet.",
        ),
    ]


def first_steps(actor: Actor, numbers: Numbers) -> Iterator[Step]:
    """Until the first machine has asked: what is missing for it."""
    if numbers.by_day or numbers.seconds:
        return
    has_token, has_config = AnswerToken.objects.exists(), PreparedConfig.objects.exists()
    if not has_token and actor.grants.allows("answer_token_manage"):
        yield Step(
            "Create an answer token",
            reverse("admin:autoinstall_answertoken_add"),
            "An installer shows it to get its answer; it goes into the image.",
        )
    if not has_config and actor.grants.allows("prepared_config_manage"):
        yield Step(
            "Prepare a config",
            reverse("admin:autoinstall_preparedconfig_add"),
            "What a machine is installed with, and which machines get it.",
        )
    if has_token and has_config:
        yield Step(
            "Boot a machine from a prepared image",
            days.list_url(ATTEMPTS),
            "Whatever it asks appears among the attempts, with the reason if it gets no answer.",
        )
