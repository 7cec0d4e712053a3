"""The doors by which an operation is followed: its log, its log as a stream, its end."""

from __future__ import annotations

from django.http import HttpResponse, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from operations import following, logs
from operations.log_stream import LogStream
from operations.models import Operation
from operations.ranges import ByteRange, read_range
from operations.serializers import OperationOut
from operations.views.base import WorkspaceScopedViewSet, as_it_stands
from provisioning.errors import Invalid, RangeNotSatisfiable, Unavailable

DEFAULT_LOG_BYTES = 256 * 1024
DEFAULT_WAIT_SECONDS = 30
MAX_OFFSET = 2**53
STREAM = OpenApiParameter("stream", str, enum=["all", "stdout", "stderr"])
STREAM_EXAMPLE = (
    'id: 31\ndata: working on web-01\n\nevent: end\nid: 31\ndata: {"status":"completed",...}'
)


class FollowingViewSet(WorkspaceScopedViewSet):
    """The actions of one operation that may go on while it runs."""

    @extend_schema(
        summary="What the CLI wrote",
        description="Bytes from `offset` on. `X-Next-Offset` says where to go on, "
        "`X-Log-Complete` whether anything can still come. No character is cut at the end. With "
        "`Range` exactly those bytes; `offset`, `limit` and `tail` go before it.",
        parameters=[
            OpenApiParameter("offset", int, description="First byte, default 0"),
            OpenApiParameter("limit", int, description=f"Bytes, default {DEFAULT_LOG_BYTES}"),
            OpenApiParameter(
                "tail", int, description="The last so many lines instead, of 4 MiB at most"
            ),
            STREAM,
            OpenApiParameter(
                "Range",
                str,
                OpenApiParameter.HEADER,
                examples=[OpenApiExample("The last 4 KiB", value="bytes=-4096")],
            ),
        ],
        responses={
            (200, "text/plain"): OpenApiTypes.STR,
            (206, "text/plain"): OpenApiTypes.STR,
        },
    )
    @action(detail=True, methods=["get"])
    def log(self, request: Request, pk: str) -> HttpResponse:
        operation = self.get_object()
        stream = read_stream(request)
        wanted = read_range(request.META.get("HTTP_RANGE", ""))
        if wanted and not {"offset", "limit", "tail"} & set(request.query_params):
            return answer_range(operation, stream, wanted)
        if "tail" in request.query_params:
            lines = read_number(request, "tail", 0, 1, 100_000)
            offset, data = logs.tail(operation, lines=lines, stream=stream)
        else:
            offset = read_number(request, "offset", 0, 0, MAX_OFFSET)
            limit = read_number(request, "limit", DEFAULT_LOG_BYTES, 1, logs.MAX_READ_BYTES)
            data = logs.read(operation, offset=offset, limit=limit, stream=stream)
        # The status was read before the bytes: what is final then has written its last.
        size = logs.size_of(operation, stream)
        is_whole = operation.is_final and offset + len(data) >= size
        if not is_whole:
            data = logs.whole_characters(data, is_end=offset + len(data) >= size)
        return log_answer(data, following=offset + len(data), is_complete=is_whole)

    @extend_schema(
        summary="The log as it comes",
        description="Server-Sent Events. `id` is the byte offset after the event; `Last-Event-ID` or "
        "`offset` goes on from there. A `message` holds whole lines, a `part` the piece of one, `end` "
        "comes last and holds `status`, `reason` and `exit_code`. A stream that closes without `end` "
        "is to be opened again. 503 when too many are open: read the log by offset instead.",
        parameters=[
            OpenApiParameter("offset", int, description="First byte, default 0"),
            STREAM,
            OpenApiParameter(
                "Last-Event-ID", str, OpenApiParameter.HEADER, description="Goes before `offset`"
            ),
        ],
        responses={(200, "text/event-stream"): OpenApiTypes.STR},
        examples=[OpenApiExample("Two events", value=STREAM_EXAMPLE, response_only=True)],
    )
    @action(detail=True, methods=["get"], url_path="log/stream")
    def log_stream(self, request: Request, pk: str) -> StreamingHttpResponse:
        operation = self.get_object()
        offset, stream = read_last_event(request), read_stream(request)
        place = following.places.take()
        if place is None:
            raise Unavailable(
                "Too many streams are open: read the log by offset, or try again.",
                retry_after_seconds=5,
            )
        return StreamingHttpResponse(
            LogStream(operation, offset=offset, stream=stream, place=place),
            content_type="text/event-stream; charset=utf-8",
            # A proxy such as nginx would collect it.
            headers={"X-Accel-Buffering": "no"},
        )

    @extend_schema(
        summary="Wait for the end",
        description="200 with the operation as soon as it has ended; 202 as it stands after `timeout` "
        "seconds, or at once when too many wait already. With `log` also 202 when the log has grown "
        "beyond so many bytes, a second after the request at the earliest.",
        parameters=[
            OpenApiParameter(
                "timeout",
                int,
                description=f"Seconds, 0 to {following.MAX_WAIT_SECONDS}, default "
                f"{DEFAULT_WAIT_SECONDS}",
            ),
            OpenApiParameter(
                "log", int, description="Bytes of the log, of both streams, that you have"
            ),
        ],
        responses={200: OperationOut, 202: OperationOut},
    )
    @action(detail=True, methods=["get"])
    def wait(self, request: Request, pk: str) -> Response:
        operation: Operation = self.get_object()
        most = following.MAX_WAIT_SECONDS
        seconds = read_number(request, "timeout", min(DEFAULT_WAIT_SECONDS, most), 0, most)
        beyond = read_number(request, "log", MAX_OFFSET, 0, MAX_OFFSET)
        if seconds and not operation.is_final:
            if "log" in request.query_params:
                following.wait_for_log(operation, seconds, beyond=beyond)
            else:
                following.wait_for_end(operation.pk, seconds)
            operation.refresh_from_db()
        return as_it_stands(operation)


