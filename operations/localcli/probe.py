"""Whether something answers on a TCP port."""

from __future__ import annotations

import socket

from operations.localcli.stopping import interruptible

TIMEOUT_SECONDS = 2.0


def is_reachable(address: str, port: int) -> bool:
    """True when `address` accepts a connection on `port` within TIMEOUT_SECONDS.

    A name that does not resolve is not reachable.
    """
    try:
        with interruptible(), socket.create_connection((address, port), TIMEOUT_SECONDS):
            return True
    except (OSError, UnicodeError):
        return False
