"""Fields of operations: what may become an argument of the CLI."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from rest_framework import serializers

from operations.commands import CONTROL
from provisioning.serializers import StrictCharField

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+/@-]{0,62}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def is_host_name(value: str) -> bool:
    """RFC 1123: labels of letters, digits and '-', at most 253 characters, not an IPv4 address."""
    if not 1 <= len(value) <= 253:
        return False
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return all(LABEL.fullmatch(label) for label in value.lower().split("."))
    return False


class HostNameField(StrictCharField):
    """An RFC 1123 host name, stored in lower case."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=253, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        value = super().to_internal_value(data)
        if not is_host_name(value):
            raise serializers.ValidationError(
                f"{value[:80]!r} is no host name: labels of letters, digits and '-', joined by '.'"
            )
        return value.lower()


class ArgumentField(StrictCharField):
    """Text that may become an argument: one word, no leading '-', no control characters."""

    pattern = WORD
    rule = "must begin with a letter or digit and hold only letters, digits and . _ : + / @ -"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=63, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        value = super().to_internal_value(data)
        if CONTROL.search(value) or not self.pattern.fullmatch(value):
            raise serializers.ValidationError(f"{value[:80]!r} {self.rule}")
        return value


class NameField(ArgumentField):
    pattern = NAME
    rule = "must begin with a letter or digit and hold only letters, digits and . _ -"


class SettingsField(serializers.DictField):
    """Free settings of a taskserv or cluster, as JSON; given to the CLI in a private file."""

    def to_internal_value(self, data: Any) -> Any:
        value = super().to_internal_value(data)
        if depth_of(value) > 32:
            raise serializers.ValidationError("must not be nested deeper than 32 levels")
        return value


def depth_of(value: object) -> int:
    """Levels of nesting; iterative, so that depth costs no stack."""
    deepest, stack = 0, [(value, 1)]
    while stack:
        item, level = stack.pop()
        if isinstance(item, dict | list):
            deepest = max(deepest, level)
            children = item.values() if isinstance(item, dict) else item
            stack += [(child, level + 1) for child in children]
    return deepest
