"""The state directory and what the processes of one installation share through it.

Imports neither Django nor the Prometheus client, which must not be loaded before `share_metrics`.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from provisioning.config import ConfigError


def prepare_state_dir(path: Path) -> Path:
    """Make the state directory (0700) and prove that it can be written; absolute path.

    Raises ConfigError with a sentence that says what to do.
    """
    path = path.absolute()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("secrets", "operations", "sockets", "metrics"):
            (path / name).mkdir(mode=0o700, exist_ok=True)
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise ConfigError(
            f"the state directory {path} cannot be written ({error.strerror}): "
            "set PROVISIONING_STATE_DIR to a directory of yours"
        ) from None
    return path


def make_private(path: Path) -> None:
    """Make an empty file (0600) where there is none: SQLite gives its log files the same mode."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    except OSError as error:
        raise ConfigError(
            f"the database file {path} cannot be written ({error.strerror}): "
            "set database.url to a file of yours"
        ) from None


def read_or_create_secret(state_dir: Path, name: str) -> str:
    """The secret `name`, made on first use: 384 random bits as text.

    Two processes that start at once agree on one value: whoever links the file first wins.
    """
    path = state_dir / "secrets" / name
    if not path.exists():
        made = path.with_name(f".{name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(48))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(made, path)
        except FileExistsError:
            pass
        finally:
            made.unlink()
    value = path.read_text(encoding="ascii").strip()
    if len(value) < 32:
        raise ConfigError(f"the secret file {path} is damaged: restore it from your backup")
    return value


def share_metrics(state_dir: Path) -> None:
    """Make the Prometheus client keep its counts in files here, where any process can add them up.

    To be called before anything imports it; the counts of an earlier run are removed.
    """
    directory = state_dir / "metrics"
    for file in directory.glob("*.db"):
        file.unlink(missing_ok=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
