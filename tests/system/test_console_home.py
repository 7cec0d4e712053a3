"""The console's home page: what it says, to whom, and how few queries it takes."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import User, Workspace
from autoinstall.models import AnswerToken, Attempt
from operations.models import Operation, Runner
from operations.services.locking import lock_workspace
from provisioning.identifiers import first_id_at
from tests.browser import history
from tests.factories import bind, make_operation, make_user, make_workspace


@pytest.fixture
def production(db: None) -> Workspace:
    return Workspace.objects.get_or_create(name="production")[0]


def logged_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def home_of(user: User) -> str:
    response = logged_in(user).get("/admin/")
    assert response.status_code == 200
    return str(response.content.decode())


def figure(page: str, label: str) -> str:
    """The value that stands above this label."""
    found = re.search(rf'class="value">([^<]*)</span><span class="label">{re.escape(label)}<', page)
    assert found, label
    return found[1]


def make_worker(age: timedelta = timedelta(0)) -> Runner:
    now = timezone.now() - age
    return Runner.objects.create(
        role="worker",
        host_id="h",
        host_name="h",
        boot_id="b",
        pid=1,
        pid_started=1,
        heartbeat_at=now,
    )


def end(operation: Operation, status: str, seconds: float = 2) -> None:
    now = timezone.now()
    Operation.objects.filter(pk=operation.pk).update(
        status=status, started_at=now - timedelta(seconds=seconds), finished_at=now
    )


def double(model: type[Model], *, times: int) -> None:
    """Copy all rows within the database, which takes seconds where the ORM takes minutes; a copy's id
    differs in its last 48 bits, which hold no time."""
    quote = connection.ops.quote_name
    table = quote(model._meta.db_table)
    others = ", ".join(quote(str(field.column)) for field in model._meta.local_concrete_fields[1:])
    new_id = {
        "sqlite": "substr(id, 1, 20) || lower(hex(randomblob(6)))",
        "postgresql": "(left(id::text, 24) || left(md5(random()::text), 12))::uuid",
    }[connection.vendor]
    copy = f"INSERT INTO {table} (id, {others}) SELECT {new_id}, {others} FROM {table}"  # noqa: S608 - our own names
    with connection.cursor() as cursor:
        for _ in range(times):
            cursor.execute(copy)


def test_the_home_page_takes_few_queries_whatever_there_is(
    admin: User, production: Workspace
) -> None:
    client = logged_in(admin)
    history.fill(operations=12_500, attempts=1_250)
    for model, rows in ((Operation, 100_000), (Attempt, 10_000)):
        double(model, times=3)
        assert model._default_manager.count() == rows
    AnswerToken.objects.bulk_create(
        AnswerToken(name=f"t{number}", created_by="x", expire_at=2_000_000_000)
        for number in range(200)
    )

    with CaptureQueriesContext(connection) as queries:
        page = client.get("/admin/").content.decode()

    assert len(queries) < 20, "\n".join(one["sql"][:200] for one in queries)
    assert "Operations per day" in page
    assert "Installations per day" in page
    assert page.count('<svg class="chart"') == 4


def test_what_failed_waits_and_runs_is_counted_and_linked(
    viewer: User, production: Workspace
) -> None:
    make_worker()
    end(make_operation(production), "failed")
    end(make_operation(production), "completed")
    make_operation(production)

    page = home_of(viewer)

    assert figure(page, "failed in 24 hours") == "1"
    assert figure(page, "completed today") == "1"
    assert figure(page, "in the queue") == "1"
    assert "1 operation of the last 24 hours failed." in page
    link = re.search(r'href="(/admin/operations/operation/\?status__exact=failed[^"]*)"', page)
    assert link
    shown = logged_in(viewer).get(link[1].replace("&amp;", "&"))
    assert shown.context["cl"].result_count == 1


def test_a_failure_of_the_day_before_yesterday_is_in_the_chart_only(
    viewer: User, production: Workspace
) -> None:
    operation = make_operation(production)
    end(operation, "failed")
    before = timezone.now() - timedelta(days=2)
    Operation.objects.filter(pk=operation.pk).update(id=first_id_at(before), created_at=before)

    page = home_of(viewer)

    assert figure(page, "failed in 24 hours") == "0"
    assert re.search(rf"{before.day} {before:%b}: 1 failed", page)


def test_without_a_worker_the_page_says_that_nothing_starts(viewer: User) -> None:
    assert "No worker is alive: nothing starts." in home_of(viewer)

    make_worker()

    assert "No worker is alive" not in home_of(viewer)


def test_a_worker_that_fell_silent_is_named_to_who_may_see_workers(admin: User) -> None:
    make_worker()
    make_worker(age=timedelta(minutes=5))

    page = home_of(admin)

    assert "1 worker of 2 gave no sign of life." in page
    assert figure(page, "workers alive") == "1"
    assert "/admin/operations/runner/" in page


def test_a_workspace_that_somebody_keeps_is_named(
    operator: User, viewer: User, production: Workspace
) -> None:
    lock_workspace(
        workspace=production, reason="moving racks", actor=Actor(name="oscar", user=operator)
    )

    assert "oscar keeps the workspace production: moving racks" in home_of(viewer)


@pytest.mark.parametrize(
    ("outcome", "sentence"),
    [
        ("no-match", "1 request of the last 24 hours got no answer"),
        ("refused", "1 request of the last 24 hours refused"),
        ("render-failed", "could not be rendered"),
    ],
)
def test_requests_that_went_wrong_want_attention(viewer: User, outcome: str, sentence: str) -> None:
    Attempt.objects.create(outcome=outcome)

    assert sentence in home_of(viewer)


def test_machines_that_did_not_report_back_want_attention(viewer: User) -> None:
    now = timezone.now()
    for deadline in (now - timedelta(minutes=1), now + timedelta(minutes=1)):
        Attempt.objects.create(outcome="answered", status="in-progress", deadline_at=deadline)

    page = home_of(viewer)

    assert figure(page, "installing now") == "1"
    assert figure(page, "timed out") == "1"
    assert "1 machine did not report back in time." in page


@pytest.mark.parametrize(
    ("days", "is_named"), [(-1, False), (3, True), (30, False)], ids=["past", "soon", "later"]
)
def test_tokens_that_expire_soon_are_named(viewer: User, days: int, is_named: bool) -> None:
    at = int((timezone.now() + timedelta(days=days, minutes=1)).timestamp())
    AnswerToken.objects.create(name="rack-7", created_by="x", expire_at=at)

    assert ("The token rack-7 expires in 3 d" in home_of(viewer)) == is_named


def test_an_empty_installation_says_what_to_do_next(admin: User, viewer: User) -> None:
    page = home_of(admin)

    assert "What to do next" in page
    assert "/admin/autoinstall/answertoken/add/" in page
    assert "/admin/autoinstall/answertoken/add/" not in home_of(viewer)


def test_the_figures_are_of_the_workspaces_that_one_may_see(production: Workspace) -> None:
    guest = make_user("guest")
    bind(guest, "Viewer", make_workspace("other"))
    make_operation(production)

    assert figure(home_of(guest), "in the queue") == "0"


def test_a_chart_escapes_what_it_shows(admin: User, production: Workspace) -> None:
    lock_workspace(
        workspace=production, reason="<script>evil</script>", actor=Actor(name="a", user=admin)
    )

    page: Any = home_of(admin)

    assert "<script>evil" not in page
    assert "&lt;script&gt;evil" in page
