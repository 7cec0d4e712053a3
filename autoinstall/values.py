"""Single values of an answer and what the installer demands of them. Pure.

Each check gives one sentence that names the value and the rule, or None. The sentences begin after a
colon, as in `global.country: 'xx' is no country code ...`; those about secrets do not show them.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any

from autoinstall.documents import KEYBOARDS
from autoinstall.globs import GlobError, parse_glob

Check = Callable[[Any], str | None]  # a value -> what is wrong with it


def _column(table: str, index: int) -> frozenset[str]:
    """One column of a tab-separated list of the IANA time zone data."""
    text = resources.files("tzdata").joinpath("zoneinfo", table).read_text(encoding="utf-8")
    rows = (line for line in text.splitlines() if line and not line.startswith("#"))
    return frozenset(row.split("\t")[index] for row in rows)


def country_names() -> list[tuple[str, str]]:
    """`(code, name)`, by name, of the countries that the installer knows."""
    text = resources.files("tzdata").joinpath("zoneinfo", "iso3166.tab").read_text("utf-8")
    rows = (line.split("\t") for line in text.splitlines() if line and not line.startswith("#"))
    return sorted(((row[0].lower(), row[1]) for row in rows), key=lambda row: row[1])


COUNTRIES = frozenset(code.lower() for code in _column("iso3166.tab", 0))
# The installer reads Debian's zone.tab, which has one name a country: no `Etc/UTC`, no alias.
TIME_ZONES = _column("zone.tab", 2) | {"UTC"}


# --- Single values -----------------------------------------------------------------------------

_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
# The rule of HTML's <input type=email>.
_MAIL = re.compile(rf"[a-zA-Z0-9.!#$%&'*+/=?^_`{{|}}~-]+@{_LABEL.pattern}(\.{_LABEL.pattern})*")
_PLACEHOLDER = "mail@example.invalid"
_INTERFACE = re.compile(r"[A-Za-z][A-Za-z0-9_]{1,20}([:.][0-9]+)?")
MAC = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")
_FINGERPRINT = re.compile(r"[0-9A-Fa-f]{2}(:?[0-9A-Fa-f]{2}){31}")
_SUBSCRIPTION = re.compile(r"(pve[0-9]+|pbs|pmg)[cbsp]-[0-9a-f]{10}")


def check_fqdn(text: str) -> str | None:
    if len(text) > 253:
        return f"{text[:40]!r}... has {len(text)} characters, but a full name may have at most 253"
    labels = text.split(".")
    for label in labels:
        if sentence := _label_problem(label, text):
            return sentence
    if len(labels) < 2:
        return f"{text!r} has no domain: it must be a full name such as pve0.example.com"
    if labels[0].isdigit():
        return f"{text!r} has the host name {labels[0]!r}, which must not be only digits"
    return None


def check_domain(text: str) -> str | None:
    """What stands behind the host's name, which needs two characters itself (`a.`)."""
    if len(text) > 251:
        return f"{text[:40]!r}... has {len(text)} characters, but with a name before it 253 are allowed"
    return next(filter(None, (_label_problem(label, text) for label in text.split("."))), None)


def _label_problem(label: str, text: str) -> str | None:
    if _LABEL.fullmatch(label):
        return None
    return (
        f"{text!r} is no valid name because of the part {label[:70]!r}: each part needs 1 to 63 ASCII "
        "letters, digits and dashes, and begins and ends with a letter or digit"
    )


def check_email(text: str) -> str | None:
    if text == _PLACEHOLDER:
        return f"{text!r} is the installer's own placeholder, which it refuses"
    return (
        None if _MAIL.fullmatch(text) else f"{text!r} is no e-mail address such as ops@example.com"
    )


def check_cidr(text: str) -> str | None:
    address, slash, prefix = text.partition("/")
    if not slash:
        return f"{text!r} has no prefix length: it must be an address such as 10.0.0.10/24"
    if check_address(address):
        return f"{text!r} does not begin with an IPv4 or IPv6 address"
    longest = 128 if ":" in address else 32
    if not re.fullmatch(r"[0-9]{1,3}", prefix) or int(prefix) > longest:
        return f"{text!r} needs a prefix length from 0 to {longest} after the '/'"
    return None


