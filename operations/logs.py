"""The log of an operation: from the files of its process into the database, and out again.

Output goes to files, so a child is never slowed and survives its runner; the runner copies what was
added in pieces of 64 KiB. Where it stands is what the database holds, so after a crash nothing is
missing and nothing is there twice.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from django.db import transaction
from django.db.models import QuerySet, Sum
from django.db.models.functions import Length

from operations.models import Operation, OperationLog

CHUNK_BYTES = 64 * 1024
MAX_READ_BYTES = 4 * 1024 * 1024
STREAMS = (OperationLog.Stream.STDOUT, OperationLog.Stream.STDERR)


@dataclass
class LogWriter:
    """Copies the growing files of one operation. `positions` are bytes taken from each stream."""

    operation_id: uuid.UUID
    directory: Path
    max_bytes: int
    positions: dict[str, int] = field(default_factory=dict)
    total: int = 0
    is_full: bool = False
    is_in_doubt: bool = False

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
        self.is_full = self.total >= self.max_bytes
        self.is_in_doubt = False

    def has_news(self) -> bool:
        """Two stat calls, no read."""
        return not self.is_full and any(
            self._size(stream) > self.positions.get(stream, 0) for stream in STREAMS
        )

    def copy(self, token: int) -> None:
        """Take what was added since. Writes nothing when the lease is another's by now."""
        if self.is_in_doubt:
            self.resume()
        pieces = list(self._read_new())
        if not pieces:
            return
        with transaction.atomic():
            holds_lease = (
                Operation.objects.select_for_update()
                .filter(pk=self.operation_id, fencing_token=token, status="running")
                .exists()
            )
            if not holds_lease:
                return
            # Until the commit is confirmed: a connection may break after it and before its answer.
            self.is_in_doubt = True
            OperationLog.objects.bulk_create(pieces)
        self.is_in_doubt = False
        for piece in pieces:
            self.positions[piece.stream] = piece.stream_offset + len(piece.data)
            self.total = piece.offset + len(piece.data)
        self.is_full = self.total >= self.max_bytes

    def _size(self, stream: str) -> int:
        try:
            return os.stat(self.directory / stream).st_size
        except (FileNotFoundError, NotADirectoryError):
            return 0

    def _read_new(self) -> Iterator[OperationLog]:
        offset = self.total
        for stream in STREAMS:
            position = self.positions.get(stream, 0)
            if self._size(stream) <= position:
                continue
            with (self.directory / stream).open("rb") as file:
                file.seek(position)
                while offset < self.max_bytes and (
                    data := file.read(min(CHUNK_BYTES, self.max_bytes - offset))
                ):
                    yield OperationLog(
                        operation_id=self.operation_id,
                        stream=stream,
                        offset=offset,
                        stream_offset=position,
                        data=data,
                    )
                    position += len(data)
                    offset += len(data)


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
    column = "offset" if stream is None else "stream_offset"
    # The oldest piece that may matter holds the byte at this distance from the end.
    oldest = size_of(operation, stream) - max_bytes - CHUNK_BYTES
    pieces: list[bytes] = []
    newlines = begin = 0
    for piece in (
        _pieces(operation, stream)
        .filter(**{f"{column}__gt": oldest})
        .order_by(f"-{column}")
        .iterator(chunk_size=4)
    ):
        pieces.append(bytes(piece.data))
        begin = getattr(piece, column)
        newlines += pieces[-1].count(b"\n")
        if newlines > lines:
            break
    found = b"".join(reversed(pieces))
    kept = b"".join(found.splitlines(keepends=True)[-lines:])[-max_bytes:]
    return begin + len(found) - len(kept), kept


def _pieces(operation: Operation, stream: str | None) -> QuerySet[OperationLog]:
    rows = OperationLog.objects.filter(operation=operation)
    return rows if stream is None else rows.filter(stream=stream)
