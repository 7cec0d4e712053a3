from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from accounts.actor import COMMAND_LINE
from accounts.models import AuditEvent
from accounts.prune import count_expired_sessions, prune_audit, prune_sessions
from operations.services.prune import Retention, prunable, prune_operations


class Command(BaseCommand):
    help = (
        "Delete what is older than so many days: ended operations with their logs, audit events, "
        "expired sessions; and more operations, oldest first, where a number or size is given. Nothing "
        "that still runs or waits is touched."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--operations-days", type=int, default=90, help="default 90")
        parser.add_argument(
            "--keep-operations",
            type=int,
            metavar="N",
            help="and all but the newest N that have ended",
        )
        parser.add_argument(
            "--keep-log-bytes",
            type=int,
            metavar="BYTES",
            help="and the oldest that have ended, until all logs together are no larger",
        )
        parser.add_argument("--audit-days", type=int, default=365, help="default 365")
        parser.add_argument("--dry-run", action="store_true", help="only count")

    def handle(self, *args: Any, **options: Any) -> None:
        retention = Retention(
            before=days_ago("--operations-days", options["operations_days"]),
            count=not_negative("--keep-operations", options["keep_operations"]),
            log_bytes=not_negative("--keep-log-bytes", options["keep_log_bytes"]),
        )
        audit_before = days_ago("--audit-days", options["audit_days"])
        now = timezone.now()
        if options["dry_run"]:
            counts = (
                len(prunable(retention)),
                AuditEvent.objects.filter(occurred_at__lt=audit_before).count(),
                count_expired_sessions(before=now),
            )
            verb = "Would delete"
        else:
            counts = (
                prune_operations(retention=retention, actor=COMMAND_LINE),
                prune_audit(before=audit_before, actor=COMMAND_LINE),
                prune_sessions(before=now),
            )
            verb = "Deleted"
        self.stdout.write(
            "{} {} operations, {} audit events, {} expired sessions.".format(verb, *counts)
        )


def days_ago(flag: str, days: int) -> datetime:
    if not 0 <= days <= 36500:
        raise CommandError(f"{flag} is {days}: it must be from 0 to 36500.")
    return timezone.now() - timedelta(days=days)


def not_negative(flag: str, number: int | None) -> int | None:
    if number is not None and number < 0:
        raise CommandError(f"{flag} is {number}: it must not be negative.")
    return number
