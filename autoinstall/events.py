"""Names of auto-install's audit events: `noun.verb-past`."""

from __future__ import annotations

from enum import StrEnum


class Event(StrEnum):
    TOKEN_CREATED = "answer-token.created"  # noqa: S105 - the name of an event
    TOKEN_CHANGED = "answer-token.changed"  # noqa: S105
    TOKEN_ROTATED = "answer-token.rotated"  # noqa: S105
    TOKEN_DELETED = "answer-token.deleted"  # noqa: S105
    CONFIG_CREATED = "prepared-config.created"
    CONFIG_CHANGED = "prepared-config.changed"
    CONFIG_DELETED = "prepared-config.deleted"
    CONFIG_EXPORTED = "prepared-config.exported"
    ANSWER_ISSUED = "answer.issued"
    ANSWER_MISSED = "answer.missed"
    ANSWER_REFUSED = "answer.refused"
    ANSWER_FAILED = "answer.failed"
    INSTALLATION_FINISHED = "installation.finished"
    INSTALLATION_REPORT_REFUSED = "installation.report-refused"
    INSTALLATION_DELETED = "installation.deleted"
    INSTALLATIONS_PRUNED = "installations.pruned"
