"""Several processes, one catalogue: what one of them changes decides the very next request of another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from autoinstall import snapshot
from autoinstall.documents import Secrets, TokenChange
from autoinstall.models import AnswerToken, CatalogueChange, PreparedConfig
from autoinstall.services import configs, tokens
from autoinstall.snapshot import Snapshot
from provisioning.errors import ProductError
from tests.autoinstall.attempts import newest, one_attempt
from tests.autoinstall.factories import (
    ACTOR,
    ask,
    config_body,
    machine,
    make_config,
    make_token,
    system_info,
)

Token = tuple[AnswerToken, str]


@contextmanager
def another_process() -> Iterator[None]:
    """What is done within is not seen by the snapshot of this process, as if another one did it."""
    ours = snapshot.current()
    snapshot._Holder.snapshot = None
    yield
    snapshot._Holder.snapshot = ours


def change(name: str, *delete: str, **values: Any) -> None:
    wire = {key.replace("_", "-"): value for key, value in values.items()}
    configs.change_config(
        name=name, values=wire, delete=list(delete), secrets=Secrets(), actor=ACTOR
    )


def change_token(name: str, **wire: Any) -> str | None:
    """Its new secret, if it got one."""
    wanted = TokenChange.model_validate(wire)
    return tokens.change_token(name=name, change=wanted, actor=ACTOR)[1]


def served(credential: str, info: dict[str, Any] | None = None) -> str:
    """The id of the config that is served, or the status."""
    answer = ask(credential, info)
    return newest().config_name if answer.status_code == 200 else str(answer.status_code)


def test_another_process_really_is_one(token: Token) -> None:
    before = snapshot.current()
    with another_process():
        make_config(id="rack", authorized_tokens=["rack-7"])

    assert snapshot.current() is before
    assert len(before.configs) == 0


# --- The very next request ---------------------------------------------------------------------


def test_a_config_made_elsewhere_is_served_at_once(token: Token) -> None:
    assert served(token[1]) == "400"
    with another_process():
        make_config(id="rack", authorized_tokens=["rack-7"])

    assert served(token[1]) == "rack"


def test_a_config_deleted_elsewhere_is_not_served_any_more(token: Token) -> None:
    make_config(id="rack", authorized_tokens=["rack-7"])
    assert served(token[1]) == "rack"
    with another_process():
        configs.delete_config(name="rack", actor=ACTOR)

    assert served(token[1]) == "400"


def test_a_config_changed_elsewhere_is_served_as_it_is_now(token: Token) -> None:
    make_config(id="rack", authorized_tokens=["rack-7"])
    served(token[1])
    with another_process():
        change("rack", fqdn="new{{ nr }}.example.com", template_counters={"nr": 3})

    assert ask(token[1]).json()["global"]["fqdn"] == "new3.example.com"


def test_a_counter_taken_out_elsewhere_is_not_asked_for(token: Token) -> None:
    make_config(
        id="rack",
        authorized_tokens=["rack-7"],
        fqdn="pve{{ nr }}.example.com",
        template_counters={"nr": 3},
    )
    served(token[1])
    with another_process():
        change("rack", "template-counters", fqdn="pve1.example.com")

    assert ask(token[1]).json()["global"]["fqdn"] == "pve1.example.com"
    assert newest().counters == {}


def test_a_priority_changed_elsewhere_decides_at_once(token: Token) -> None:
    for name in ("first", "second"):
        make_config(id=name, authorized_tokens=["rack-7"])
    assert served(token[1]) == "first"
    with another_process():
        change("second", priority=-1)

    assert served(token[1]) == "second"


def test_a_filter_changed_elsewhere_decides_at_once(token: Token) -> None:
    make_config(id="rack", authorized_tokens=["rack-7"])
    served(token[1])
    with another_process():
        change("rack", target_filter={"/dmi/system/name": "Elsewhere *"})

    assert served(token[1]) == "400"
    assert served(token[1], system_info(name="Elsewhere 1")) == "rack"


def test_another_default_decides_at_once(token: Token) -> None:
    make_config(id="one", authorized_tokens=["rack-7"], is_default=True)
    assert served(token[1]) == "one"
    with another_process():
        change("one", is_default=False)
        make_config(id="other", authorized_tokens=["rack-7"], is_default=True, target_filter=None)
        change("one", target_filter={"/dmi/system/name": "no"})

    assert served(token[1]) == "other"


def test_a_token_authorised_elsewhere_is_served_at_once(token: Token) -> None:
    make_config(id="rack")
    assert served(token[1]) == "400"
    with another_process():
        change("rack", authorized_tokens=["rack-7"])

    assert served(token[1]) == "rack"


def test_a_token_made_elsewhere_is_good_at_once(token: Token) -> None:
    served(token[1])
    with another_process():
        _, credential = make_token("fresh")
        make_config(id="rack", authorized_tokens=["fresh"])

    assert served(credential) == "rack"


def test_a_token_made_elsewhere_needs_no_other_change_to_be_good(token: Token) -> None:
    served(token[1])
    with another_process():
        _, credential = make_token("fresh")

    with one_attempt("answer.missed", token_name="fresh"):
        ask(credential)


BODIES: dict[str, dict[str, Any] | bytes] = {
    "that matches": system_info(),
    "that matches nothing": system_info(name="Elsewhere 1"),
    "that is malformed": b"{",
    "whose template fails": system_info("not a name", name="Failing"),
}


def rotate() -> None:
    change_token("rack-7", **{"regenerate-secret": True})


def disable() -> None:
    change_token("rack-7", enabled=False)


def delete() -> None:
    for config in PreparedConfig.objects.all():
        configs.delete_config(name=config.name, actor=ACTOR)
    tokens.delete_token(name="rack-7", actor=ACTOR)


def narrow() -> None:
    change_token("rack-7", **{"source-cidrs": ["192.0.2.0/24"]})


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("act", [rotate, disable, delete, narrow])
def test_a_token_that_ended_elsewhere_is_dead_at_once_whatever_it_asks(
    act: Callable[[], None], body: str, token: Token
) -> None:
    make_config(authorized_tokens=["rack-7"])
    make_config(
        authorized_tokens=["rack-7"],
        target_filter={"/dmi/system/name": "Failing"},
        fqdn="{{ dmi.system.serial }}.example.com",
    )
    assert ask(token[1]).status_code == 200
    with another_process():
        act()

    with one_attempt("answer.refused", outcome="refused"):
        answer = ask(token[1], BODIES[body])

    assert (answer.status_code, answer.content) == (401, b"")


def test_a_new_secret_is_good_at_once(token: Token) -> None:
    make_config(id="rack", authorized_tokens=["rack-7"])
    served(token[1])
    with another_process():
        secret = change_token("rack-7", **{"regenerate-secret": True})

    assert served(f"rack-7:{secret}") == "rack"


def test_a_token_deleted_and_made_again_elsewhere_is_another(token: Token) -> None:
    """Ten times: the numbers of the two rows must not matter."""
    credential = token[1]
    assert served(credential) == "400"
    for _ in range(10):
        former = credential
        with another_process():
            tokens.delete_token(name="rack-7", actor=ACTOR)
            _, credential = make_token("rack-7")

        assert served(former) == "401"
        assert served(credential) == "400"


def test_what_was_undone_elsewhere_never_was(token: Token) -> None:
    make_config(id="rack", authorized_tokens=["rack-7"])
    served(token[1])
    with another_process(), transaction.atomic():
        change("rack", fqdn="new.example.com")
        transaction.set_rollback(True)

    assert ask(token[1]).json()["global"]["fqdn"] == "pve1.example.com"


# --- Far behind --------------------------------------------------------------------------------


def test_a_process_whose_changes_are_forgotten_loads_everything(token: Token) -> None:
    served(token[1])
    with another_process():
        make_config(id="rack", authorized_tokens=["rack-7"])
        make_config(id="other", authorized_tokens=["rack-7"], priority=-1)
    CatalogueChange.objects.all().delete()

    assert served(token[1]) == "other"


def test_a_process_ahead_of_a_restored_database_loads_everything(token: Token) -> None:
    make_config(id="rack", authorized_tokens=["rack-7"])
    served(token[1])
    snapshot.current().generation += 1000

    assert served(token[1]) == "rack"


def test_many_changes_at_once_are_all_seen(token: Token, monkeypatch: Any) -> None:
    monkeypatch.setattr(snapshot, "MANY_CHANGES", 5)
    served(token[1])
    with another_process():
        for number in range(10):
            make_config(
                id=f"rack-{number}",
                authorized_tokens=["rack-7"],
                target_filter={"/dmi/system/serial": f"SN-{number:04}"},
            )

    assert [served(token[1], machine(n)) for n in (0, 9)] == ["rack-0", "rack-9"]


# --- Any changes -------------------------------------------------------------------------------

NAMES, TOKENS = ["one", "two", "six"], ["tok-1", "tok-2"]
FILTERS: list[dict[str, str]] = [
    {"/dmi/system/name": "Northwind R210"},
    {"/dmi/system/name": "Northwind *"},
    {"/dmi/system/serial": "*1", "/network_interfaces/*/mac": "a0:36:9f:*"},
    {"/network_interfaces/0/mac": "A0:36:9F:10:20:01"},
    {"/dmi/system/serial": "SN-000?"},
    {"/iso/release": "9.[12]"},
]
MACHINES = [
    system_info("SN-0001"),
    system_info("SN-0002", macs=("A0:36:9F:10:20:02",)),
    system_info("SN-0011", name="Northwind R99", release="8.4"),
    system_info("X", name="Elsewhere"),
]
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "target-filter": st.sampled_from(FILTERS),
        "priority": st.integers(-2, 2),
        "is-default": st.booleans(),
        "authorized-tokens": st.lists(st.sampled_from(TOKENS), min_size=1, unique=True),
        "template-counters": st.dictionaries(st.sampled_from("ab"), st.integers(0, 9)),
        "fqdn": st.sampled_from(["a.example.com", "b.example.com"]),
    },
)
ACTS = st.one_of(
    st.tuples(st.just("create"), st.sampled_from(NAMES), FIELDS),
    st.tuples(st.just("change"), st.sampled_from(NAMES), FIELDS),
    st.tuples(st.just("delete"), st.sampled_from(NAMES), st.none()),
    st.tuples(
        st.just("token"),
        st.sampled_from(TOKENS),
        st.sampled_from(
            [
                {"enabled": False},
                {"enabled": True},
                {"regenerate-secret": True},
                {"source-cidrs": ["10.7.0.0/24"], "allow-without-secret": True},
            ]
        ),
    ),
    st.tuples(st.just("replace token"), st.sampled_from(TOKENS), st.none()),
    st.tuples(st.just("refresh"), st.none(), st.none()),
)


def perform(act: tuple[str, Any, Any]) -> None:
    """One act of an operator; what is refused changes nothing."""
    kind, name, given = act
    try:
        match kind:
            case "create":
                body = config_body(id=name, **{"authorized-tokens": [TOKENS[0]], **given})
                del body["root-password-hashed"]
                secrets = Secrets.model_validate({"root-password-hashed": "$6$abcdefgh$abcdefgh"})
                configs.create_config(
                    document=configs.read_document(body), secrets=secrets, actor=ACTOR
                )
            case "change":
                configs.change_config(
                    name=name, values=given, delete=[], secrets=Secrets(), actor=ACTOR
                )
            case "delete":
                configs.delete_config(name=name, actor=ACTOR)
            case "replace token":
                tokens.delete_token(name=name, actor=ACTOR)
                make_token(name)
            case "token":
                change_token(name, **given)
    except ProductError:
        pass


def decisions(view: Snapshot) -> list[Any]:
    """Everything that it decides, about every machine and token."""
    found: list[Any] = [sorted(view.tokens.items()), view.generation]
    for token in sorted(view.tokens.values(), key=lambda one: one.pk):
        found += [
            [(one.payload, one.order) for one in view.configs.find(info, token.pk)]
            for info in MACHINES
        ]
        default = view.configs.default(token.pk)
        found.append(default and default.payload)
    found.append([(one.payload.name, one.order) for one in view.configs])
    return found


@hypothesis_settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(acts=st.lists(ACTS, min_size=1, max_size=14))
def test_a_snapshot_brought_up_to_date_decides_like_a_fresh_one(acts: list[Any], db: None) -> None:
    with transaction.atomic():
        snapshot.forget()
        for name in TOKENS:
            make_token(name)
        ours = snapshot.current()
        for act in acts:
            if act[0] == "refresh":
                snapshot.refresh()
                continue
            with another_process():
                perform(act)

        snapshot.refresh()

        assert snapshot.current() is ours
        assert decisions(ours) == decisions(snapshot.load())
        transaction.set_rollback(True)
    snapshot.forget()
