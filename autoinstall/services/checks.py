"""What a prepared config must hold to be of use: the rules of matching, templates and the installer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autoinstall import rules, snapshot
from autoinstall.answers import (
    KNOWN_INFO,
    SECRET,
    TEMPLATED,
    Answer,
    skeleton,
    template_problem,
    used_templates,
)
from autoinstall.documents import ConfigDocument, Errors
from autoinstall.filters import Filter, check_filter, compile_filter, may_overlap
from autoinstall.models import HeldValue, PreparedConfig
from provisioning.errors import Invalid

MOST_NAMED = 10
# Stands for the hash where the rules are asked: they want one, and need not see it.
_ANY_HASH = "$6$" + "x" * 16


def check(document: ConfigDocument) -> None:
    """Raises Invalid with the first sentence; all of them are its details, by field."""
    errors = problems(document)
    if errors:
        name, sentences = next(iter(errors.items()))
        error = Invalid(sentences[0], field=name)
        error.details = errors
        raise error


def problems(document: ConfigDocument) -> Errors:
    found: Errors = {}
    for name, sentence in (
        *_target_problems(document),
        *_name_problems(document),
        *_template_problems(document),
        *_installer_problems(document),
    ):
        found.setdefault(name, []).append(sentence)
    return found


def _target_problems(document: ConfigDocument) -> list[tuple[str, str]]:
    if not document.is_default and not document.target_filter:
        return [
            (
                "target-filter",
                "a config that is not the default needs at least one filter, or it never matches",
            )
        ]
    return [
        ("target-filter", f"{pointer!r}: {sentence}")
        for pointer, pattern in document.target_filter.items()
        if (sentence := check_filter(pointer, pattern))
    ]


def _name_problems(document: ConfigDocument) -> list[tuple[str, str]]:
    found = []
    for name in document.template_variables:
        if name in KNOWN_INFO:
            found.append((name, "is a name of the system information"))
        elif name in document.template_counters:
            found.append((name, "is a counter of this config"))
    problems = [
        ("template-variables", f"{name!r} {rule}: choose another name") for name, rule in found
    ]
    if document.netif_name_mapping and not document.netif_name_pinning_enabled:
        problems.append(("netif-name-mapping", "needs netif-name-pinning-enabled"))
    if document.dhcp_fqdn_domain and not document.use_dhcp_fqdn:
        problems.append(("dhcp-fqdn-domain", "needs use-dhcp-fqdn"))
    return problems


def _template_problems(document: ConfigDocument) -> list[tuple[str, str]]:
    names = frozenset(document.template_counters) | frozenset(document.template_variables)
    return [
        (key, sentence)
        for key, source in used_templates(document.wire()).items()
        if (sentence := template_problem(source, names))
    ]


def _installer_problems(document: ConfigDocument) -> list[tuple[str, str]]:
    wire = document.wire()
    answer = skeleton(wire, _ANY_HASH)
    templated = frozenset(TEMPLATED[key] for key in used_templates(wire))
    return [
        (rules.config_field(problem.path), f"{problem.path}: {problem.sentence}")
        for problem in rules.check_answer(answer, templated=templated)
    ]


def with_any_hash(answer: Answer) -> Answer:
    """Also for an answer whose hash is masked."""
    return {**answer, "global": {**answer["global"], "root-password-hashed": _ANY_HASH}}


# --- Warnings ----------------------------------------------------------------------------------


def warnings(config: PreparedConfig, document: ConfigDocument) -> list[str]:
    """What works, but may surprise; for a config that has just been saved."""
    tokens = frozenset(config.authorized_tokens.values_list("pk", flat=True))
    return draft_warnings(document, config.pk, tokens) + _held_warnings(config, document)


def draft_warnings(document: ConfigDocument, key: int | None, tokens: frozenset[int]) -> list[str]:
    """The same for one that need not be saved yet: then it has no `key`."""
    found = list(rules.warnings(skeleton(document.wire(), _ANY_HASH)))
    found += overlaps(document, key, tokens)
    for name in document.template_counters:
        if name in KNOWN_INFO:
            found.append(f"template-counters: {name!r} hides that part of the system information.")
    return found


def overlaps(document: ConfigDocument, key: int | None, tokens: frozenset[int]) -> list[str]:
    """Which other configs a machine could match as well: then the order decides."""
    if document.is_default:
        return []
    own = [compile_filter(*item) for item in document.target_filter.items()]
    others = _overlapping(key, own, tokens)
    if not others:
        return []
    named = ", ".join(others[:MOST_NAMED])
    more = f" and {len(others) - MOST_NAMED} more" if len(others) > MOST_NAMED else ""
    sentence = (
        f"target-filter: a machine may match this config and also {named}{more}: "
        "the smaller priority, then the older config wins."
    )
    return [sentence]


def _overlapping(key: int | None, own: list[Filter], tokens: frozenset[int]) -> list[str]:
    snapshot.refresh()
    return [
        entry.payload.name
        for entry in snapshot.current().configs
        if entry.key != key
        and not entry.is_default
        and entry.tokens & tokens
        and may_overlap(own, entry.filters)
    ]


def _held_warnings(config: PreparedConfig, document: ConfigDocument) -> list[str]:
    found = []
    for name, value in document.template_counters.items():
        held = HeldValue.objects.filter(config=config, name=name, value__gte=value).count()
        if held:
            found.append(
                f"template-counters: machines hold {held} values of {name!r} from {value} on, which "
                "are skipped; to give them back, take the counter out and add it again."
            )
    return found


def shown(wire: Mapping[str, Any]) -> dict[str, Any]:
    """A config as the audit trail may keep it."""
    return {key: SECRET if key == "subscription-key" else value for key, value in wire.items()}
