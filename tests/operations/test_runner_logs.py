"""The log of operations: every byte, in order, of both streams."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError

from accounts.models import Workspace
from operations import logs, runner
from operations.logs import LogWriter
from operations.masking import Mask
from operations.models import Operation, OperationLog, Runner
from operations.runner.turn import register
from operations.services import lifecycle
from tests.factories import make_operation
from tests.operations.harness import log_of, outcome_of

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)


def run(workspace: Workspace, hostname: str) -> Operation:
    operation = make_operation(
        workspace, params={"hostname": hostname, "provider": "p", "plan": "q"}
    )
    runner.run_turn()
    operation.refresh_from_db()
    return operation


def claimed(workspace: Workspace) -> Operation:
    """A running operation that no process belongs to."""
    make_operation(workspace)
    [operation] = lifecycle.claim_operations(runner=register(Runner.Role.TURN))
    return operation


def writer(operation: Operation, directory: Path, max_bytes: int = 1 << 30) -> LogWriter:
    return LogWriter(operation.pk, directory, max_bytes)


def copy(log: LogWriter, token: int, *, is_last: bool = False) -> None:
    logs.copy_all([(log, token)], is_last=is_last)


def append(directory: Path, stream: str, data: bytes) -> None:
    with (directory / stream).open("ab") as file:
        file.write(data)


def test_both_streams_are_complete_and_apart(journal: Path, workspace: Workspace) -> None:
    operation = run(workspace, "lines-300-x")
    out = "".join(f"out {index} é\n" for index in range(300)).encode()
    assert log_of(operation, "stdout").startswith(out + b"working on lines-300-x\n")
    assert log_of(operation, "stderr") == b"".join(b"err %d\n" % index for index in range(300))
    assert logs.size_of(operation, None) == len(log_of(operation, "stdout")) + len(
        log_of(operation, "stderr")
    )


def test_five_megabytes_with_wide_characters_come_through_byte_for_byte(
    journal: Path, workspace: Workspace
) -> None:
    operation = run(workspace, "big-4-x")
    line = "größe 長さ 🚀 ".encode() * 40 + b"\n"
    for stream, size in (("stdout", 4 << 20), ("stderr", 2 << 20)):
        assert log_of(operation, stream) == (line * (size // len(line) + 1))[:size]
    assert max(len(piece.data) for piece in OperationLog.objects.all()) == 64 * 1024


def test_pieces_lie_end_to_end(journal: Path, workspace: Workspace) -> None:
    operation = run(workspace, "big-1-x")
    position = 0
    for piece in OperationLog.objects.filter(operation=operation).order_by("offset"):
        assert piece.offset == position
        position += len(piece.data)
    assert position == logs.size_of(operation, None) == 3 << 19


def test_reading_on_from_any_offset_gives_the_same_bytes(
    journal: Path, workspace: Workspace
) -> None:
    operation = run(workspace, "lines-2000-x")
    whole = log_of(operation)
    found = b""
    while part := logs.read(operation, offset=len(found), limit=7_919):
        found += part
    assert found == whole


@pytest.mark.parametrize("stream", [None, "stdout", "stderr"])
@pytest.mark.parametrize("lines", [0, 1, 3, 50, 10_000])
def test_the_tail_is_the_end_of_the_log(
    journal: Path, workspace: Workspace, tmp_path: Path, stream: str | None, lines: int
) -> None:
    operation = claimed(workspace)
    log = writer(operation, tmp_path)
    for index in range(60):
        append(tmp_path, "stdout", b"o%d\n" % index)
        append(tmp_path, "stderr", b"e%d\n" % index)
        copy(log, operation.fencing_token)
    whole = log_of(operation, stream)
    kept = b"".join(whole.splitlines(keepends=True)[-lines:]) if lines else b""
    offset, data = logs.tail(operation, lines=lines, stream=stream)
    assert (offset, data) == (len(whole) - len(kept), kept)


def test_a_tail_without_a_last_newline_counts_the_open_line(
    workspace: Workspace, journal: Path, tmp_path: Path
) -> None:
    operation = claimed(workspace)
    append(tmp_path, "stdout", b"one\ntwo\nthr")
    copy(writer(operation, tmp_path), operation.fencing_token)
    assert logs.tail(operation, lines=2) == (4, b"two\nthr")


def test_the_tail_of_one_endless_line_is_bounded_and_the_end_of_the_log(
    workspace: Workspace, journal: Path, tmp_path: Path
) -> None:
    operation = claimed(workspace)
    append(tmp_path, "stdout", bytes(range(14, 256)) * 40_000 + b"the end")
    copy(writer(operation, tmp_path), operation.fencing_token)
    size = logs.size_of(operation, None)

    offset, data = logs.tail(operation, lines=2)
    assert (offset, len(data)) == (size - (4 << 20), 4 << 20)
    assert data == logs.read(operation, offset=offset, limit=size)
    assert logs.tail(operation, lines=1, max_bytes=100_000)[0] == size - 100_000


def test_an_offset_beyond_the_end_gives_nothing(journal: Path, workspace: Workspace) -> None:
    operation = run(workspace, "ok-1")
    assert logs.read(operation, offset=1 << 40, limit=10) == b""


def test_what_is_added_is_copied_without_gap_or_double(
    journal: Path, workspace: Workspace, tmp_path: Path
) -> None:
    operation = claimed(workspace)
    log = writer(operation, tmp_path)
    for index in range(20):
        append(tmp_path, "stdout", b"%d," % index)
        copy(log, operation.fencing_token)
    assert log_of(operation) == b"".join(b"%d," % index for index in range(20))
    assert not log.has_news()


def test_a_second_writer_goes_on_where_the_first_ended(
    journal: Path, workspace: Workspace, tmp_path: Path
) -> None:
    operation = claimed(workspace)
    append(tmp_path, "stdout", b"first ")
    append(tmp_path, "stderr", b"oops ")
    copy(writer(operation, tmp_path), operation.fencing_token)
    append(tmp_path, "stdout", b"second")
    successor = writer(operation, tmp_path)
    successor.resume()
    copy(successor, operation.fencing_token)
    assert log_of(operation, "stdout") == b"first second"
    assert log_of(operation, "stderr") == b"oops "


def test_a_writer_whose_lease_was_taken_writes_nothing(
    journal: Path, workspace: Workspace, tmp_path: Path
) -> None:
    operation = claimed(workspace)
    append(tmp_path, "stdout", b"late words")
    copy(writer(operation, tmp_path), operation.fencing_token - 1)
    assert log_of(operation) == b""


def test_a_commit_whose_answer_was_lost_is_not_written_twice(
    journal: Path, workspace: Workspace, tmp_path: Path
) -> None:
    operation = claimed(workspace)
    append(tmp_path, "stdout", b"once ")
    log = writer(operation, tmp_path)
    # The same bytes are there already, as after a connection that broke behind the commit.
    copy(writer(operation, tmp_path), operation.fencing_token)
    with pytest.raises(DatabaseError):
        copy(log, operation.fencing_token)
    append(tmp_path, "stdout", b"only")
    copy(log, operation.fencing_token)
    assert log_of(operation) == b"once only"


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_a_secret_is_covered_however_it_was_written(
    step: int, journal: Path, workspace: Workspace, tmp_path: Path
) -> None:
    operation = claimed(workspace)
    secret = "s3cret-größe"
    text = f"begin {secret} {secret}{secret} s3cret s3c {secret}\nend s3cret".encode()
    log = LogWriter(operation.pk, tmp_path, 1 << 30, Mask([secret, "s3cret-"]))
    for at in range(0, len(text), step):
        append(tmp_path, "stdout", text[at : at + step])
        copy(log, operation.fencing_token)
        log.resume()  # as if it were another runner's each time
    copy(log, operation.fencing_token, is_last=True)
    stars = "*" * len(secret.encode())
    assert log_of(operation).decode() == text.decode().replace(secret, stars)


def test_a_secret_across_two_pieces_is_covered(
    journal: Path, workspace: Workspace, tmp_path: Path
) -> None:
    operation = claimed(workspace)
    before, after = b"x" * (64 * 1024 - 3), b"y" * 70_000
    append(tmp_path, "stdout", before + b"hunter22" + after)
    log = LogWriter(operation.pk, tmp_path, 1 << 30, Mask(["hunter22"]))
    copy(log, operation.fencing_token)
    assert log_of(operation) == before + b"*" * 8 + after


def test_what_an_operation_was_given_as_a_secret_is_in_no_log_result_or_sentence(
    journal: Path, workspace: Workspace, settings: Any
) -> None:
    settings.CLI_ENVIRONMENT = {**settings.CLI_ENVIRONMENT, "CLOUD_API_TOKEN": "tok-0815-abc"}
    params = {
        "name": "tell-x",
        "settings": {"db": {"password": 'pass"word-1'}, "keyboard": "german", "size": "large"},
    }
    operation = make_operation(workspace, kind="taskserv_create", params=params)
    environment = run(workspace, "env-x")
    runner.run_turn()
    operation.refresh_from_db()
    assert operation.status == "completed"
    told = log_of(operation).decode() + str(operation.result)
    assert "word-1" not in told
    assert "german" in told
    assert "large" in told
    told = log_of(environment).decode() + str(environment.result)
    assert "CLOUD_API_TOKEN" in told
    assert "tok-0815-abc" not in told


MARK = "\n[log cut off at {} bytes: what {} says from here on is not kept]\n"


def test_a_log_that_is_full_ends_with_a_mark_and_the_cli_goes_on(
    journal: Path, workspace: Workspace, settings: Any
) -> None:
    settings.LOG_MAX_BYTES = 100_000
    operation = run(workspace, "big-1-x")
    assert outcome_of(operation) == ("completed", None, 0)
    marks = {stream: MARK.format(100_000, stream).encode() for stream in ("stdout", "stderr")}
    whole = log_of(operation)
    assert whole.endswith(marks["stdout"] + marks["stderr"])
    assert 99_997 <= len(whole) - len(b"".join(marks.values())) <= 100_000
    whole.decode()  # no character is cut
    for stream, mark in marks.items():
        assert log_of(operation, stream).endswith(mark)


def test_a_log_that_fits_exactly_has_no_mark_until_more_comes(
    journal: Path, workspace: Workspace, tmp_path: Path
) -> None:
    operation = claimed(workspace)
    append(tmp_path, "stdout", b"12345")
    log = writer(operation, tmp_path, max_bytes=5)
    copy(log, operation.fencing_token)
    assert (log_of(operation), log.has_news()) == (b"12345", False)
    append(tmp_path, "stderr", b"6")
    assert log.has_news()
    copy(log, operation.fencing_token)
    assert log_of(operation, "stdout") == b"12345" + MARK.format(5, "stdout").encode()
    assert log_of(operation, "stderr") == MARK.format(5, "stderr").encode()


def test_the_mark_is_written_once_whoever_goes_on(
    journal: Path, workspace: Workspace, tmp_path: Path
) -> None:
    operation = claimed(workspace)
    append(tmp_path, "stdout", b"x" * 5000)
    copy(writer(operation, tmp_path, max_bytes=4096), operation.fencing_token)
    whole = log_of(operation)
    append(tmp_path, "stdout", b"x" * 5000)
    successor = writer(operation, tmp_path, max_bytes=4096)
    successor.resume()
    assert not successor.has_news()
    copy(successor, operation.fencing_token, is_last=True)
    assert log_of(operation) == whole


def test_the_files_of_a_log_that_was_cut_off_give_their_disk_back(
    journal: Path, workspace: Workspace, tmp_path: Path
) -> None:
    operation = claimed(workspace)
    append(tmp_path, "stdout", b"x" * (40 << 20))
    log = writer(operation, tmp_path, max_bytes=4096)
    copy(log, operation.fencing_token)
    log.free_disk()
    append(tmp_path, "stdout", b"the end")
    status = (tmp_path / "stdout").stat()
    assert status.st_size == (40 << 20) + 7
    assert status.st_blocks * 512 <= 3 << 20
    assert (tmp_path / "stdout").read_bytes().endswith(b"x" * (1 << 20) + b"the end")


def test_the_beginning_of_a_character_waits_for_its_end(
    journal: Path, workspace: Workspace, tmp_path: Path
) -> None:
    operation = claimed(workspace)
    log = writer(operation, tmp_path)
    rocket = "🚀".encode()
    append(tmp_path, "stdout", b"go " + rocket[:3])
    append(tmp_path, "stderr", b"warning")
    copy(log, operation.fencing_token)
    assert log_of(operation) == b"go warning"
    append(tmp_path, "stdout", rocket[3:])
    copy(log, operation.fencing_token)
    assert log_of(operation) == b"go warning" + rocket


def test_a_character_that_never_ends_is_kept_as_it_is(
    journal: Path, workspace: Workspace, tmp_path: Path
) -> None:
    operation = claimed(workspace)
    append(tmp_path, "stdout", b"go \xf0\x9f")
    copy(writer(operation, tmp_path), operation.fencing_token, is_last=True)
    assert log_of(operation) == b"go \xf0\x9f"
