"""System checks of our own settings, each with an id and a hint; run at every start."""

from __future__ import annotations

import ipaddress
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from operations.commands import check_template


@register()
def check_commands(**_: Any) -> list[CheckMessage]:
    """Every configured argv template names known commands and values."""
    return [
        Error(f"provisioning.commands: {problem}", id="provisioning.E001")
        for key, template in settings.CLI_COMMANDS.items()
        if (problem := check_template(key, template))
    ]


@register()
def check_proxies(**_: Any) -> list[CheckMessage]:
    """Every trusted proxy is an address or a network."""
    return [
        Error(
            f"server.trusted_proxies: {proxy!r} is no IP address or network",
            id="provisioning.E002",
        )
        for proxy in settings.TRUSTED_PROXIES
        if not is_network(proxy)
    ]


@register()
def check_cors(**_: Any) -> list[CheckMessage]:
    if not settings.CORS_ALLOW_ALL_ORIGINS:
        return []
    return [
        Warning(
            "server.cors_allowed_origins is '*': every web page may call the API with its "
            "user's token",
            hint="Name the origins that need it.",
            id="provisioning.W001",
        )
    ]


def is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True
