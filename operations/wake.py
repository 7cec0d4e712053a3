"""Waking those who wait for work, at once and across processes.

By Redis where `queue.broker` names one (`operations.redis_wake`). Else on PostgreSQL a NOTIFY, sent with the
commit and heard on every host; on SQLite, which lives on one host, a datagram to each socket in the state
directory, sent after the commit. A wake carries nothing: who hears it looks at the table. A lost one costs a
poll, never work.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import socket
from collections.abc import Iterator
from typing import Protocol

import psycopg
from django.conf import settings
from django.db import connection, transaction

from operations import redis_wake

CHANNEL = "provisioning_wake"


class Listener(Protocol):
    """Something to wait on: `fileno` turns readable when somebody woke us."""

    def fileno(self) -> int: ...

    def drain(self) -> None: ...

    def close(self) -> None: ...


def send() -> None:
    """Wake everybody once the running transaction has committed (at once outside of one)."""
    if settings.QUEUE_BROKER:
        redis_wake.send()
    elif connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"NOTIFY {CHANNEL}")
    else:
        transaction.on_commit(_send_datagrams)


@contextlib.contextmanager
def listening() -> Iterator[Listener]:
    listener = listen()
    try:
        yield listener
    finally:
        listener.close()


def listen() -> Listener:
    if settings.QUEUE_BROKER:
        return redis_wake.listen()
    return NotifyListener() if connection.vendor == "postgresql" else SocketListener()


def wait(listener: Listener, seconds: float) -> bool:
    """Wait for a wake, at most so long; True when there was one."""
    readable, _, _ = select.select([listener], [], [], max(seconds, 0))
    if readable:
        listener.drain()
    return bool(readable)


class SocketListener:
    """A datagram socket in the state directory, gone when closed.

    It is bound through /proc/self/fd, because a socket's path may have only 107 bytes (unix(7)) and a
    state directory may lie deep.
    """

    def __init__(self) -> None:
        self._directory = os.open(settings.STATE_DIR / "sockets", os.O_RDONLY | os.O_DIRECTORY)
        self._name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(f"/proc/self/fd/{self._directory}/{self._name}")

    def fileno(self) -> int:
        return self._socket.fileno()

    def drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._socket.recv(16):
                pass

    def close(self) -> None:
        self._socket.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._name, dir_fd=self._directory)
        os.close(self._directory)


def _send_datagrams() -> None:
    try:
        directory = os.open(settings.STATE_DIR / "sockets", os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
            for name in os.listdir(directory):
                _send_one(sender, directory, name)
    finally:
        os.close(directory)


def _send_one(sender: socket.socket, directory: int, name: str) -> None:
    try:
        sender.sendto(b"w", f"/proc/self/fd/{directory}/{name}")
    except ConnectionRefusedError:  # its owner died without closing it
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=directory)
    except (BlockingIOError, FileNotFoundError):
        pass  # already full of wakes, or just closed


class NotifyListener:
    """A connection of its own that has said LISTEN. Raises django.db.Error like any other."""

    def __init__(self) -> None:
        params = connection.get_connection_params()
        for name in ("cursor_factory", "context", "prepare_threshold"):
            params.pop(name, None)
        with connection.wrap_database_errors:
            self._connection = psycopg.connect(**params, autocommit=True)
            self._connection.execute(f"LISTEN {CHANNEL}")
        # Kept, because a connection that was lost does not tell it any more.
        self._fileno = self._connection.fileno()

    def fileno(self) -> int:
        return self._fileno

    def drain(self) -> None:
        with connection.wrap_database_errors:
            for _ in self._connection.notifies(timeout=0):
                pass

    def close(self) -> None:
        self._connection.close()
