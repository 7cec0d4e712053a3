"""What tests of auto-install share."""

from __future__ import annotations

import pytest

from autoinstall.models import AnswerToken
from tests.autoinstall.factories import make_token


@pytest.fixture
def token(db: None) -> tuple[AnswerToken, str]:
    """The answer token `rack-7` and its `id:secret`."""
    return make_token("rack-7")
