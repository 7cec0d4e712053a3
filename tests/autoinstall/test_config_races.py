"""Prepared configs changed at the same instant."""

from __future__ import annotations

import copy
from functools import partial

import pytest
from rest_framework.test import APIClient

from autoinstall.models import (
    AnswerToken,
    AuthorizedToken,
    PreparedConfig,
    TemplateCounter,
)
from tests.autoinstall.factories import (
    config_body,
    make_config,
    make_token,
)
from tests.autoinstall.prepared import PREPARED, RACK, Api, patch, post
from tests.concurrently import at_once
from tests.factories import bind, make_user

RACES = pytest.mark.django_db(transaction=True, serialized_rollback=True)


@pytest.fixture
def manager(api: Api) -> APIClient:
    """An operator in a test whose rows are really committed."""
    user = make_user("oscar")
    bind(user, "Operator")
    return api(user)


@RACES
def test_of_two_defaults_created_at_once_one_is_409(manager: APIClient) -> None:
    make_token("rack-7")
    body = config_body(is_default=True, authorized_tokens=["rack-7"])
    bodies = [{**copy.deepcopy(body), "id": name} for name in ("one", "two")]

    answers = at_once([partial(manager.post, PREPARED, body, format="json") for body in bodies])

    assert sorted(answer.status_code for answer in answers) == [201, 409]
    assert PreparedConfig.objects.count() == 1


@RACES
def test_of_two_configs_that_become_the_default_at_once_one_is_409(manager: APIClient) -> None:
    make_config(id="one")
    make_config(id="two")

    answers = at_once(
        [partial(patch, manager, f"{PREPARED}/{name}", is_default=True) for name in ("one", "two")]
    )

    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert PreparedConfig.objects.filter(is_default=True).count() == 1


@RACES
def test_of_eight_who_create_the_same_id_at_once_one_wins(manager: APIClient) -> None:
    answers = at_once([lambda: post(manager, id="rack") for _ in range(8)])

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    assert PreparedConfig.objects.count() == 1
    assert AnswerToken.objects.count() == 1
    assert AuthorizedToken.objects.count() == 1


@RACES
def test_changes_of_different_fields_at_once_are_both_kept(manager: APIClient) -> None:
    make_config(id="rack")

    at_once(
        [
            lambda: patch(manager, country="de"),
            lambda: patch(manager, keyboard="en-us"),
            lambda: patch(manager, timezone="Europe/Berlin"),
        ]
    )

    found = manager.get(RACK).json()
    assert (found["country"], found["keyboard"], found["timezone"]) == (
        "de",
        "en-us",
        "Europe/Berlin",
    )


@RACES
def test_a_config_deleted_while_it_is_changed_is_gone_in_the_end(manager: APIClient) -> None:
    make_config(id="rack", template_counters={"n": 1})

    changed, deleted = at_once(
        [
            lambda: patch(manager, template_counters={"n": 2, "m": 3}),
            lambda: manager.delete(RACK),
        ]
    )

    assert deleted.status_code == 204
    assert changed.status_code in (200, 404)
    assert not PreparedConfig.objects.exists()
    assert not TemplateCounter.objects.exists()
