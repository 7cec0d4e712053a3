from __future__ import annotations

import sys
import time
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rest_framework.exceptions import ValidationError

from accounts.actor import COMMAND_LINE
from accounts.commands import refusals_as_one_line, workspace_named
from operations import logs, runner
from operations.commands import RUNNABLE_KINDS, Kind
from operations.models import Operation, OperationLog
from operations.serializers import PARAMS
from operations.services import drain, lifecycle
from operations.services.submit import submit_operation
from provisioning.exception_handler import validation_error


class Command(BaseCommand):
    help = (
        "Run one operation in the foreground: recorded like any other, its output here as it comes, "
        "its exit code ours. Ctrl-C cancels it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("kind", choices=[kind.value for kind in RUNNABLE_KINDS])
        parser.add_argument("--workspace", required=True)
        parser.add_argument(
            "--param",
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help="a parameter, e.g. hostname=web-01; a value that is JSON is read as JSON",
        )
        parser.add_argument("--check", action="store_true", help="change nothing")
        parser.add_argument("--timeout", type=int, help="seconds")

    def handle(self, *args: Any, **options: Any) -> None:
        workspace = workspace_named(options["workspace"])
        params = read_params(options["kind"], options["param"])
        with refusals_as_one_line():
            operation = submit_operation(
                actor=COMMAND_LINE,
                kind=Kind(options["kind"]),
                workspace=workspace,
                params=params,
                check_mode=options["check"],
                timeout_seconds=options["timeout"],
            )
        self.stderr.write(f"operation {operation.pk}")
        self.follow(operation)
        self.stderr.write(f"{operation.status}: {operation.error or 'ok'}")
        if operation.status != Operation.Status.COMPLETED:
            sys.exit(operation.exit_code or 1)

    def follow(self, operation: Operation) -> None:
        """Until it has ended. A worker that is quicker to claim it runs it; then we watch."""
        echo = Echo(operation)
        try:
            self.run_or_watch(operation, echo)
        except KeyboardInterrupt:
            with refusals_as_one_line():
                lifecycle.cancel_operation(operation=operation, actor=COMMAND_LINE)
            self.run_or_watch(operation, echo)
        echo()

    def run_or_watch(self, operation: Operation, echo: Echo) -> None:
        said = ""
        while not operation.is_final:
            runner.run_in_foreground(operation, echo)
            echo()
            operation.refresh_from_db()
            why = why_pending(operation)
            if why and why != said:
                self.stderr.write(f"waiting: {why}")
            said = why
            if not operation.is_final:
                time.sleep(0.2)


def why_pending(operation: Operation) -> str:
    """What keeps it from being started; nothing when nothing does."""
    if operation.status != Operation.Status.PENDING:
        return ""
    found = drain.find()
    if found is None:
        return "others come first, or the workspace is locked"
    return f"the system is drained{f': {found.reason}' if found.reason else ''}"


class Echo:
    """Writes what the log gained since the last call to our own two streams."""

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self.positions = dict.fromkeys(OperationLog.Stream.values, 0)

    def __call__(self) -> None:
        for stream, target in (("stdout", sys.stdout), ("stderr", sys.stderr)):
            while data := logs.read(
                self.operation, offset=self.positions[stream], limit=1 << 20, stream=stream
            ):
                target.buffer.write(data)
                target.flush()
                self.positions[stream] += len(data)


def read_params(kind: str, given: list[str]) -> dict[str, Any]:
    """`["hostname=web-01"]` -> checked parameters. Raises CommandError with one sentence."""
    params: dict[str, Any] = {}
    for item in given:
        name, sign, value = item.partition("=")
        if not sign:
            raise CommandError(f"--param {item!r} is not NAME=VALUE.")
        params[name] = read_value(value)
    serializer = PARAMS[kind](data=params)
    try:
        serializer.is_valid(raise_exception=True)
    except ValidationError as error:
        raise CommandError(validation_error(error).message) from None
    return dict(serializer.validated_data)


def read_value(value: str) -> Any:
    """Lists and objects as JSON; everything else is the text it looks like."""
    if value[:1] in "[{":
        try:
            return orjson.loads(value)  # as strict as the API
        except orjson.JSONDecodeError as error:
            raise CommandError(f"{value!r} is not JSON: {error}.") from None
    return value
