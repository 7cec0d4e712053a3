"""What a turn writes down of its children: their logs and their ends, of many with one commit."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence

from django.db import DataError

from operations.logs import copy_all
from operations.models import Operation
from operations.runner import files
from operations.runner.child import Child
from operations.services import lifecycle
from operations.services.ending import End, Ending

log = logging.getLogger("provisioning.runner")

AT_ONCE = 20  # a result may have a megabyte


def copy_logs(children: Sequence[Child]) -> None:
    copy_all((child.log, child.token) for child in children)


def groups_of(ended: Iterable[Child]) -> Iterator[list[Child]]:
    """Those whose ends are recorded together: steps of workflows are alone (see `finish_operations`)."""
    plain = []
    for child in ended:
        if child.operation.workflow_id is None:
            plain.append(child)
        else:
            yield [child]
    for begin in range(0, len(plain), AT_ONCE):
        yield plain[begin : begin + AT_ONCE]


def record_ends(group: Sequence[Child]) -> None:
    """Write the rest of the logs, then the ends; a runner whose lease was taken leaves the files to its
    successor."""
    copy_all(((child.log, child.token) for child in group), is_last=True)
    for operation in _finish([child.end() for child in group]):
        files.remove_directory(operation.pk)


def _finish(ends: Sequence[End]) -> list[Operation]:
    try:
        return lifecycle.finish_operations(ends)
    except (DataError, ValueError):
        if len(ends) > 1:
            raise  # one of them; each is tried alone
        # Output that no column can hold must not keep the operation running for ever.
        log.exception("the result of operation %s cannot be stored", ends[0].operation.pk)
        return lifecycle.finish_operations([_unstorable(ends[0])])


def _unstorable(one: End) -> End:
    ending = Ending(
        Operation.Status.FAILED,
        Operation.Reason.BAD_OUTPUT,
        one.ending.exit_code,
        error="The output of the CLI could not be stored.",
        argv=one.ending.argv,
    )
    return one._replace(ending=ending)
