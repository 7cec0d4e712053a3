"""What can go wrong, and the exit code that says so (documented in docs/cli.md)."""

from __future__ import annotations


class CliError(Exception):
    """A failure told in one sentence; ends the run with `exit_code`."""

    exit_code = 1

    def __init__(self, sentence: str, exit_code: int | None = None) -> None:
        super().__init__(sentence)
        if exit_code is not None:
            self.exit_code = exit_code


class BadInputError(CliError):
    """An argument, a settings file or a batch file breaks a rule."""

    exit_code = 2


class NotFoundError(CliError):
    """The named server, taskserv, cluster, script or batch does not exist."""

    exit_code = 3


class ConflictError(CliError):
    """The thing exists already, is busy, or is past the state that was asked for."""

    exit_code = 4


class ScriptError(CliError):
    """A script ended with a code other than 0, which becomes ours (128 + n for signal n)."""


class StepError(CliError):
    """A step of a batch failed; its code becomes ours."""


class Stopped(BaseException):
    """A signal asks this run to end.

    Not an Exception, so that no handler of ordinary failures swallows it.
    """

    def __init__(self, sentence: str, exit_code: int) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


class TimedOut(Stopped):
    """A batch step ran longer than its `timeout_seconds`."""


def sentence_of(error: BaseException) -> str:
    """What a person is told about `error`."""
    if isinstance(error, (CliError, Stopped)):
        return str(error)
    if isinstance(error, OSError) and error.filename is not None:
        return f"The file {error.filename} cannot be used: {error.strerror}."
    return f"Unexpected {type(error).__name__}: {error}."


def exit_code_of(error: BaseException) -> int:
    return error.exit_code if isinstance(error, (CliError, Stopped)) else CliError.exit_code
