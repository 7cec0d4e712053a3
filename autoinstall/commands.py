"""What auto-install's management commands share: files and standard input, one line for a refusal."""

from __future__ import annotations

import sys
from pathlib import Path

from django.core.management.base import CommandError

from autoinstall.services import preview
from autoinstall.sysinfo import SystemInfo

MOST_BYTES = 8 * 1024 * 1024


def read_bytes(name: str) -> bytes:
    """The file, or standard input for `-`."""
    try:
        raw = sys.stdin.buffer.read(MOST_BYTES + 1) if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise CommandError(f"{name} cannot be read: {error.strerror}.") from None
    if len(raw) > MOST_BYTES:
        raise CommandError(f"{name} has more than {MOST_BYTES} bytes.")
    return raw


def read_text(name: str) -> str:
    try:
        return read_bytes(name).decode()
    except UnicodeDecodeError:
        raise CommandError(f"{name} is not UTF-8 text.") from None


def read_info(name: str) -> SystemInfo:
    """What an installer sent, or `proxmox-auto-install-assistant system-info` printed."""
    return preview.info_of_json(read_bytes(name))
