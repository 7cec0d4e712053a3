"""`provisioning-local`, or `python -m operations.localcli`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from operations.localcli import NAME, __version__, arguments
from operations.localcli.errors import CliError, Stopped, exit_code_of, sentence_of
from operations.localcli.output import Form, chosen_form, failure, show
from operations.localcli.progress import tell
from operations.localcli.request import Answer, Reader
from operations.localcli.stopping import watch_signals
from operations.localcli.workspace import Workspace


def main(words: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code (docs/cli.md lists them). Never a traceback."""
    words = sys.argv[1:] if words is None else words
    form = chosen_form(words)
    watch_signals()
    try:
        answer = _answer(words)
    except (Exception, Stopped) as error:
        return _fail(error, form)
    return 0 if _say(answer, form) else CliError.exit_code


def _answer(words: Sequence[str]) -> Answer:
    invocation = arguments.parse(words)
    if invocation.workspace is None:
        return {"name": NAME, "version": __version__}
    workspace = Workspace(invocation.workspace, invocation.root / invocation.workspace)
    request = _reader(invocation.kind)(invocation.params)
    return request.perform(workspace, check=invocation.is_check)


def _reader(kind: str) -> Reader:
    """Imports what `kind` needs and no more: `version` starts in half the time of the rest."""
    if kind.startswith(("batch_", "workflow_")):
        from operations.localcli import batch_commands

        return batch_commands.READERS[kind]
    from operations.localcli import kinds

    return kinds.READERS[kind]


def _fail(error: BaseException, form: Form) -> int:
    """In text form stdout stays empty: the sentence stands on stderr."""
    sentence = sentence_of(error)
    tell(sentence)
    if form == "json":
        _say(failure(sentence), form)
    return exit_code_of(error)


def _say(answer: Answer, form: Form) -> bool:
    """False when stdout did not take it: its reader is gone, or its disk is full."""
    try:
        show(answer, form)
    except (OSError, UnicodeError) as error:
        tell(f"The result could not be written to stdout: {error}.")
        # The interpreter's own flush at exit must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
