"""Logging to stderr, as text or as one JSON object a line, with the request id in each."""

from __future__ import annotations

import logging
import logging.config
import re

from pythonjsonlogger.json import JsonFormatter

# An installer that can send no header has its token in the path: nobody is to read it in a log, however
# the path was mistyped. What looks like `id:secret` elsewhere is masked as well: below the two mounts any
# word, otherwise secrets as they are made.
_AFTER_ANSWER = re.compile(r"(/answer/+)\S+", re.IGNORECASE)
_TOKEN = re.compile(r"(/)[^/\s:]+:[0-9a-f]{8}-[0-9a-f-]+", re.IGNORECASE)
_PAIR = re.compile(r"(/(?:v1|api2)/\S*?/)[^/\s:]+:[^/\s]{8,}", re.IGNORECASE)


def without_secrets(text: str) -> str:
    """A path, or a line with a path in it."""
    for pattern in (_AFTER_ANSWER, _PAIR, _TOKEN):
        text = pattern.sub(r"\1********", text)
    return text


def path_without_secrets(path: str) -> str:
    """The same for a path that may hold blanks."""
    return without_secrets(re.sub(r"\s", "_", path))


class ContextFilter(logging.Filter):
    """Adds `request_id` to records made inside a request; takes secrets out of every record."""

    def filter(self, record: logging.LogRecord) -> bool:
        from provisioning.middleware import current_request_id

        record.request_id = current_request_id.get()
        message = record.getMessage()
        if (masked := without_secrets(message)) != message:
            record.msg, record.args = masked, ()
        path = getattr(record, "path", None)
        if isinstance(path, str):
            record.path = without_secrets(path)
        return True


class TextFormatter(logging.Formatter):
    """`2026-01-02T03:04:05Z INFO provisioning.access GET /health 200 [request id]`."""

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        request_id = getattr(record, "request_id", "")
        return f"{line} [{request_id}]" if request_id else line


def configure(level: str, *, json_format: bool) -> None:
    """Set up the root logger once for this process."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "filters": {"context": {"()": ContextFilter}},
            "formatters": {
                "text": {
                    "()": TextFormatter,
                    "fmt": "%(asctime)s %(levelname)s %(name)s %(message)s",
                    "datefmt": "%Y-%m-%dT%H:%M:%SZ",
                },
                "json": {
                    "()": JsonFormatter,
                    "fmt": "%(asctime)s %(levelname)s %(name)s %(message)s %(request_id)s",
                    "datefmt": "%Y-%m-%dT%H:%M:%SZ",
                    "rename_fields": {"asctime": "time", "levelname": "level", "name": "logger"},
                },
            },
            "handlers": {
                "stderr": {
                    "class": "logging.StreamHandler",
                    "filters": ["context"],
                    "formatter": "json" if json_format else "text",
                }
            },
            "root": {"level": level.upper(), "handlers": ["stderr"]},
            "loggers": {
                # The framework's own lines repeat ours, or tell of normal life at INFO.
                "django.request": {"level": "ERROR"},
                "django.security.DisallowedHost": {"level": "CRITICAL"},
                "django-q": {"level": "WARNING"},
                "_granian": {"level": "WARNING"},
            },
        }
    )
    import time

    logging.Formatter.converter = time.gmtime
