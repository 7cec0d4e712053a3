"""Logging to stderr, as text or as one JSON object a line, with the request id in each."""

from __future__ import annotations

import logging
import logging.config

from pythonjsonlogger.json import JsonFormatter


class RequestIdFilter(logging.Filter):
    """Adds `request_id` to records made inside a request."""

    def filter(self, record: logging.LogRecord) -> bool:
        from provisioning.middleware import current_request_id

        record.request_id = current_request_id.get()
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
            "filters": {"request_id": {"()": RequestIdFilter}},
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
                    "filters": ["request_id"],
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
