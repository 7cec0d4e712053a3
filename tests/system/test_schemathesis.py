"""Generated requests, in-process: none breaks the server, every answer is one that is documented.

The examples are the same in every run. Left out is the check that data which fits the schema is
accepted: whether a workspace exists no schema tells.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from accounts.actor import Actor
from accounts.models import User, Workspace
from accounts.sessions import _open_session
from accounts.tokens import issue_pair
from autoinstall.authentication import from_header
from autoinstall.services.answering import Asked, answer
from provisioning.wsgi import application
from tests.answers import ERROR_KEYS
from tests.autoinstall.factories import make_config, make_token, system_info
from tests.factories import make_operation, make_server

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
# A password costs a quarter of a second to hash; leaving ends the session that the rest works with;
# health has a 503 of its own.
LEFT_OUT = r"^/v1/auth/(login|logout|password)$|/password$|^/health"

schema = schemathesis.openapi.from_wsgi("/v1/openapi.json", application).exclude(
    path_regex=LEFT_OUT
)


@pytest.fixture(autouse=True)
def _one_connection() -> Iterator[None]:
    """The transaction of the test outlives its requests, each of which would close the connection."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def token(admin: User, workspace: Workspace) -> str:
    make_server(workspace)
    make_operation(workspace)
    _, credential = make_token("rack-7")
    make_config(id="rack", authorized_tokens=["rack-7"], template_counters={"n": 0})
    for shown in (credential, "rack-7:wrong"):
        # Not by a test client: it would connect the signals again.
        answer(
            Asked(
                raw=json.dumps(system_info()).encode(),
                credential=from_header(f"Bearer {shown}"),
                source="192.0.2.1",
                accepts_json=True,
            )
        )
    session = _open_session(admin, uuid.uuid4(), Actor(name=admin.username))
    return str(issue_pair(session)["token"])


@schema.parametrize()
@hypothesis.settings(
    max_examples=5,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
def test_no_generated_request_breaks_the_server(
    case: schemathesis.Case[Any], token: str, settings: Any, nothing_is_waited_for: None
) -> None:
    settings.CLI_PATH = "/does/not/exist"

    response = case.call(headers={"Authorization": f"Bearer {token}"})

    case.validate_response(response, checks=CHECKS)
    if response.status_code >= 400:
        assert set(response.json()) - {"details"} == ERROR_KEYS
