"""Fixtures of the engine's tests."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import processes_with


@pytest.fixture
def journal(fake_cli: Path) -> Iterator[Path]:
    """The fake CLI's journal; whatever a failed test left running is ended with it."""
    yield fake_cli
    for pid in processes_with(f"FAKE_CLI_JOURNAL={fake_cli}"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
