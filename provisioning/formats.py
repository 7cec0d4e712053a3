"""JSON in and out: orjson, strict, with the sentences of the error body."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import orjson
from rest_framework.exceptions import ParseError
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.utils.mediatypes import media_type_matches

from provisioning.errors import Invalid


class JSONParser(BaseParser):
    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        """The body as an object. An empty body is `{}`. Raises ParseError (400) with a sentence."""
        raw = stream.read()
        if not raw.strip():
            return {}
        try:
            data = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise ParseError(f"The body is not valid JSON: {error}.") from None
        if not isinstance(data, dict):
            raise ParseError("The body must be a JSON object.")
        if b"\\u0000" in raw:
            _refuse_null_characters(data, "")
        return data


def _refuse_null_characters(value: object, path: str) -> None:
    """PostgreSQL stores no U+0000, in no text and in no JSON."""
    if isinstance(value, str) and "\x00" in value:
        raise Invalid("must not hold a null character", field=path or "body")
    if isinstance(value, Mapping):
        for key, item in value.items():
            _refuse_null_characters(key, path or "body")
            _refuse_null_characters(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_null_characters(item, f"{path}[{index}]")


class FirstRenderer(BaseContentNegotiation):
    """Each view speaks one format; an Accept header that names another is no reason to refuse."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        wanted = request.content_type or ""
        return next((p for p in parsers if media_type_matches(p.media_type, wanted)), None)

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        first = next(iter(renderers))
        return first, first.media_type


class JSONRenderer(BaseRenderer):
    media_type = "application/json"
    format = "json"
    charset: ClassVar[str | None] = None  # type: ignore[misc]  # the stubs want a str

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None
    ) -> bytes:
        if data is None:
            return b""
        return orjson.dumps(data, default=_plain, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z)


def _plain(value: object) -> object:
    """What orjson does not know: DRF's error strings and lazy texts, dict and list subclasses."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    return str(value)