def check_address(text: str) -> str | None:
    """Rust's parser knows no zone (`%eth0`), Python's does."""
    try:
        ipaddress.ip_address(text if "%" not in text else "")
    except ValueError:
        return f"{text!r} is no IPv4 or IPv6 address"
    return None


def check_interface_name(text: str) -> str | None:
    if 2 <= len(text) <= 15 and _INTERFACE.fullmatch(text):
        return None
    return f"{text!r} is no name for an interface: 2 to 15 letters, digits and '_', beginning with a letter"


def check_country(text: str) -> str | None:
    if text in COUNTRIES:
        return None
    return (
        f"{text!r} is no country code: the installer knows the lower-case ISO 3166 ones such as at"
    )


def check_keyboard(text: str) -> str | None:
    return None if text in KEYBOARDS else f"{text!r} is no keyboard layout: {', '.join(KEYBOARDS)}"


def check_time_zone(text: str) -> str | None:
    if text in TIME_ZONES:
        return None
    return f"{text!r} is no time zone of zone.tab such as Europe/Vienna, nor 'UTC' itself"


def check_fingerprint(text: str) -> str | None:
    if _FINGERPRINT.fullmatch(text):
        return None
    return (
        f"{text!r} is no SHA-256 fingerprint: 32 pairs of hexadecimal digits, with or without ':'"
    )


def check_glob(pattern: str) -> str | None:
    try:
        parse_glob(pattern)
    except GlobError as error:
        return f"{pattern!r} is no pattern: {error}"
    return None


def check_url(text: str) -> str | None:  # not shown: it may hold a secret
    return None if re.match(r"https?://.", text) else "must begin with http:// or https://"


def check_password(text: str) -> str | None:
    length = len(text.encode("utf-8", "replace"))
    return None if length >= 8 else "must have at least 8 characters"


def check_subscription_key(text: str) -> str | None:
    return None if _SUBSCRIPTION.fullmatch(text) else "must have the form pve1c-0123456789"


# --- Kinds of values ---------------------------------------------------------------------------

_LARGEST = 2**63 - 1  # of TOML; Python reads larger ones, but need not be able to print them
_KINDS = ((bool, "true or false"), (str, "a string"), ((int, float), "a number"), (list, "a list"))


def _not(wanted: str, value: object) -> str:
    """A wrong type: names the kind, not the value, which may be a password without its quotes."""
    found = "a table" if isinstance(value, Mapping) else "something else"
    return f"must be {wanted}, not {next((n for k, n in _KINDS if isinstance(value, k)), found)}"


def text(rule: Callable[[str], str | None] | None = None) -> Check:
    def check(value: Any) -> str | None:
        if not isinstance(value, str):
            return _not("a string", value)
        return rule(value) if rule else None

    return check


def one_of(*allowed: str, upper: bool = False) -> Check:
    """`upper`: the installer also takes these spelled in small letters."""

    def rule(text: str) -> str | None:
        if text in allowed or (upper and text in {word.lower() for word in allowed}):
            return None
        return f"{text!r} is not one of {', '.join(allowed)}"

    return text(rule)


def number(least: float, most: float = math.inf, unit: str = "", *, whole: bool = False) -> Check:
    limits = f"at least {least}{unit}" if most == math.inf else f"from {least} to {most}"

    def check(value: Any) -> str | None:
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            return _not("a whole number" if whole else "a number", value)
        if not least <= value <= min(most, _LARGEST):  # so is not-a-number
            shown = value if abs(value) <= _LARGEST else "the number"
            return f"{shown} is out of range: it must be {limits}"
        return None

    return check


def a_flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else _not("true or false", value)


def string_list(value: Any) -> str | None:
    if not isinstance(value, list):
        return _not("a list", value)
    return next((_not("a list of strings only", v) for v in value if not isinstance(v, str)), None)


def a_table(value: Any) -> str | None:
    return None if isinstance(value, Mapping) else _not("a table", value)


def only_static(value: Any) -> str | None:
    return 'goes only with source = "from-answer"'
