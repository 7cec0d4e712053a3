"""JSON in and out: orjson, strict, with the sentences of the error body."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Final

import orjson
from rest_framework.exceptions import ParseError
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.utils.mediatypes import media_type_matches

from provisioning.errors import Invalid

_LEAST, _MOST = -(2**63), 2**64 - 1  # integers that orjson reads and writes as such
_LONG_NUMBER: Final = re.compile(rb"[0-9]{19}")
_STRING_OR_NUMBER: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*', re.DOTALL)


def read_json(raw: bytes) -> Any:
    """What this JSON says, which can be stored and written again as it is. Raises orjson.JSONDecodeError,
    and Invalid for a null character or an integer of more than 64 bits."""
    data = orjson.loads(raw)
    if b"\\u0000" in raw:
        _refuse_null_characters(data, "")
    if _LONG_NUMBER.search(raw) and (texts := dict(_long_integers(raw))):
        _refuse_floats(data, "", texts)
    return data


def _long_integers(raw: bytes) -> Iterator[tuple[float, str]]:
    """Those that do not fit, as orjson reads them and as they are written."""
    for found in _STRING_OR_NUMBER.finditer(raw):
        text = found[0].decode()
        is_integer = not text.startswith('"') and not re.search(r"[.eE]", text)
        if is_integer and not _LEAST <= int(text) <= _MOST:
            yield float(text), text if len(text) <= 40 else f"{text[:37]}..."


def _refuse_floats(value: object, path: str, texts: Mapping[float, str]) -> None:
    """orjson makes a float of a long integer, and so another number."""
    if isinstance(value, float) and value in texts:
        raise Invalid(f"{texts[value]} is an integer of more than 64 bits", field=path or "body")
    for below, item in _items(value, path):
        _refuse_floats(item, below, texts)


def _items(value: object, path: str) -> Iterator[tuple[str, object]]:
    """What an object or a list holds, each with its path."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield f"{path}.{key}" if path else str(key), item
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield f"{path}[{index}]", item


class JSONParser(BaseParser):
    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        """The body as an object. An empty body is `{}`. Raises ParseError (400) with a sentence."""
        raw = stream.read()
        if not raw.strip():
            return {}
        try:
            data = read_json(raw)
        except orjson.JSONDecodeError as error:
            raise ParseError(f"The body is not valid JSON: {error}.") from None
        if not isinstance(data, dict):
            raise ParseError("The body must be a JSON object.")
        return data


def _refuse_null_characters(value: object, path: str) -> None:
    """PostgreSQL stores no U+0000, in no text and in no JSON."""
    if isinstance(value, str) and "\x00" in value:
        raise Invalid("must not hold a null character", field=path or "body")
    if isinstance(value, Mapping):
        for key in value:
            _refuse_null_characters(key, path or "body")
    for below, item in _items(value, path):
        _refuse_null_characters(item, below)


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
