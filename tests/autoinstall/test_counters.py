"""Template counters: each machine its own values, the same machine the same again, whoever else asks."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import pytest
from django.db import connection, connections, transaction

from accounts.models import AuditEvent
from autoinstall.documents import MAX_COUNTER, Secrets
from autoinstall.models import AnswerToken, Attempt, HeldValue, PreparedConfig, TemplateCounter
from autoinstall.services import configs
from tests.answers import nothing_changes
from tests.autoinstall.attempts import newest, one_attempt, sentence_of
from tests.autoinstall.factories import ACTOR, ask, machine, make_config, make_token, system_info
from tests.concurrently import at_once
from tests.processes import wait_until

Token = tuple[AnswerToken, str]
SECRETS = Secrets()


def counting(**wire: Any) -> PreparedConfig:
    """A config whose machines are called pve0, pve1 and so on."""
    body: dict[str, Any] = {
        "id": "rack",
        "authorized-tokens": ["rack-7"],
        "fqdn": "pve{{ nr }}.example.com",
        "template-counters": {"nr": 0},
        **{key.replace("_", "-"): value for key, value in wire.items()},
    }
    return make_config(**body).config


def change(**values: Any) -> None:
    wire = {key.replace("_", "-"): value for key, value in values.items()}
    configs.change_config(name="rack", values=wire, delete=[], secrets=SECRETS, actor=ACTOR)


def value_for(token: Token, info: dict[str, Any], name: str = "nr") -> int:
    answer = ask(token[1], info)
    assert answer.status_code == 200, answer.content
    counters: dict[str, int] = newest().counters
    if name == "nr":
        assert answer.json()["global"]["fqdn"] == f"pve{counters['nr']}.example.com"
    return counters[name]


def value_of(name: str = "nr") -> int:
    return TemplateCounter.objects.get(name=name).value


# --- One after the other -----------------------------------------------------------------------


def test_the_first_machine_gets_the_seed_and_each_next_one_more(token: Token) -> None:
    counting(template_counters={"nr": 5})

    assert [value_for(token, machine(n)) for n in range(4)] == [5, 6, 7, 8]
    assert value_of() == 9


def test_the_same_machine_gets_the_same_value_again(token: Token) -> None:
    counting()

    numbers = [1, 2, 1, 3, 2, 1, 3]

    assert [value_for(token, machine(n)) for n in numbers] == [0, 1, 0, 2, 1, 0, 2]
    assert value_of() == 3


def test_a_machine_keeps_its_value_from_json_to_toml(token: Token) -> None:
    counting()
    value_for(token, machine(0))
    value_for(token, machine(1))

    answer = ask(token[1], machine(0), accept="*/*")

    assert 'fqdn = "pve0.example.com"' in answer.content.decode()


def test_a_machine_keeps_its_value_with_another_token(token: Token) -> None:
    _, other = make_token("other")
    counting(authorized_tokens=["rack-7", "other"])
    value_for(token, machine(0))

    assert ask(other, machine(1)).json()["global"]["fqdn"] == "pve1.example.com"
    assert ask(other, machine(0)).json()["global"]["fqdn"] == "pve0.example.com"


def test_a_machine_keeps_its_value_when_its_installation_was_deleted(token: Token) -> None:
    counting()
    value_for(token, machine(0))
    Attempt.objects.all().delete()

    assert value_for(token, machine(0)) == 0


def test_every_config_counts_for_itself(token: Token) -> None:
    counting(target_filter={"/dmi/system/serial": "A*"})
    counting(id="other", target_filter={"/dmi/system/serial": "B*"}, template_counters={"nr": 100})

    serials = ["A1", "B1", "A2", "B2"]
    values = [value_for(token, system_info(serial, "", macs=())) for serial in serials]

    assert values == [0, 100, 1, 101]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"uuid": "0" * 8 + "-0000-0000-0000-" + "0" * 12}, {}),
        ({"uuid": "", "serial": "Default string"}, {}),
        ({"uuid": "03000200-0400-0500-0006-000700080009", "serial": "None"}, {}),
    ],
)
def test_machines_that_share_placeholders_are_told_apart_by_their_cards(
    one: dict[str, Any], other: dict[str, Any], token: Token
) -> None:
    counting()
    first = system_info(**{**one, "macs": ("A0:36:9F:00:00:01", "A0:36:9F:00:00:02")})
    second = system_info(**{**one, "macs": ("A0:36:9F:00:00:03",)})

    assert [value_for(token, info) for info in (first, second, first, second)] == [0, 1, 0, 1]


def test_a_machine_without_any_identity_gets_a_value_each_time(token: Token) -> None:
    counting()
    nobody = system_info("None", "", macs=())

    assert [value_for(token, nobody) for _ in range(3)] == [0, 1, 2]
    assert newest().identity == ""


def test_without_stickiness_every_request_gets_the_next_value(token: Token) -> None:
    counting(sticky_counters=False)

    assert [value_for(token, machine(n)) for n in (0, 0, 1, 0)] == [0, 1, 2, 3]
    assert not HeldValue.objects.exists()


# --- Several of them ---------------------------------------------------------------------------


def test_several_counters_go_on_together(token: Token) -> None:
    counting(template_counters={"nr": 0, "rack_unit": 20, "alpha": 7})

    for number in (0, 1, 0):
        value_for(token, machine(number))

    assert newest().counters == {"nr": 0, "rack_unit": 20, "alpha": 7}
    assert value_for(token, machine(2), "rack_unit") == 22


def test_a_counter_added_later_gives_known_machines_a_value_as_well(token: Token) -> None:
    counting()
    value_for(token, machine(0))
    value_for(token, machine(1))
    change(template_counters={"nr": 2, "vlan": 100})

    assert value_for(token, machine(1), "vlan") == 100
    assert newest().counters["nr"] == 1
    assert value_for(token, machine(0), "vlan") == 101
    assert newest().counters["nr"] == 0


def test_a_counter_taken_out_and_added_again_begins_anew(token: Token) -> None:
    counting()
    value_for(token, machine(0))
    value_for(token, machine(1))
    change(fqdn="pve1.example.com", template_counters={})
    change(fqdn="pve{{ nr }}.example.com", template_counters={"nr": 0})

    assert [value_for(token, machine(n)) for n in (1, 0)] == [0, 1]


# --- Set back, and at the end ------------------------------------------------------------------


def test_a_counter_set_back_skips_what_machines_hold(token: Token) -> None:
    counting()
    for number in range(5):
        value_for(token, machine(number))
    change(template_counters={"nr": 0})

    assert [value_for(token, machine(n)) for n in (5, 2, 6, 0)] == [5, 2, 6, 0]


def test_a_counter_set_back_fills_the_gaps_first(token: Token) -> None:
    counting(template_counters={"nr": 1})
    value_for(token, machine(0))  # 1
    change(template_counters={"nr": 3})
    value_for(token, machine(1))  # 3
    value_for(token, machine(2))  # 4
    change(template_counters={"nr": 6})
    value_for(token, machine(3))  # 6
    change(template_counters={"nr": 0})

    assert [value_for(token, machine(n)) for n in range(10, 15)] == [0, 2, 5, 7, 8]


def test_without_stickiness_a_counter_set_back_is_just_set_back(token: Token) -> None:
    counting(sticky_counters=False)
    value_for(token, machine(0))
    change(template_counters={"nr": 0})

    assert value_for(token, machine(1)) == 0


def test_the_last_value_is_given_out_and_then_there_is_none(token: Token) -> None:
    counting(template_counters={"nr": MAX_COUNTER})
    assert value_for(token, machine(0)) == MAX_COUNTER

    with (
        nothing_changes(Attempt, AnswerToken, AuditEvent),
        one_attempt("answer.failed", outcome="limit", status="", config_name="rack", counters={}),
    ):
        sentence = sentence_of(ask(token[1], machine(1)), 400)

    assert sentence == f"The template counter 'nr' is at its end ({MAX_COUNTER})."
    assert value_for(token, machine(0)) == MAX_COUNTER


def test_at_the_end_of_one_counter_the_others_give_nothing(token: Token) -> None:
    counting(template_counters={"aaa": 0, "nr": MAX_COUNTER, "zzz": 0})
    value_for(token, machine(0))

    sentence_of(ask(token[1], machine(1)), 400)

    assert (value_of("aaa"), value_of("zzz")) == (1, 1)
    assert HeldValue.objects.count() == 3


def test_a_counter_at_its_end_whose_last_values_are_held_is_at_its_end(token: Token) -> None:
    counting(template_counters={"nr": MAX_COUNTER - 1})
    value_for(token, machine(0))
    value_for(token, machine(1))
    change(template_counters={"nr": MAX_COUNTER - 1})

    sentence_of(ask(token[1], machine(2)), 400)


# --- At the same instant -----------------------------------------------------------------------

concurrently = pytest.mark.django_db(transaction=True, serialized_rollback=True)
N = 12


@pytest.fixture
def credential(transactional_db: None) -> str:
    return make_token("rack-7")[1]


def ask_at_once(credential: str, numbers: list[int]) -> list[str]:
    answers = at_once([partial(ask, credential, machine(number)) for number in numbers])
    assert {answer.status_code for answer in answers} == {200}, [a.content for a in answers]
    return [answer.json()["global"]["fqdn"].split(".")[0] for answer in answers]


@concurrently
@pytest.mark.parametrize("is_sticky", [True, False])
def test_machines_at_the_same_instant_share_no_value_and_leave_no_gap(
    is_sticky: bool, credential: str
) -> None:
    counting(sticky_counters=is_sticky)

    names = ask_at_once(credential, list(range(N)))

    assert sorted(names) == sorted(f"pve{n}" for n in range(N))
    assert value_of() == N
    assert Attempt.objects.filter(outcome="answered").count() == N


@concurrently
def test_one_machine_asking_many_times_at_once_gets_one_value(credential: str) -> None:
    counting()

    assert set(ask_at_once(credential, [1] * 8)) == {"pve0"}
    assert value_of() == 1
    assert ask_at_once(credential, [2]) == ["pve1"]
    assert Attempt.objects.count() == 9


@concurrently
def test_machines_that_ask_twice_at_once_leave_no_gap(credential: str) -> None:
    counting(template_counters={"nr": 0, "other": 50})
    numbers = [n // 2 for n in range(N)]

    names = ask_at_once(credential, numbers)

    by_machine = {
        number: {names[i] for i, n in enumerate(numbers) if n == number} for number in numbers
    }
    assert all(len(found) == 1 for found in by_machine.values())
    assert set(names) == {f"pve{n}" for n in range(N // 2)}
    assert value_of("other") == 50 + N // 2


@concurrently
def test_a_counter_set_back_gives_no_value_twice_at_the_same_instant(credential: str) -> None:
    counting()
    ask_at_once(credential, list(range(4)))
    change(template_counters={"nr": 0})

    names = ask_at_once(credential, list(range(4, 12)))

    assert sorted(names) == sorted(f"pve{n}" for n in range(4, 12))


@concurrently
def test_two_configs_with_the_same_names_do_not_lock_each_other_out(credential: str) -> None:
    numbers = {"aaa": 0, "zzz": 0}
    counting(
        template_counters={"nr": 0, **numbers}, target_filter={"/dmi/system/serial": "*[02468]"}
    )
    counting(
        id="odd",
        template_counters={**dict(reversed(numbers.items())), "nr": 0},
        target_filter={"/dmi/system/serial": "*[13579]"},
    )

    names = ask_at_once(credential, list(range(N)))

    assert sorted(names) == sorted(2 * [f"pve{n}" for n in range(N // 2)])


@concurrently
def test_a_token_for_five_answers_gives_five_at_the_same_instant(db: None) -> None:
    _, credential = make_token("five", max_uses=5)
    counting(authorized_tokens=["five"])

    answers = at_once([partial(ask, credential, machine(n)) for n in range(8)])

    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [401] * 3
    assert (value_of(), AnswerToken.objects.get(name="five").uses) == (5, 5)


@concurrently
def test_the_last_value_is_given_out_once_at_the_same_instant(credential: str) -> None:
    counting(template_counters={"nr": MAX_COUNTER - 2})

    answers = at_once([partial(ask, credential, machine(n)) for n in range(6)])

    assert sorted(answer.status_code for answer in answers) == [200] * 3 + [400] * 3


@concurrently
@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite lets one writer in at a time")
@pytest.mark.parametrize("is_sticky", [True, False])
def test_an_edit_of_something_else_sets_no_counter_back(is_sticky: bool, credential: str) -> None:
    """The edit has read the counters and waits for the config's row while a machine is answered."""
    config = counting(sticky_counters=is_sticky)
    ask_at_once(credential, [0])

    def edit() -> None:
        try:
            change(mailto="others@example.com")
        finally:
            connections.close_all()

    thread = threading.Thread(target=edit)
    with transaction.atomic():
        PreparedConfig.objects.select_for_update(no_key=True).get(pk=config.pk)
        thread.start()
        wait_until(somebody_waits, "the edit waits for the row")
        assert ask_at_once(credential, [1]) == ["pve1"]
    thread.join()

    assert ask_at_once(credential, [2]) == ["pve2"]


def somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")  # else a transaction sees the same again
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return bool(cursor.fetchone()[0])