def answer_range(operation: Operation, stream: str | None, wanted: ByteRange) -> HttpResponse:
    """206 with exactly those bytes, as far as they are there. Raises RangeNotSatisfiable."""
    size = logs.size_of(operation, stream)
    found = wanted.within(size, logs.MAX_READ_BYTES)
    if found is None:
        more = "" if operation.is_final else " so far"
        raise RangeNotSatisfiable(
            f"The log has {size} bytes{more}: nothing of this range is there.", size=size
        )
    offset, length = found
    data = logs.read(operation, offset=offset, limit=length, stream=stream)
    end = offset + len(data)
    answer = log_answer(data, following=end, is_complete=operation.is_final and end >= size)
    answer.status_code = 206
    total = size if operation.is_final else "*"
    answer.headers["Content-Range"] = f"bytes {offset}-{end - 1}/{total}"
    return answer


def log_answer(data: bytes, *, following: int, is_complete: bool) -> HttpResponse:
    return HttpResponse(
        data,
        content_type="text/plain; charset=utf-8",
        headers={
            "Accept-Ranges": "bytes",
            "X-Next-Offset": str(following),
            "X-Log-Complete": "true" if is_complete else "false",
        },
    )


def read_last_event(request: Request) -> int:
    """Where to go on. The header goes before the parameter: a browser that comes again sends both."""
    given = request.META.get("HTTP_LAST_EVENT_ID", "")
    if not given:
        return read_number(request, "offset", 0, 0, MAX_OFFSET)
    return check_number(given, "Last-Event-ID", 0, MAX_OFFSET)


def read_stream(request: Request) -> str | None:
    value = request.query_params.get("stream", "all")
    if value not in ("all", "stdout", "stderr"):
        raise Invalid(f"{value!r} is none of all, stdout, stderr", field="stream")
    return None if value == "all" else value


def read_number(request: Request, name: str, default: int, least: int, most: int) -> int:
    return check_number(request.query_params.get(name, str(default)), name, least, most)


def check_number(raw: str, name: str, least: int, most: int) -> int:
    if not (raw.isascii() and raw.isdigit() and len(raw) <= 16 and least <= int(raw) <= most):
        raise Invalid(f"{raw!r} is no number from {least} to {most}", field=name)
    return int(raw)
