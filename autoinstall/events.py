"""Names of auto-install's audit events: `noun.verb-past`."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from accounts.changes import data_of
from accounts.sentences import register_sentences

if TYPE_CHECKING:
    from accounts.models import AuditEvent


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


def _machine(event: AuditEvent) -> str:
    """The machine by its serial number, where it told one."""
    return "The machine {serial}" if data_of(event).get("serial") else "A machine at {source}"


def _issued(event: AuditEvent) -> str:
    return _machine(event) + " got its answer from {target}"


def _not_answered(event: AuditEvent) -> str:
    return _machine(event) + " got no answer: {reason}"


def _refused(event: AuditEvent) -> str:
    return _machine(event) + " was refused: {reason}"


def _finished(event: AuditEvent) -> str:
    name = "{fqdn}" if data_of(event).get("fqdn") else _machine(event)
    return name + " is installed" + (" by {target}" if event.target_name else "")


def _deleted(event: AuditEvent) -> str:
    what = "the installation of {serial}" if data_of(event).get("serial") else "an installation"
    return "{actor} deleted " + what


def _exported(event: AuditEvent) -> str:
    extra = " with the hash of its root password" if data_of(event).get("with_hash") else ""
    return "{actor} exported the prepared config {target}" + extra


register_sentences(
    {
        Event.TOKEN_CREATED: "{actor} created the answer token {target}",
        Event.TOKEN_CHANGED: "{actor} changed the answer token {target}: {changes}",
        Event.TOKEN_ROTATED: "{actor} gave the answer token {target} a new secret",
        Event.TOKEN_DELETED: "{actor} deleted the answer token {target}",
        Event.CONFIG_CREATED: "{actor} created the prepared config {target}",
        Event.CONFIG_CHANGED: "{actor} changed the prepared config {target}: {changes}",
        Event.CONFIG_DELETED: "{actor} deleted the prepared config {target}",
        Event.CONFIG_EXPORTED: _exported,
        Event.ANSWER_ISSUED: _issued,
        Event.ANSWER_MISSED: _not_answered,
        Event.ANSWER_REFUSED: _refused,
        Event.ANSWER_FAILED: _not_answered,
        Event.INSTALLATION_FINISHED: _finished,
        Event.INSTALLATION_REPORT_REFUSED: (
            "A report of an installed machine from {source} was refused"
        ),
        Event.INSTALLATION_DELETED: _deleted,
        Event.INSTALLATIONS_PRUNED: "{actor} deleted {count} old installations",
    }
)
