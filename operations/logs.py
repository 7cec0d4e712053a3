"""The log of an operation: from the files of its process into the database, and out again.

Output goes to files, so a child is never slowed and survives its runner; the runner copies what was
added in pieces of 64 KiB. Where it stands is what the database holds, so after a crash nothing is
missing and nothing is there twice. Beyond the limit only a line that says so is kept, and the files give
their disk back.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from django.db import transaction
from django.db.models import QuerySet, Sum
from django.db.models.functions import Length

from operations import disk, output
from operations.characters import begun
from operations.masking import Mask
from operations.models import Operation, OperationLog

CHUNK_BYTES = 64 * 1024
MAX_READ_BYTES = 4 * 1024 * 1024
FREE_BYTES = 16 * 1024 * 1024
STREAMS = (OperationLog.Stream.STDOUT, OperationLog.Stream.STDERR)


@dataclass
class LogWriter:
    """Copies the growing files of one operation. `positions` are bytes taken from each stream."""

    operation_id: uuid.UUID
    directory: Path
    max_bytes: int
    mask: Mask = field(default_factory=Mask)
    positions: dict[str, int] = field(default_factory=dict)
    total: int = 0
    is_cut_off: bool = False
    is_in_doubt: bool = False
    freed: dict[str, int] = field(default_factory=dict)

    def resume(self) -> None:
        """Go on where the database ends."""
        lengths = (
            OperationLog.objects.filter(operation=self.operation_id)
            .order_by()
            .values("stream")
            .annotate(length=Sum(Length("data")))
        )
        self.positions = {row["stream"]: row["length"] for row in lengths}
        self.total = sum(self.positions.values())
        # Only the marks go beyond it, and they are written once, together with the last bytes before.
        self.is_cut_off = self.total > self.max_bytes
        self.is_in_doubt = False

    def has_news(self) -> bool:
        """Two stat calls, no read."""
        return not self.is_cut_off and any(
            self._size(stream) > self.positions.get(stream, 0) for stream in STREAMS
        )

    def read(self, *, is_last: bool) -> list[OperationLog]:
        """What was added since; the beginning of a character that goes on is left for the next time,
        unless there is none."""
        if self.is_in_doubt:
            self.resume()
        return [] if self.is_cut_off else list(self._read_new(is_last=is_last))

    def took(self, pieces: Sequence[OperationLog]) -> None:
        """These are in the database now."""
        self.is_in_doubt = False
        for piece in pieces:
            self.positions[piece.stream] = piece.stream_offset + len(piece.data)
            self.total = piece.offset + len(piece.data)
        self.is_cut_off = self.total > self.max_bytes

    def free_disk(self) -> None:
        """Give back the disk under what no reader needs any more of a log that was cut off: the child
        may write for hours. Sizes and positions stay as they are, and the child notices nothing."""
        if not self.is_cut_off:
            return
        for stream in STREAMS:
            end = self._size(stream) - output.MAX_TAIL_BYTES
            if end - self.freed.get(stream, 0) >= FREE_BYTES:
                disk.punch(self.directory / stream, end)
                self.freed[stream] = end

    def _size(self, stream: str) -> int:
        try:
            return os.stat(f"{self.directory}/{stream}").st_size
        except (FileNotFoundError, NotADirectoryError):
            return 0

    def _read_new(self, *, is_last: bool) -> Iterator[OperationLog]:
        offset = self.total
        positions = dict.fromkeys(STREAMS, 0) | self.positions
        is_cut_off = False
        for stream in STREAMS:
            if self._size(stream) <= positions[stream]:
                continue
            with open(f"{self.directory}/{stream}", "rb") as file:
                file.seek(positions[stream])
                while found := file.read(CHUNK_BYTES):
                    is_end = not file.peek(1)
                    data = self.mask.cover(found)
                    if not (is_end and is_last):
                        data = data[: len(data) - self.mask.begun(found)]
                    room = max(self.max_bytes - offset, 0)
                    if is_cut_off := len(data) > room:
                        data = data[:room]
                    if is_cut_off or (is_end and not is_last):
                        data = data[: len(data) - begun(data)]
                    if data:
                        yield self._piece(stream, offset, positions[stream], data)
                    positions[stream] += len(data)
                    offset += len(data)
                    if is_cut_off or is_end:
                        break
                    if len(data) < len(found):  # perhaps the beginning of a secret
                        file.seek(positions[stream])
            if is_cut_off:
                yield from self._marks(offset, positions)
                return

    def _marks(self, offset: int, positions: Mapping[str, int]) -> Iterator[OperationLog]:
        """A line at the end of each stream, so that whoever reads only one of them sees it too. They
        reach beyond the limit, by which a later runner knows that they are written."""
        for stream in STREAMS:
            mark = f"\n[log cut off at {self.max_bytes} bytes: what {stream} says from here on is not kept]\n"
            yield self._piece(stream, offset, positions[stream], mark.encode())
            offset += len(mark)

    def _piece(self, stream: str, offset: int, position: int, data: bytes) -> OperationLog:
        return OperationLog(
            operation_id=self.operation_id,
            stream=stream,
            offset=offset,
            stream_offset=position,
            data=data,
        )


def copy_all(logs: Iterable[tuple[LogWriter, int]], *, is_last: bool = False) -> None:
    """Copy what was added since to each log, under the token of its runner's lease: nothing to one whose
    lease is another's by now. With one commit, as long as it is not too much to hold in memory."""
    read: list[_Read] = []
    size = 0
    for log, token in logs:
        if pieces := log.read(is_last=is_last):
            read.append(_Read(log, token, pieces))
            size += sum(len(piece.data) for piece in pieces)
        if size >= MAX_READ_BYTES:
            _write(read)
            read, size = [], 0
    if read:
        _write(read)


