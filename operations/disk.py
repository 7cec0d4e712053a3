"""Files as the runner meets them: small ones by the hundred, and large ones that a CLI still writes."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

# Of fallocate(2):
KEEP_SIZE = 0x01
PUNCH_HOLE = 0x02

READ_BYTES = 64 * 1024

_fallocate = ctypes.CDLL(None, use_errno=True).fallocate
_fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def read(path: str) -> bytes:
    """A small file. Raises OSError.

    An operation has half a dozen of them, and `open` alone costs four times these calls.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = b""
        while more := os.read(descriptor, READ_BYTES):
            found += more
        return found
    finally:
        os.close(descriptor)


def write_private(path: str, data: bytes) -> None:
    """Make or replace a file that only we may read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def punch(path: Path, end: int) -> bool:
    """Free the blocks before `end`; they read as zeros from then on, and the size stays. False where the
    file system cannot do it (ext4, XFS, btrfs and tmpfs can)."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        return bool(_fallocate(descriptor, PUNCH_HOLE | KEEP_SIZE, 0, end) == 0)
    finally:
        os.close(descriptor)
