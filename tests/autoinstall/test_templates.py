"""What templates make of a machine, and what happens when they fail."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.models import AuditEvent
from autoinstall.models import AnswerToken, Attempt, HeldValue, TemplateCounter
from tests.answers import nothing_changes
from tests.autoinstall import strict
from tests.autoinstall.attempts import newest, one_attempt, sentence_of
from tests.autoinstall.factories import STATIC, ask, make_config, system_info

Token = tuple[AnswerToken, str]

MACS = ("A0:36:9F:3C:55:10", "A0:36:9F:3C:55:11")
COUNTERS = {"nr": 7}
VARIABLES = {"site": "vie", "zone": "lab.example.org"}


def rendered(token: Token, info: dict[str, Any] | None = None, **config: Any) -> dict[str, Any]:
    make_config(
        authorized_tokens=["rack-7"],
        template_counters=COUNTERS,
        template_variables=VARIABLES,
        **config,
    )
    answer = ask(token[1], info or system_info("NW 7F2/K9", macs=MACS))
    assert answer.status_code == 200, answer.content
    return strict.parse_json(answer.content)


# Field, template, what becomes of it.
EXAMPLES = [
    ("fqdn", "pve{{ nr }}.example.com", "pve7.example.com"),
    ("fqdn", "pve{{ '%03d'|format(nr) }}.example.com", "pve007.example.com"),
    (
        "fqdn",
        "{{ dmi.system.serial|lower|replace(' ','-')|replace('/','-') }}.example.com",
        "nw-7f2-k9.example.com",
    ),
    (
        "fqdn",
        "n{{ network_interfaces[0].mac|replace(':','')|lower }}.example.com",
        "na0369f3c5510.example.com",
    ),
    ("fqdn", "{{ product.product }}{{ nr }}.{{ zone }}", "pve7.lab.example.org"),
    (
        "fqdn",
        "{% if product.product == 'pve' %}node{% else %}store{% endif %}-{{ site }}.example.com",
        "node-vie.example.com",
    ),
    ("fqdn", "pve-{{ dmi.system.uuid[-4:] }}.example.com", "pve-0001.example.com"),
    ("fqdn", "{{ dmi.system.name|split|last|lower }}.example.com", "r210.example.com"),
    ("fqdn", "{% set n = nr * 2 %}pve{{ n ~ 'a' }}.example.com", "pve14a.example.com"),
    (
        "fqdn",
        "{% for card in network_interfaces %}{{ card.link }}-{% endfor %}x.example.com",
        "eno1-eno2-x.example.com",
    ),
    ("fqdn", "pve{{ dmi.system.nothing }}1.example.com", "pve1.example.com"),
    ("fqdn", "btrfs-{{ product.enable_btrfs }}.example.com", "btrfs-true.example.com"),
    ("fqdn", "old-{{ nr > 9 }}.example.com", "old-false.example.com"),
    ("fqdn", "pve{{ iso.release|replace('.','-') }}.example.com", "pve9-2.example.com"),
    ("fqdn", "pve1.example.com{# by hand #}", "pve1.example.com"),
    ("fqdn", "pve{{ '|x is y' if nr is lt 1 else nr }}.example.com", "pve7.example.com"),
    ("fqdn", "{% filter lower %}PVE{% endfilter %}1.example.com", "pve1.example.com"),
    ("cidr", "10.7.0.{{ nr + 10 }}/24", "10.7.0.17/24"),
    ("cidr", "10.7.{{ nr // 4 }}.{{ nr % 4 + 1 }}/16", "10.7.1.4/16"),
    ("cidr", "2001:db8::{{ '%x'|format(nr + 8) }}/64", "2001:db8::f/64"),
    ("gateway", "10.7.{{ [nr, 0]|min }}.1", "10.7.0.1"),
    ("dns", "{{ '10.7.0.53' if site == 'vie' else '10.8.0.53' }}", "10.7.0.53"),
    ("mailto", "ops+{{ dmi.chassis.sku|upper }}@example.com", "ops+RACK@example.com"),
]


@pytest.mark.parametrize(("field", "template", "value"), EXAMPLES)
def test_a_template_makes_of_a_machine(field: str, template: str, value: str, token: Token) -> None:
    config: dict[str, Any] = {**STATIC, field: template}

    answer = rendered(token, **config)

    section = "network" if field in ("cidr", "gateway", "dns") else "global"
    assert answer[section][field] == value


def test_a_machine_without_a_filesystem_flag_prints_false(token: Token) -> None:
    answer = rendered(
        token, system_info(product="pbs"), fqdn="btrfs-{{ product.enable_btrfs }}.example.com"
    )

    assert answer["global"]["fqdn"] == "btrfs-false.example.com"


def test_templates_see_mac_addresses_in_upper_case(token: Token) -> None:
    info = system_info(macs=("a0:36:9f:3c:55:1f",))

    answer = rendered(token, info, mailto="m{{ network_interfaces[0].mac[-2:] }}@example.com")

    assert answer["global"]["mailto"] == "m1F@example.com"


def test_a_counter_hides_the_system_information_of_its_name(token: Token) -> None:
    make_config(
        authorized_tokens=["rack-7"], fqdn="pve{{ iso }}.example.com", template_counters={"iso": 3}
    )

    assert ask(token[1]).json()["global"]["fqdn"] == "pve3.example.com"


def test_nothing_of_one_machine_is_left_for_the_next(token: Token) -> None:
    make_config(
        authorized_tokens=["rack-7"],
        fqdn="{% if dmi.system.sku %}{% set x = 'a' %}{% endif %}{{ dmi.system.serial }}.example.com",
    )

    for serial in ("first", "second", "first"):
        fqdn = ask(token[1], system_info(serial)).json()["global"]["fqdn"]
        assert fqdn == f"{serial}.example.com"


def test_what_a_machine_sends_is_no_template_itself(token: Token) -> None:
    make_config(authorized_tokens=["rack-7"], mailto="{{ dmi.system.serial }}@example.com")

    answer = ask(token[1], system_info("{{7*7}}"))

    assert answer.json()["global"]["mailto"] == "{{7*7}}@example.com"


def test_html_is_not_escaped(token: Token) -> None:
    make_config(authorized_tokens=["rack-7"], mailto="{{ dmi.system.serial }}@example.com")

    answer = ask(token[1], system_info("a&'b"))

    assert answer.json()["global"]["mailto"] == "a&'b@example.com"


# --- Failed ------------------------------------------------------------------------------------

# Field, template, system information beside the usual, what the sentence says.
FAILED: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "no host name": ("fqdn", "{{ dmi.system.nothing }}.example.com", {}, "fqdn"),
    "no domain": ("fqdn", "{{ 'pve' }}", {}, "no domain"),
    "a blank in the name": ("fqdn", "{{ dmi.system.name }}.example.com", {}, "Northwind R210"),
    "a numeric name": ("fqdn", "{{ nr }}.example.com", {}, "only digits"),
    "a name too long": ("fqdn", "{{ 'a' * 64 }}.example.com", {}, "fqdn"),
    "no netmask": ("cidr", "10.7.0.{{ nr }}", {}, "10.7.0.4"),
    "no address": ("cidr", "10.7.0.{{ nr + 300 }}/24", {}, "10.7.0.304/24"),
    "a netmask too long": ("cidr", "10.7.0.{{ nr }}/33", {}, "10.7.0.4/33"),
    "no gateway": ("gateway", "{{ dmi.system.nothing }}", {}, "gateway"),
    "no name server": ("dns", "dns{{ nr }}.example.com", {}, "dns4.example.com"),
    "a line break": (
        "mailto",
        "{{ dmi.system.serial }}@example.com",
        {"serial": "a\nb"},
        "control characters",
    ),
    "an escape": (
        "fqdn",
        "{{ dmi.system.serial }}.example.com",
        {"serial": "a\x1bb"},
        "control characters",
    ),
    "an attribute of nothing": ("fqdn", "{{ dmi.system.a.b }}.example.com", {}, "template failed"),
    "an unknown filter by chance": (
        "fqdn",
        "{{ nr|int + dmi.system.serial }}.example.com",
        {},
        "template failed",
    ),
    "a division by zero": ("cidr", "10.7.0.{{ 1 // (nr - 4) }}/24", {}, "template failed"),
    "a loop without end": (
        "fqdn",
        "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
        {},
        "template failed",
    ),
    "a recursion without end": (
        "fqdn",
        "{% macro again(n) %}{{ again(n + 1) }}{% endmacro %}{{ again(nr) }}",
        {},
        "template failed",
    ),
}


@pytest.mark.parametrize("case", FAILED)
def test_a_failed_template_is_400_with_a_row_and_uses_nothing_up(case: str, token: Token) -> None:
    field, template, more, said = FAILED[case]
    make_config(
        authorized_tokens=["rack-7"],
        template_counters={"nr": 4},
        post_hook_base_url="https://ps.example.com",
        **{**STATIC, field: template},
    )

    with (
        nothing_changes(Attempt, AuditEvent, AnswerToken),
        one_attempt(
            "answer.failed",
            outcome="render-failed",
            status="",
            counters={},
            hook_digest="",
            deadline_at=None,
            token_name="rack-7",
        ),
    ):
        answer = ask(token[1], system_info(**more))

    sentence = sentence_of(answer, 400)
    assert sentence.startswith(f"{field}: ") and said in sentence
    assert newest().reason == sentence
    assert newest().config_name
    assert AnswerToken.objects.get(name="rack-7").uses == 0
    assert TemplateCounter.objects.get().value == 4
    assert not HeldValue.objects.exists()


def test_after_a_failure_the_next_machine_gets_the_value(token: Token) -> None:
    make_config(
        authorized_tokens=["rack-7"],
        fqdn="{{ dmi.system.serial }}{{ nr }}.example.com",
        template_counters={"nr": 0},
    )

    sentence_of(ask(token[1], system_info("not a name")), 400)

    assert ask(token[1], system_info("pve")).json()["global"]["fqdn"] == "pve0.example.com"
