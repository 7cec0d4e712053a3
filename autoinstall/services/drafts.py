"""A config that is not saved: all that saving would say of it, at once, and nothing done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from autoinstall.answers import TEMPLATED
from autoinstall.documents import ConfigDocument, Errors, Secrets, read
from autoinstall.models import AnswerToken, PreparedConfig
from autoinstall.services import checks, configs
from provisioning.errors import ProductError

Wire = Mapping[str, Any]
# What stands for a field that is missing or of a wrong shape, so that the rules can judge the others.
STAND_INS: Wire = {
    "id": "draft",
    "country": "at",
    "keyboard": "de",
    "mailto": "ops@example.com",
    "timezone": "UTC",
    "filesystem": {"filesystem": "ext4"},
}
# Fields of which one says nothing while another is wrong.
_TOGETHER = (
    frozenset({"filesystem", "disk-mode", "disk-list", "disk-filter", "disk-filter-match"}),
    frozenset({"netif-name-pinning-enabled", "netif-name-mapping"}),
)
_NAMES = frozenset({"template-counters", "template-variables"})


@dataclass(frozen=True)
class Checked:
    """`document` is None while the shape of a field is wrong. Warnings come when there are no errors."""

    document: ConfigDocument | None
    errors: Errors
    warnings: list[str]

    @property
    def is_sound(self) -> bool:
        return self.document is not None and not self.errors


def check_draft(*, wire: Wire, secrets: Wire, stored: PreparedConfig | None) -> Checked:
    """What `create_config` would refuse, or `change_config` of the `stored` one. `wire` is the whole
    config, `secrets` what of it is given anew."""
    document, errors = read(ConfigDocument, wire)
    given, wrong_secrets = read(Secrets, secrets)
    found: Errors = {**errors, **wrong_secrets}
    for name, sentences in _problems(wire, document, errors):
        found.setdefault(name, []).extend(sentences)
    if document is not None:
        for name, sentence in _refusals(document, given, stored):
            found.setdefault(name, []).append(sentence)
    warnings = [] if found or document is None else _warnings(document, stored)
    return Checked(document, found, warnings)


def _problems(
    wire: Wire, document: ConfigDocument | None, errors: Errors
) -> Iterator[tuple[str, list[str]]]:
    """What the rules say of the fields whose shape is right."""
    ignored: set[str] = set()
    if document is None:
        ignored = _wrong(errors)
        sound = {key: value for key, value in wire.items() if key not in ignored}
        document, _ = read(ConfigDocument, {**STAND_INS, **sound})
    if document is not None:
        for name, sentences in checks.problems(document).items():
            if name.partition(".")[0] not in ignored:
                yield name, sentences


def _wrong(errors: Errors) -> set[str]:
    wrong = {name.partition(".")[0] for name in errors}
    for group in _TOGETHER:
        wrong |= group if wrong & group else set()
    return wrong | (set(TEMPLATED) if wrong & _NAMES else set())


def _refusals(
    document: ConfigDocument, given: Secrets | None, stored: PreparedConfig | None
) -> Iterator[tuple[str, str]]:
    """What depends on the other rows, by the very functions that saving calls."""
    key = stored.pk if stored else None
    tests: list[tuple[str, Callable[[], object]]] = [
        ("is-default", lambda: configs.refuse_second_default(document, key)),
        ("authorized-tokens", lambda: configs.tokens_named(document.authorized_tokens)),
    ]
    if stored is None:
        tests.append(("id", lambda: configs.refuse_taken_id(document)))
    if stored is None and given is not None:
        tests.append(("root-password", lambda: configs.demand_password(given)))
    if given is not None:
        sealed = stored.root_password_sealed if stored else ""
        scratch = PreparedConfig(root_password_sealed=sealed)
        keep = ("keep-root-password", lambda: configs.keep_password(scratch, document, given))
        tests.append(keep)
    for field, test in tests:
        try:
            test()
        except ProductError as error:
            yield field, (error.details or {}).get(field, [error.message])[0]


def _warnings(document: ConfigDocument, stored: PreparedConfig | None) -> list[str]:
    tokens = AnswerToken.objects.filter(name__in=document.authorized_tokens)
    keys = frozenset(tokens.values_list("pk", flat=True))
    return checks.draft_warnings(document, stored.pk if stored else None, keys)
