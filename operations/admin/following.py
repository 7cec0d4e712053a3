"""The log of an operation for its page: pieces of it, as it comes, and whole."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import URLPattern, path

from operations import following, logs
from operations.characters import begun
from operations.log_stream import LogStream
from operations.models import Operation
from operations.views.following import DEFAULT_LOG_BYTES, MAX_OFFSET, check_number, log_answer
from provisioning.errors import Invalid, Unavailable
from provisioning.exception_handler import plain

TAIL_BYTES = 512 * 1024
MOST_LINES = 5_000
DOWNLOAD_PIECE_BYTES = 1024 * 1024


class LogPages:
    """URLs of the log, by the session of the console. Mixed into the admin of operations."""

    admin_site: Any

    def one(self, request: HttpRequest, pk: uuid.UUID) -> Operation:
        raise NotImplementedError

    def log_urls(self) -> list[URLPattern]:
        views = {
            "log/": (self.log_view, "log"),
            "log/stream/": (self.stream_view, "log_stream"),
            "log/download/": (self.download_view, "log_download"),
        }
        return [
            path(
                f"<uuid:pk>/{route}",
                self.admin_site.admin_view(view),
                name=f"operations_operation_{name}",
            )
            for route, (view, name) in views.items()
        ]

    def log_view(self, request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
        """Bytes: the last lines (`tail`), what comes before an offset in whole lines (`before`), or from
        `offset` on. `X-Log-Offset` says where they begin, `X-Next-Offset` where they end."""
        operation = self.one(request, pk)
        try:
            stream = read_stream(request)
            if "tail" in request.GET:
                lines = read_number(request, "tail", 1, MOST_LINES)
                begin, data = logs.tail(operation, lines=lines, stream=stream, max_bytes=TAIL_BYTES)
            elif "before" in request.GET:
                begin, data = lines_before(operation, read_number(request, "before"), stream)
            else:
                begin = read_number(request, "offset")
                data = logs.read(operation, offset=begin, limit=DEFAULT_LOG_BYTES, stream=stream)
        except Invalid as error:
            return plain(request, error.status, error.message)
        # The status was read before the bytes: what is final then has written its last.
        size = logs.size_of(operation, stream)
        is_whole = operation.is_final and begin + len(data) >= size
        if not is_whole:
            data = logs.whole_characters(data, is_end=begin + len(data) >= size)
        answer = log_answer(data, following=begin + len(data), is_complete=is_whole)
        answer.headers["X-Log-Offset"] = str(begin)
        return answer

    def stream_view(
        self, request: HttpRequest, pk: uuid.UUID
    ) -> HttpResponse | StreamingHttpResponse:
        """The events of `GET /v1/operations/{id}/log/stream`; 503 when every place is taken."""
        operation = self.one(request, pk)
        try:
            stream = read_stream(request)
            given = request.headers.get("Last-Event-ID") or request.GET.get("offset", "0")
            offset = check_number(given, "offset", 0, MAX_OFFSET)
            place = following.places.take()
            if place is None:
                raise Unavailable("Too many logs are being followed.")
        except (Invalid, Unavailable) as error:
            return plain(request, error.status, error.message)
        return StreamingHttpResponse(
            LogStream(operation, offset=offset, stream=stream, place=place),
            content_type="text/event-stream; charset=utf-8",
            headers={"X-Accel-Buffering": "no"},
        )

    def download_view(
        self, request: HttpRequest, pk: uuid.UUID
    ) -> HttpResponse | StreamingHttpResponse:
        operation = self.one(request, pk)
        try:
            stream = read_stream(request)
        except Invalid as error:
            return plain(request, error.status, error.message)
        name = f"{operation.pk}{f'-{stream}' if stream else ''}.log"
        return StreamingHttpResponse(
            whole_log(operation, stream),
            content_type="text/plain; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )


def whole_log(operation: Operation, stream: str | None) -> Iterator[bytes]:
    """Up to where it ends now: a log that grows must not make an endless file."""
    offset, size = 0, logs.size_of(operation, stream)
    while offset < size:
        limit = min(DOWNLOAD_PIECE_BYTES, size - offset)
        data = logs.read(operation, offset=offset, limit=limit, stream=stream)
        if not data:
            return
        yield data
        offset += len(data)


def lines_before(operation: Operation, end: int, stream: str | None) -> tuple[int, bytes]:
    """`(offset, bytes)` of the whole lines that end there; of one that is longer, what fits."""
    begin = max(end - DEFAULT_LOG_BYTES, 0)
    data = logs.read(operation, offset=begin, limit=end - begin, stream=stream)
    if begin:
        cut = data.find(b"\n") + 1
        if not 0 < cut < len(data):  # one line longer than this: at least no half character
            cut = next((n for n in range(min(4, len(data))) if data[n] & 0xC0 != 0x80), 0)
        begin, data = begin + cut, data[cut:]
    return begin, data[: len(data) - begun(data)]


def read_stream(request: HttpRequest) -> str | None:
    value = request.GET.get("stream", "all")
    if value not in ("all", "stdout", "stderr"):
        raise Invalid(f"{value!r} is none of all, stdout, stderr", field="stream")
    return None if value == "all" else value


def read_number(request: HttpRequest, name: str, least: int = 0, most: int = MAX_OFFSET) -> int:
    return check_number(request.GET.get(name, "0"), name, least, most)