class _Read(NamedTuple):
    log: LogWriter
    token: int
    pieces: list[OperationLog]


def _write(read: Sequence[_Read]) -> None:
    with transaction.atomic():
        leases = dict(
            Operation.objects.select_for_update()
            .filter(pk__in=[one.log.operation_id for one in read], status="running")
            .order_by("pk")
            .values_list("pk", "fencing_token")
        )
        held = [one for one in read if leases.get(one.log.operation_id) == one.token]
        # Until the commit is confirmed: a connection may break after it and before its answer.
        for one in held:
            one.log.is_in_doubt = True
        OperationLog.objects.bulk_create([piece for one in held for piece in one.pieces])
    for one in held:
        one.log.took(one.pieces)


def size_of(operation: Operation, stream: str | None) -> int:
    """Bytes that the log holds (of one stream)."""
    last = _pieces(operation, stream).order_by("-offset").first()
    if last is None:
        return 0
    begin = last.offset if stream is None else last.stream_offset
    return int(begin) + len(last.data)


def read(operation: Operation, *, offset: int, limit: int, stream: str | None = None) -> bytes:
    """Bytes from `offset` on, at most `limit`; offsets count in this stream, or in both together."""
    column = "offset" if stream is None else "stream_offset"
    rows = _pieces(operation, stream)
    # The piece that holds the offset, and those after it.
    first = rows.filter(**{f"{column}__lte": offset}).order_by(f"-{column}").first()
    if first is None:
        return b""
    begin = getattr(first, column)
    found = bytearray()
    for piece in (
        rows.filter(**{f"{column}__gte": begin, f"{column}__lt": offset + limit})
        .order_by(column)
        .iterator(chunk_size=16)
    ):
        found += piece.data
    return bytes(found[offset - begin : offset - begin + limit])


def whole_characters(data: bytes, *, is_end: bool) -> bytes:
    """Without the beginning of a character whose rest comes with the next page. At the end of a log
    that may go on it is waited for; within one, a page that is too small for it gives what it can."""
    whole = data[: len(data) - begun(data)]
    return whole if is_end else whole or data


def tail(
    operation: Operation,
    *,
    lines: int,
    stream: str | None = None,
    max_bytes: int = MAX_READ_BYTES,
) -> tuple[int, bytes]:
    """The last so many lines as `(offset of the first byte, bytes)`; reads only as far back as needed.

    A log without newlines would be read whole: what is longer than `max_bytes` loses its beginning.
    """
    if not lines:
        return size_of(operation, stream), b""
    pieces: list[bytes] = []
    newlines = length = begin = 0
    for offset, piece in _backwards(operation, stream):
        begin = offset
        pieces.append(piece)
        newlines += piece.count(b"\n")
        length += len(piece)
        if newlines > lines or length >= max_bytes:
            break
    found = b"".join(reversed(pieces))
    kept = b"".join(found.splitlines(keepends=True)[-lines:])[-max_bytes:]
    return begin + len(found) - len(kept), kept


def _backwards(operation: Operation, stream: str | None) -> Iterator[tuple[int, bytes]]:
    """`(offset, bytes)` of each piece from the last to the first: one, which is mostly enough, then
    more and more at a time."""
    column = "offset" if stream is None else "stream_offset"
    rows = _pieces(operation, stream).order_by(f"-{column}").values_list(column, "data")
    count, found = 1, list(rows[:1])
    while found:
        for begin, data in found:
            yield begin, bytes(data)
        count = min(count * 4, 64)
        found = list(rows.filter(**{f"{column}__lt": begin})[:count])


def _pieces(operation: Operation, stream: str | None) -> QuerySet[OperationLog]:
    rows = OperationLog.objects.filter(operation=operation)
    return rows if stream is None else rows.filter(stream=stream)
