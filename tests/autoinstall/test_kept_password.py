"""`keep-root-password`: the password itself, encrypted, only where a config asks for it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.models import AuditEvent, User
from autoinstall import keys
from autoinstall.models import PreparedConfig
from tests.answers import assert_error, nothing_changes
from tests.autoinstall.factories import ROOT_PASSWORD, config_body
from tests.autoinstall.prepared import RACK, Api, Made, patch, post

KEEPING: dict[str, Any] = {"root-password": ROOT_PASSWORD, "keep-root-password": True}


@pytest.fixture
def client(operator: User, api: Api, token: Made) -> APIClient:
    return api(operator)


@pytest.fixture
def rack(client: APIClient) -> PreparedConfig:
    """The config `rack`, which keeps its password."""
    answer = post(client, id="rack", authorized_tokens=["rack-7"], **KEEPING)
    assert answer.status_code == 201, answer.content
    return PreparedConfig.objects.get(name="rack")


def sealed() -> str:
    return PreparedConfig.objects.get(name="rack").root_password_sealed


def test_it_is_stored_encrypted(rack: PreparedConfig) -> None:
    assert keys.unsealed(rack.root_password_sealed) == ROOT_PASSWORD
    assert ROOT_PASSWORD not in json.dumps(list(PreparedConfig.objects.values()), default=str)


def test_it_is_never_shown(rack: PreparedConfig, client: APIClient) -> None:
    shown = client.get(RACK)
    exported = client.get("/v1/auto-install/answer-files/rack")

    assert shown.json()["keep-root-password"] is True
    assert exported.status_code == 200
    events = json.dumps(list(AuditEvent.objects.values()), default=str)
    for text in (shown.content.decode(), exported.content.decode(), events):
        assert ROOT_PASSWORD not in text and rack.root_password_sealed not in text


def test_without_the_wish_nothing_is_kept(client: APIClient) -> None:
    post(client, id="rack", authorized_tokens=["rack-7"], root_password=ROOT_PASSWORD)

    assert sealed() == ""


def test_a_new_password_replaces_the_kept_one(rack: PreparedConfig, client: APIClient) -> None:
    assert patch(client, root_password="another-long-one").status_code == 200

    assert keys.unsealed(sealed()) == "another-long-one"


def test_another_change_leaves_it(rack: PreparedConfig, client: APIClient) -> None:
    assert patch(client, country="de").status_code == 200

    assert keys.unsealed(sealed()) == ROOT_PASSWORD


@pytest.mark.parametrize(
    "wish", [{"keep-root-password": False}, {"delete": ["keep-root-password"]}]
)
def test_without_the_wish_it_is_gone(
    wish: dict[str, Any], rack: PreparedConfig, client: APIClient
) -> None:
    assert patch(client, **wish).status_code == 200

    assert sealed() == ""
    assert "keep-root-password" not in client.get(RACK).json()


def test_a_hash_cannot_be_kept_as_a_password(client: APIClient) -> None:
    with nothing_changes():
        answer = post(client, id="rack", authorized_tokens=["rack-7"], keep_root_password=True)

    body = assert_error(answer, 400, field="keep-root-password")
    assert "a hash cannot be turned back" in body["message"]


def test_a_hash_does_not_leave_the_old_password_behind(
    rack: PreparedConfig, client: APIClient
) -> None:
    hashed = config_body()["root-password-hashed"]
    with nothing_changes():
        answer = patch(client, root_password_hashed=hashed)

    assert_error(answer, 400, field="keep-root-password")


def test_a_wish_that_comes_later_needs_the_password_again(client: APIClient) -> None:
    post(client, id="rack", authorized_tokens=["rack-7"], root_password=ROOT_PASSWORD)

    with nothing_changes():
        assert_error(patch(client, keep_root_password=True), 400, field="keep-root-password")
    assert patch(client, **KEEPING).status_code == 200
    assert keys.unsealed(sealed()) == ROOT_PASSWORD
