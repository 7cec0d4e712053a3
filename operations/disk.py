"""Giving back the disk under the beginning of a file that somebody else is writing."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

# Of fallocate(2):
KEEP_SIZE = 0x01
PUNCH_HOLE = 0x02

_fallocate = ctypes.CDLL(None, use_errno=True).fallocate
_fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def punch(path: Path, end: int) -> bool:
    """Free the blocks before `end`; they read as zeros from then on, and the size stays. False where the
    file system cannot do it (ext4, XFS, btrfs and tmpfs can)."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        return bool(_fallocate(descriptor, PUNCH_HOLE | KEEP_SIZE, 0, end) == 0)
    finally:
        os.close(descriptor)
