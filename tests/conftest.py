"""The cast: an admin, an operator, a developer, a viewer, and a stranger without any role."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts import authentication
from accounts.actor import Actor
from accounts.models import User, Workspace
from accounts.sessions import _open_session
from accounts.tokens import issue_pair
from autoinstall import limits, snapshot
from operations import following
from tests.factories import bind, make_user, make_workspace
from tests.processes import install_fake_cli


@pytest.fixture(autouse=True)
def _fresh_caches() -> Iterator[None]:
    """The cache of people lives five seconds: longer than most tests. The snapshot of the catalogue
    and the counts of refusals live as long as the process, and tests undo what they were made from."""
    caches = (authentication.forget_cached_people, snapshot.forget, limits.forget)
    for forget in caches:
        forget()
    yield
    for forget in caches:
        forget()


@pytest.fixture
def admin(db: None) -> User:
    user = make_user("alice")
    bind(user, "Admin")
    return user


@pytest.fixture
def operator(db: None) -> User:
    user = make_user("oscar")
    bind(user, "Operator")
    return user


@pytest.fixture
def developer(db: None) -> User:
    user = make_user("dora")
    bind(user, "Developer")
    return user


@pytest.fixture
def viewer(db: None) -> User:
    user = make_user("victor")
    bind(user, "Viewer")
    return user


@pytest.fixture
def stranger(db: None) -> User:
    return make_user("sam")


@pytest.fixture
def workspace(db: None) -> Workspace:
    return make_workspace("production")


@pytest.fixture
def api() -> Callable[[User | None], APIClient]:
    """`api(user)`: a client with a real access token of a real session; `api(None)` has none."""

    def client_for(user: User | None) -> APIClient:
        client = APIClient()
        if user is not None:
            session = _open_session(user, __import__("uuid").uuid4(), Actor(name=user.username))
            client.credentials(HTTP_AUTHORIZATION=f"Bearer {issue_pair(session)['token']}")
        return client

    return client_for


@pytest.fixture
def nothing_is_waited_for(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams close at once, and waits are over before they begin."""
    settings.STREAM_SECONDS = 0
    monkeypatch.setattr(following, "MAX_WAIT_SECONDS", 0)


@pytest.fixture
def fake_cli(settings: Any, tmp_path: Path) -> Path:
    """The CLI is `tests/operations/data/fake_cli.py`, its journal is in `tmp_path`."""
    settings.CLI_PATH = str(install_fake_cli(tmp_path))
    settings.WORKSPACE_ROOT = tmp_path / "workspaces"
    settings.CLI_ENVIRONMENT = {
        **settings.CLI_ENVIRONMENT,
        "FAKE_CLI_JOURNAL": str(tmp_path / "journal"),
    }
    settings.CANCEL_GRACE_SECONDS = 0.5
    return tmp_path / "journal"
