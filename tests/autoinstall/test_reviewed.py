"""What a review found once: ways in which odd input passed by the rules."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client
from rest_framework.test import APIClient

from accounts.models import Role, RoleBinding, User
from autoinstall.models import Attempt
from provisioning import logs
from tests.answers import assert_error, nothing_changes
from tests.autoinstall.factories import ask, system_info
from tests.autoinstall.prepared import Api, Made, post
from tests.factories import make_user

TOKENS = "/v1/auto-install/tokens"
FILES = "/v1/auto-install/answer-files"
PREVIEW = "/v1/auto-install/preview"


@pytest.fixture
def client(api: Api, operator: User) -> APIClient:
    return api(operator)


# --- Values that look like formats -------------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["{x}", "{0}", "{error!s:>3000}", "{# x #}a.b", "{% if x %}", "{ab", "ab}"]
)
@pytest.mark.parametrize("key", ["country", "post-hook-base-url", "post-hook-cert-fp", "disk-list"])
def test_braces_in_a_wrong_value_are_shown_as_they_are(
    key: str, value: str, client: APIClient
) -> None:
    wire: dict[str, Any] = {key: [value, "sdb"] if key == "disk-list" else value}

    with nothing_changes():
        body = assert_error(post(client, **wire), 400)

    assert value in body["message"]


def test_braces_in_the_id_of_a_token_are_shown_as_they_are(client: APIClient) -> None:
    body = assert_error(client.post(TOKENS, {"id": "{x}"}, format="json"), 400, field="id")

    assert "'{x}'" in body["message"]


def test_the_command_says_it_in_one_line(db: None) -> None:
    with pytest.raises(CommandError, match=r"id: '\{x\}' must begin"):
        call_command("create_answer_token", "{x}")


# --- A null character by way of TOML -----------------------------------------------------------


@pytest.mark.parametrize("key", ["/a\\u0000", "/a\\n"])
def test_a_filter_of_an_imported_file_holds_no_control_character(
    key: str, client: APIClient
) -> None:
    text = f'''#: id = "nul-one"
#: [target-filter]
#: "{key}" = "x"
'''
    with nothing_changes():
        assert_error(client.post(FILES, {"answer-file": text}, format="json"), 400)


# --- A hook that could not be reached ----------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["http://h/?x=y", "http://h/#f", "http://h:99999", "http://h:65536/x", "ftp://h"]
)
def test_a_base_url_to_which_no_path_can_be_added_is_refused(url: str, client: APIClient) -> None:
    with nothing_changes():
        assert_error(post(client, post_hook_base_url=url), 400, field="post-hook-base-url")


# --- Secrets in mistyped paths -----------------------------------------------------------------


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that is logged, through the filter of the real handlers."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(logs.ContextFilter())
    logger = logging.getLogger("provisioning.access")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield stream
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/auto-install/answer/'tk8:{secret}",
        "/api2/json/auto-install/answer/tk8:x'{secret}",
        "/api2/json/auto-install//answer/tk8:{secret}",
        "/v1/auto-install/Answer/tk8:{secret}",
        "/v1/auto-install/answers/tk8:{secret}",
        "/v1/auto-install/answer/tk8 {secret}",
        "/v1/answer/tk8:{secret}",
        "/answer/tk8 {secret}",
        "/tk8:{secret}",
    ],
)
def test_a_secret_in_a_path_is_masked_however_it_was_mistyped(
    path: str, log: io.StringIO, db: None
) -> None:
    secret = "5d1f0c1e-1111-4222-8333-944445555666"

    answer = Client().post(path.format(secret=secret), b"{}", content_type="application/json")

    assert answer.status_code in (401, 404)
    assert str(answer.status_code) in log.getvalue()
    assert secret not in log.getvalue() + answer.content.decode()


# --- Who may look at an attempt ----------------------------------------------------------------


def test_a_preview_of_an_attempt_needs_the_right_to_see_attempts(api: Api, token: Made) -> None:
    ask(token[1], system_info())
    attempt = Attempt.objects.get()
    somebody = make_user()
    role = Role.objects.create(name="Configs", permissions=["prepared_config_read"])
    RoleBinding.objects.create(user=somebody, role=role)
    client = api(somebody)

    body = {"attempt": str(attempt.pk)}
    assert_error(client.post(PREVIEW, body, format="json"), 403)
    asked = {"system-info": system_info()}
    assert client.post(PREVIEW, asked, format="json").status_code == 200
