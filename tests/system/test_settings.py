"""Settings of a process of its own, where this one's are already made."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["plain", "with space", "n1#a", "q?x%20y"])
def test_the_database_lies_in_the_state_directory_whatever_its_name(
    tmp_path: Path, name: str
) -> None:
    state = tmp_path / name
    environment = {"PATH": os.environ["PATH"], "PROVISIONING_STATE_DIR": str(state)}

    subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "migrate", "-v0"],
        env=environment,
        cwd=tmp_path,
        check=True,
    )

    assert (state / "db.sqlite3").stat().st_size > 0
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
