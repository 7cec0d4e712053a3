"""Requests to `/v1/auto-install/prepared`, as the tests of prepared configs make them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from rest_framework.test import APIClient

from accounts.models import User
from autoinstall.models import AnswerToken, PreparedConfig
from tests.autoinstall.factories import config_body, make_config

Api = Callable[[User | None], APIClient]
Made = tuple[AnswerToken, str]

PREPARED = "/v1/auto-install/prepared"
RACK = f"{PREPARED}/rack"
FINGERPRINT = ":".join(["aB"] * 32)


def post(client: APIClient, **wire: Any) -> Any:
    return client.post(PREPARED, config_body(**wire), format="json")


def patch(client: APIClient, path: str = RACK, /, **wire: Any) -> Any:
    body = {key.replace("_", "-"): value for key, value in wire.items()}
    return client.patch(path, body, format="json")


def path_of(name: str) -> str:
    return f"{PREPARED}/{quote(name, safe='')}"


def counting(**wire: Any) -> PreparedConfig:
    """The config `rack`, which names machines by the counter `nr` from 5 on."""
    return make_config(
        id="rack",
        fqdn="pve{{ nr }}.example.com",
        template_counters={"nr": 5},
        **{"authorized-tokens": ["rack-7"], **wire},
    ).config
