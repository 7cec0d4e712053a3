"""The rules for every value that comes from outside.

Each check returns the value or raises BadInputError with one sentence: field, value, rule.
Values become file names and words of an argv, so nothing may hold '/', begin with '-' or '.',
or carry control characters.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from operations.localcli.errors import BadInputError

# A file name has at most 255 bytes (NAME_MAX) and ours adds '.', '.json' and '.tmp'.
HOST_NAME_MAX = 240
SHOWN_MAX = 80


class Rule(NamedTuple):
    pattern: re.Pattern[str]
    sentence: str


NAME = Rule(
    re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"),
    "1 to 63 letters, digits, '.', '_' or '-', beginning with a letter or a digit",
)
WORD = Rule(
    re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,62}"),
    "1 to 63 letters, digits, '.', '_', '+' or '-', beginning with a letter or a digit",
)
TAG = Rule(
    re.compile(r"[A-Za-z0-9][A-Za-z0-9._:=/-]{0,62}"),
    "1 to 63 letters, digits or any of '._:=/-', beginning with a letter or a digit",
)
# ipaddress takes anything for the zone after '%', blanks and control characters included.
IP_SIGNS = re.compile(r"[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?")
HOST_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
BROADCAST = ipaddress.ip_address("255.255.255.255")
HOST_RULE = (
    "a host name (RFC 1123): labels of 1 to 63 of a-z, 0-9 and '-', not beginning or ending "
    f"with '-', joined by '.', the last one not all digits, at most {HOST_NAME_MAX} characters"
)
ADDRESS_RULE = "the IP address or the host name of one host"
PORT_RULE = "a whole number from 1 to 65535"


def shown(value: object) -> str:
    """`value` on one printable line, cut when long."""
    text = ascii(value)
    return text if len(text) <= SHOWN_MAX else text[:SHOWN_MAX] + "..."


def refusal(field: str, value: object, rule: str) -> BadInputError:
    return BadInputError(f"{field} is {shown(value)}, but must be {rule}.")


def matching(rule: Rule, field: str, value: object) -> str:
    if isinstance(value, str) and rule.pattern.fullmatch(value):
        return value
    raise refusal(field, value, rule.sentence)


def name(field: str, value: object) -> str:
    return matching(NAME, field, value)


def word(field: str, value: object) -> str:
    """A plan, a zone or a version."""
    return matching(WORD, field, value)


def hostname(field: str, value: object) -> str:
    if isinstance(value, str) and _is_host_name(value):
        return value
    raise refusal(field, value, HOST_RULE)


def address(field: str, value: object) -> str:
    """An IP address in its canonical form, or a host name as given (it is not resolved)."""
    text = value if isinstance(value, str) else ""
    ip = _ip(text)
    if ip is not None and not (ip.is_unspecified or ip.is_multicast or ip == BROADCAST):
        return str(ip)
    if ip is None and _is_host_name(text):
        return text
    raise refusal(field, value, ADDRESS_RULE)


def is_loopback(address: str) -> bool:
    ip = _ip(address)
    return address == "localhost" if ip is None else ip.is_loopback


def port(field: str, value: object) -> int:
    # bool is an int in Python: `"port": true` of a batch file must not become 1.
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65535:
        return value
    raise refusal(field, value, PORT_RULE)


def tags(field: str, value: object) -> list[str]:
    """The tags in the given order, each once."""
    if not isinstance(value, list):
        raise refusal(field, value, "a list of texts")
    return list(dict.fromkeys(matching(TAG, field, tag) for tag in value))


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text) if IP_SIGNS.fullmatch(text) else None
    except ValueError:
        return None


def _is_host_name(text: str) -> bool:
    labels = text.split(".")
    return (
        len(text) <= HOST_NAME_MAX
        and all(HOST_LABEL.fullmatch(label) for label in labels)
        and not labels[-1].isdigit()
    )
