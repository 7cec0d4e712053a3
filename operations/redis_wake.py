"""Wakes by Redis, where `queue.broker` names one: for hosts that share a database which carries none.

Only the wake goes by it; the queue is the table. So a Redis that is away costs the wait for a poll, and
never work.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import socket
import threading

import redis
from django.conf import settings
from django.db import OperationalError, transaction
from redis.backoff import NoBackoff
from redis.retry import Retry

CHANNEL = "provisioning_wake"
TIMEOUT_SECONDS = 2.0
# How long to do without it before it is tried again.
AWAY_SECONDS = 5.0
log = logging.getLogger("provisioning.worker")


def client() -> redis.Redis:
    return _client(settings.QUEUE_BROKER)


@functools.lru_cache(1)
def _client(url: str) -> redis.Redis:
    # No retries of its own: it would reconnect in silence, and a wake between would be lost.
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=TIMEOUT_SECONDS,
        socket_timeout=TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


def send() -> None:
    """Once the running transaction has committed."""
    transaction.on_commit(_publish)


def _publish() -> None:
    try:
        client().publish(CHANNEL, b"w")
    except redis.RedisError as error:  # what was committed stands; a poll finds it
        log.warning("Redis took no wake: %s", type(error).__name__)


def listen() -> RedisListener | AwayListener:
    try:
        return RedisListener()
    except (redis.RedisError, OSError) as error:
        log.warning("Redis cannot be heard, polling: %s", type(error).__name__)
        return AwayListener()


class RedisListener:
    """A subscription. Raises django.db.Error, as the listener of a database does."""

    def __init__(self) -> None:
        self._pubsub = client().pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
        self._pubsub.subscribe(CHANNEL)
        self._pubsub.get_message(timeout=TIMEOUT_SECONDS)  # the confirmation
        found = self._pubsub.connection._sock
        if found is None:
            raise redis.ConnectionError("no connection")
        self._fileno: int = found.fileno()

    def fileno(self) -> int:
        return self._fileno

    def drain(self) -> None:
        try:
            while self._pubsub.get_message(timeout=0) is not None:
                pass
        except (redis.RedisError, OSError) as error:
            raise OperationalError("Redis is away") from error

    def close(self) -> None:
        with contextlib.suppress(redis.RedisError, OSError):
            self._pubsub.close()


class AwayListener:
    """Stands in for Redis while it is away: silent, and after a while broken, so that whoever listens
    begins anew."""

    def __init__(self) -> None:
        self._here, self._there = socket.socketpair()
        self._timer = threading.Timer(AWAY_SECONDS, self._there.close)
        self._timer.daemon = True
        self._timer.start()

    def fileno(self) -> int:
        return self._here.fileno()

    def drain(self) -> None:
        raise OperationalError("Redis is away")

    def close(self) -> None:
        self._timer.cancel()
        self._here.close()
        self._there.close()
