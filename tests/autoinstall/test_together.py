"""Requests that are committed together: nobody is answered for another, whatever happens to one."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from django.db import connection, connections, transaction

from accounts.models import AuditEvent
from autoinstall.authentication import NOTHING
from autoinstall.documents import Secrets
from autoinstall.models import AnswerToken, Attempt, TemplateCounter
from autoinstall.services import answering, catalogue, configs, recording, together
from autoinstall.services.answering import Asked
from autoinstall.services.together import Draft, commit_together
from provisioning.errors import Invalid
from provisioning.statements import Statement, one_transaction
from tests.autoinstall.attempts import newest, one_attempt, sentence_of
from tests.autoinstall.factories import ACTOR, ask, machine, make_config, make_token, system_info
from tests.processes import wait_until

Token = tuple[AnswerToken, str]
apart = pytest.mark.django_db(transaction=True, serialized_rollback=True)


class Panic(BaseException):
    """As a panic of the template engine comes: no Exception."""


def in_thread(act: Callable[[], Any]) -> Any:
    try:
        return act()
    except BaseException as error:
        return error
    finally:
        connections.close_all()


def draft_of(finish: Callable[[], bytes]) -> Draft:
    asked = Asked(raw=b"{}", credential=NOTHING, source="192.0.2.7", accepts_json=True)
    attempt = recording.blank(asked, token="", how=NOTHING.how)
    return Draft({**attempt, "outcome": Attempt.Outcome.ERROR}, finish=finish)


def finishing_with(result: bytes | BaseException) -> Callable[[], bytes]:
    def finish() -> bytes:
        if isinstance(result, BaseException):
            raise result
        return result

    return finish


@apart
@pytest.mark.parametrize("error", [Panic(), ValueError("x")])
def test_what_one_draft_raises_is_its_own(error: BaseException) -> None:
    go, is_leading = threading.Event(), threading.Event()

    def first() -> bytes:
        is_leading.set()
        go.wait(30)
        return b"first"

    finishes = [finishing_with(body) for body in (b"0", b"1", error, b"2", b"3")]
    drafts = [draft_of(finish) for finish in finishes]
    with ThreadPoolExecutor(6) as pool:
        leader = pool.submit(in_thread, functools.partial(commit_together, draft_of(first)))
        assert is_leading.wait(30)
        others = [pool.submit(in_thread, functools.partial(commit_together, one)) for one in drafts]
        wait_until(lambda: len(together._group_of(0)._waiting) == 5, "all of them wait")
        go.set()
        results = [one.result(30) for one in (leader, *others)]

    assert results == [b"first", b"0", b"1", error, b"2", b"3"]
    written = {str(draft.attempt["id"]) for draft in drafts if draft is not drafts[2]}
    assert set(map(str, Attempt.objects.values_list("pk", flat=True))) > written
    assert Attempt.objects.count() == AuditEvent.objects.count() == 5


class Relay:
    """A batch of two, and a third draft whose turn comes after it. Each `finish` runs before the last
    statements of its batch are sent."""

    def __init__(self, at_third: Callable[[], object]) -> None:
        self.pool = ThreadPoolExecutor(5)
        begins, are_queued = threading.Event(), threading.Event()
        third_is_queued = threading.Event()

        def first() -> bytes:
            begins.set()
            assert are_queued.wait(30)
            return b"first"

        def second() -> bytes:
            assert third_is_queued.wait(30)
            return b"second"

        def third() -> bytes:
            at_third()
            return b"third"

        def waiting() -> int:
            return len(together._group_of(0)._waiting)

        self.first = self.ask(first)
        assert begins.wait(30)
        self.batch = [self.ask(second), self.ask(second)]
        wait_until(lambda: waiting() == 2, "the batch waits")
        are_queued.set()
        wait_until(lambda: waiting() == 0, "the batch is being written")
        self.third = self.ask(third)
        wait_until(lambda: waiting() == 1, "the third waits")
        third_is_queued.set()

    def ask(self, finish: Callable[[], bytes]) -> Future[Any]:
        return self.pool.submit(in_thread, functools.partial(commit_together, draft_of(finish)))

    def results(self) -> list[Any]:
        return [one.result(30) for one in (self.first, *self.batch, self.third)]


@apart
def test_who_is_committed_is_answered_although_the_next_batch_hangs() -> None:
    go_on = threading.Event()
    relay = Relay(at_third=lambda: go_on.wait(30))

    assert [one.result(30) for one in relay.batch] == [b"second", b"second"]
    assert not relay.third.done()

    go_on.set()
    assert relay.results() == [b"first", b"second", b"second", b"third"]


@apart
def test_the_next_batch_is_on_its_way_before_the_last_one_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(together, "HEAD_START_SECONDS", 30)
    answered: list[bool] = []
    relay: list[Relay] = []
    is_made = threading.Event()

    def look() -> None:
        assert is_made.wait(30)
        time.sleep(0.1)  # were they let go, they would be done by now
        answered.extend(one.done() for one in relay[0].batch)

    relay.append(Relay(at_third=look))
    is_made.set()

    assert relay[0].results() == [b"first", b"second", b"second", b"third"]
    assert answered == [False, False]


PANICS = '{{ "xx" * (n * 999999 * 999999 * 9) }}.example.com'


def test_a_template_on_which_the_engine_panics_is_a_failed_answer(token: Token) -> None:
    make_config(authorized_tokens=["rack-7"], fqdn=PANICS, template_counters={"n": 999_999})

    with one_attempt("answer.failed", outcome="render-failed", counters={}):
        sentence = sentence_of(ask(token[1]), 400)

    assert "the engine gave up" in sentence


@pytest.mark.parametrize(
    "template",
    [
        '{{ "xx" * 9223372036854775807 }}.example.com',
        "{{ 1|batch(9223372036854775807) }}",
        '{{ "%999999999999999d"|format(1) }}',
        '{% set x = "a" * 10000000 %}a.b',
    ],
)
def test_a_template_with_an_absurd_number_is_not_saved(template: str, token: Token) -> None:
    with pytest.raises(Invalid, match="more than six digits"):
        make_config(authorized_tokens=["rack-7"], fqdn=template)


def test_long_numbers_outside_of_expressions_are_fine(token: Token) -> None:
    make_config(authorized_tokens=["rack-7"], fqdn="pve-20261122.{{ product.product }}.example.com")

    assert b"pve-20261122.pve.example.com" in ask(token[1]).content


postgresql = pytest.mark.skipif(
    "connection.vendor != 'postgresql'", reason="SQLite lets one writer in at a time"
)


def hold_row(token: AnswerToken, seconds: threading.Event, is_held: threading.Event) -> None:
    with transaction.atomic():
        AnswerToken.objects.select_for_update().get(pk=token.pk)
        is_held.set()
        seconds.wait(30)


def is_waiting_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        return int(cursor.fetchone()[0]) > 0


@apart
def test_a_transaction_that_failed_with_rows_unread_is_in_nobodys_way() -> None:
    """SQLite lets none write whose view of the database is an old one."""
    with contextlib.suppress(RuntimeError), one_transaction() as driver:
        unread = Statement("SELECT id FROM accounts_role").execute(driver)
        raise RuntimeError
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(in_thread, lambda: make_token("rack-7")).result(30)
    assert commit_together(draft_of(finishing_with(b"x"))) == b"x"
    assert made[0].name == "rack-7"
    del unread


@apart
@postgresql
def test_who_waited_for_the_tokens_row_is_answered_by_the_catalogue_of_now() -> None:
    token, credential = make_token("rack-7")
    config = make_config(id="rack", authorized_tokens=["rack-7"]).config
    assert ask(credential).status_code == 200
    let_go, is_held = threading.Event(), threading.Event()
    with ThreadPoolExecutor(2) as pool:
        holder = pool.submit(in_thread, lambda: hold_row(token, let_go, is_held))
        assert is_held.wait(30)
        asking = pool.submit(in_thread, lambda: ask(credential))
        wait_until(is_waiting_for_a_lock, "the request waits")
        configs.delete_config(name=config.name, actor=ACTOR)
        let_go.set()
        holder.result(30)
        answer = asking.result(30)

    assert "No prepared config matches" in sentence_of(answer, 400)
    assert newest().outcome == "no-match"


@apart
@postgresql
def test_a_connection_that_breaks_between_two_requests_costs_neither_its_answer() -> None:
    _, credential = make_token("rack-7")
    make_config(authorized_tokens=["rack-7"])
    assert ask(credential).status_code == 200
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        mine = cursor.fetchone()[0]
    with ThreadPoolExecutor(1) as pool:
        pool.submit(in_thread, lambda: terminate(mine)).result(30)

    assert ask(credential, system_info("SN-2")).status_code == 200
    assert Attempt.objects.filter(outcome="answered").count() == 2


def terminate(pid: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


@apart
@postgresql
def test_a_token_whose_row_is_held_keeps_no_other_token_waiting() -> None:
    token, credential = make_token("rack-7")
    _, other = make_token("rack-8")
    make_config(authorized_tokens=["rack-7", "rack-8"])
    let_go, is_held = threading.Event(), threading.Event()
    with ThreadPoolExecutor(2) as pool:
        holder = pool.submit(in_thread, lambda: hold_row(token, let_go, is_held))
        assert is_held.wait(30)
        asking = pool.submit(in_thread, lambda: ask(credential))
        wait_until(is_waiting_for_a_lock, "the request waits")

        assert ask(other, system_info("SN-2")).status_code == 200
        assert not asking.done()
        let_go.set()
        holder.result(30)
        assert asking.result(30).status_code == 200
    assert Attempt.objects.count() == 2


# --- Of PostgreSQL: connections that break, circles of transactions --------------------------------


@apart
@postgresql
def test_the_commit_of_a_batch_whose_acknowledgement_is_lost_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    token, credential = make_token("rack-7")
    make_config(
        authorized_tokens=["rack-7"], fqdn="pve-{{n}}.example.com", template_counters={"n": 1}
    )
    assert ask(credential, machine(1)).status_code == 200
    group = together._group_of(token.pk)
    commit_of_driver = psycopg.Connection.commit
    go, is_leading, is_lost = threading.Event(), threading.Event(), threading.Event()

    def commit(self: Any) -> None:
        if not is_leading.is_set():
            is_leading.set()
            go.wait(30)
            return commit_of_driver(self)
        commit_of_driver(self)
        if not is_lost.is_set():
            is_lost.set()
            self.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return None

    monkeypatch.setattr(psycopg.Connection, "commit", commit)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(in_thread, lambda: ask(credential, machine(2)))]
        assert is_leading.wait(30)
        asked += [
            pool.submit(in_thread, functools.partial(ask, credential, machine(number)))
            for number in (3, 4, 5)
        ]
        wait_until(lambda: len(group._waiting) == 3, "all of them wait")
        go.set()
        answers = [one.result(30) for one in asked]

    assert is_lost.is_set()
    assert [answer.status_code for answer in answers] == [200] * 4
    assert sorted(row.counters["n"] for row in Attempt.objects.all()) == [1, 2, 3, 4, 5]
    assert AnswerToken.objects.get().uses == 5


@apart
@postgresql
def test_a_connection_that_breaks_within_a_transaction_does_not_cost_the_answer() -> None:
    calls = []

    def finish() -> bytes:
        calls.append(1)
        if len(calls) == 1:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid()")
                mine = cursor.fetchone()[0]
            with ThreadPoolExecutor(1) as pool:
                pool.submit(in_thread, lambda: terminate(mine)).result(30)
        return b"x"

    assert commit_together(draft_of(finishing_with(b"before"))) == b"before"
    assert commit_together(draft_of(finish)) == b"x"
    assert Attempt.objects.count() == 2


def is_waiting_here() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return int(cursor.fetchone()[0]) > 0


@apart
@postgresql
def test_a_single_request_that_waits_in_a_circle_is_answered() -> None:
    _, credential = make_token("rack-7")
    make_config(
        authorized_tokens=["rack-7"],
        fqdn="pve-{{a}}-{{b}}.example.com",
        template_counters={"a": 1, "b": 1},
    )
    is_held = threading.Event()

    def other() -> None:
        update = "UPDATE autoinstall_templatecounter SET value = value WHERE name = %s"
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL deadlock_timeout = '20s'")  # the request is the one to end
            cursor.execute(update, ["b"])
            is_held.set()
            wait_until(is_waiting_here, "the request waits")
            cursor.execute(update, ["a"])

    with ThreadPoolExecutor(1) as pool:
        holder = pool.submit(in_thread, other)
        assert is_held.wait(30)
        answer = ask(credential, machine(1))
        assert holder.result(30) is None
    assert answer.status_code == 200


@apart
def test_a_leader_who_is_interrupted_during_the_head_start_leaves_nobody_asleep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wait = threading.Event.wait

    def interrupted(event: threading.Event, timeout: float | None = None) -> bool:
        if timeout == together.HEAD_START_SECONDS:
            raise Panic
        return wait(event, timeout)

    monkeypatch.setattr(threading.Event, "wait", interrupted)
    relay = Relay(at_third=lambda: None)

    # The first of the two leads for both, and is the one that is interrupted.
    results = [one.result(30) for one in relay.batch]
    assert isinstance(results[0], Panic)
    assert results[1] == b"second"
    assert relay.third.result(30) == b"third"


@apart
@postgresql
def test_a_batch_that_is_refused_keeps_its_connection(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    token, credential = make_token("rack-7")
    make_config(authorized_tokens=["rack-7"], fqdn="p{{ nr }}.x.org", template_counters={"nr": 0})
    render = answering._render

    def slowly(*given: Any) -> bytes:
        time.sleep(0.005)  # so the server has refused the second value before all is sent
        return render(*given)

    monkeypatch.setattr(answering, "_render", slowly)
    let_go, is_held = threading.Event(), threading.Event()
    group = together._group_of(token.pk)
    with ThreadPoolExecutor(8) as pool:
        pool.submit(in_thread, lambda: hold_row(token, let_go, is_held))
        assert is_held.wait(30)

        def asks(number: int) -> Future[Any]:
            act = functools.partial(ask, credential, machine(number))
            return pool.submit(in_thread, act)

        answers = [asks(10)]
        wait_until(is_waiting_here, "the first waits for the row")
        answers += [asks(number) for number in (11, 11, 12)]
        wait_until(lambda: len(group._waiting) == 3, "a batch with one machine twice waits")
        let_go.set()
        assert [one.result(30).status_code for one in answers] == [200] * 4
    assert "ignored" not in caplog.text


@apart
@postgresql
@pytest.mark.parametrize("is_sticky", [True, False])
def test_who_waited_for_a_counter_is_answered_by_the_config_of_now(
    is_sticky: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, credential = make_token("rack-7")
    make_config(
        id="rack",
        authorized_tokens=["rack-7"],
        fqdn="old{{ nr }}.x.org",
        template_counters={"nr": 0},
        sticky_counters=is_sticky,
    )
    assert [ask(credential, machine(n)).json()["global"]["fqdn"] for n in range(2)] == [
        "old0.x.org",
        "old1.x.org",
    ]
    is_edited, let_go = threading.Event(), threading.Event()
    note_change = catalogue.note_change

    def late(*given: Any) -> Any:
        is_edited.set()
        assert let_go.wait(30)
        return note_change(*given)

    monkeypatch.setattr(configs, "note_change", late)
    values = {"fqdn": "new{{ nr }}.x.org", "template-counters": {"nr": 5}}
    with ThreadPoolExecutor(2) as pool:
        edit = pool.submit(
            in_thread,
            lambda: configs.change_config(
                name="rack", values=values, delete=[], secrets=Secrets(), actor=ACTOR
            ),
        )
        assert is_edited.wait(30)
        answer = pool.submit(in_thread, lambda: ask(credential, machine(9)))
        wait_until(is_waiting_here, "the machine waits for the counter")
        let_go.set()
        assert not isinstance(edit.result(30), BaseException)
        assert answer.result(30).json()["global"]["fqdn"] == "new5.x.org"


@apart
@postgresql
def test_an_edit_locks_counters_in_the_order_of_answers() -> None:
    make_token("rack-7")
    make_config(
        id="rack", authorized_tokens=["rack-7"], fqdn="p.x.org", template_counters={"z": 0, "a": 0}
    )
    counters = TemplateCounter.objects.all()

    def edit() -> None:
        values = {"template-counters": {"z": 7, "a": 7}}
        configs.change_config(name="rack", values=values, delete=[], secrets=Secrets(), actor=ACTOR)

    let_go, is_held = threading.Event(), threading.Event()

    def hold_first() -> None:
        with transaction.atomic():
            counters.select_for_update().get(name="a")
            is_held.set()
            let_go.wait(30)

    with ThreadPoolExecutor(2) as pool:
        pool.submit(in_thread, hold_first)
        assert is_held.wait(30)
        edited = pool.submit(in_thread, edit)
        wait_until(is_waiting_here, "the edit waits for the first counter")
        with transaction.atomic():
            counters.select_for_update(nowait=True).get(name="z")
        let_go.set()
        assert edited.result(30) is None
    assert dict(counters.values_list("name", "value")) == {"z": 7, "a": 7}
