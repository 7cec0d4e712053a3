"""Whatever comes as a body of `POST .../answer`: 4xx with one sentence, one row, one event, never 500."""

from __future__ import annotations

import copy
import json
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from accounts.models import User
from autoinstall.documents import TokenChange
from autoinstall.models import AnswerToken, Attempt
from autoinstall.services import tokens
from tests.autoinstall import factories
from tests.autoinstall.attempts import newest, one_attempt, sentence_of
from tests.autoinstall.factories import ask, make_config, system_info

Token = tuple[AnswerToken, str]
Path_ = tuple[str | int, ...]

CAPTURED: dict[str, Any] = json.loads(
    (Path(__file__).parent / "data" / "installer-9.2.json").read_text()
)
OTHER_VALUES: dict[str, Any] = {
    "null": None,
    "true": True,
    "a number": 5,
    "a fraction": 0.5,
    "a string": "text",
    "a list": [],
    "a list of a list": [[]],
    "an object": {},
}


@pytest.fixture(autouse=True)
def _config(token: Token) -> None:
    make_config(id="rack", authorized_tokens=["rack-7"])


def refuse_body(token: Token, body: bytes) -> str:
    """The sentence for a body that is no system information; its one row keeps its beginning."""
    with one_attempt("answer.failed", outcome="malformed", status="", token_name="rack-7"):
        sentence = sentence_of(ask(token[1], body), 400)
    assert newest().reason == sentence[:1000]
    kept = body[: 16 * 1024].decode("utf-8", "replace").replace("\0", "\ufffd")
    assert newest().raw == kept
    return sentence


def places(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    """Every place in a document, the outermost first."""
    yield path
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, item in items:
        yield from places(item, (*path, key))


def at(document: Any, path: Path_) -> Any:
    for key in path:
        document = document[key]
    return document


def with_value(path: Path_, value: Any) -> Any:
    """The captured body with another value at one place."""
    if not path:
        return value
    document = copy.deepcopy(CAPTURED)
    at(document, path[:-1])[path[-1]] = value
    return document


PLACES = list(places(CAPTURED))
WRONG_TYPES = [
    pytest.param(path, value, id=f"{'.'.join(map(str, path)) or 'body'}: {name}")
    for path in PLACES
    for name, value in OTHER_VALUES.items()
    if type(value) is not type(at(CAPTURED, path))
    and not (path == ("network_interfaces",) and value == [])
]


def test_the_walk_reaches_every_place() -> None:
    assert len(PLACES) == 31
    assert len(WRONG_TYPES) > 180


def test_the_body_that_everything_here_begins_with_is_answered(token: Token) -> None:
    with one_attempt("answer.issued", outcome="answered", serial="NW7F2K9"):
        assert ask(token[1], CAPTURED).status_code == 200


@pytest.mark.parametrize(("path", "value"), WRONG_TYPES)
def test_a_wrong_type_is_refused_in_every_place(path: Path_, value: Any, token: Token) -> None:
    sentence = refuse_body(token, json.dumps(with_value(path, value)).encode())

    assert not path or any(str(key) in sentence for key in path)


OPTIONAL = ("$schema", "enable_btrfs", "version")


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in PLACES[1:]
        if path[0] != "dmi" or len(path) == 2
        if path[-1] not in OPTIONAL and not isinstance(path[-1], int)
    ],
    ids=lambda path: ".".join(map(str, path)),
)
def test_what_an_installer_always_sends_must_not_be_missing(path: Path_, token: Token) -> None:
    document = copy.deepcopy(CAPTURED)
    del at(document, path[:-1])[path[-1]]

    sentence = refuse_body(token, json.dumps(document).encode())

    assert sentence == f"{'.'.join(map(str, path))}: is missing."


@pytest.mark.parametrize(
    "path",
    [path for path in PLACES[1:] if path[-1] in OPTIONAL or (path[0] == "dmi" and len(path) == 3)],
    ids=lambda path: ".".join(map(str, path)),
)
def test_what_not_every_installer_sends_may_be_missing(path: Path_, token: Token) -> None:
    document = copy.deepcopy(CAPTURED)
    del at(document, path[:-1])[path[-1]]

    is_what_matches = path == ("dmi", "system", "name")
    with one_attempt("answer.missed" if is_what_matches else "answer.issued"):
        ask(token[1], document)


@pytest.mark.parametrize(
    "path",
    [path for path in PLACES if isinstance(at(CAPTURED, path), dict) and path[:1] != ("dmi",)],
    ids=lambda path: ".".join(map(str, path)) or "body",
)
def test_keys_of_a_newer_installer_are_kept(path: Path_, token: Token) -> None:
    document = copy.deepcopy(CAPTURED)
    at(document, path)["brand-new"] = {"of": [1, 2.5, None, True]}

    assert ask(token[1], document).status_code == 200
    assert json.loads(newest().raw) == document


# --- Not even JSON -----------------------------------------------------------------------------

VALID = json.dumps(CAPTURED).encode()
NO_JSON: dict[str, bytes] = {
    "empty": b"",
    "blank": b" \r\n\t ",
    "null": b"null",
    "true": b"true",
    "zero": b"0",
    "a string": b'""',
    "a list": b"[]",
    "an empty object": b"{}",
    "cut off": VALID[:-1],
    "something after it": VALID + b"x",
    "twice": VALID + VALID,
    "a comma too much": VALID[:-1] + b",}",
    "single quotes": VALID.replace(b'"', b"'"),
    "a comment": b"/* hello */" + VALID,
    "a form": b"id=rack-7&secret=0",
    "TOML": b'[global]\ncountry = "at"\n',
    "XML": b"<?xml version='1.0'?><info/>",
    "NaN": VALID.replace(b"true", b"NaN"),
    "infinity": VALID.replace(b"true", b"-Infinity"),
    "a byte order mark": b"\xef\xbb\xbf" + VALID,
    "UTF-16": VALID.decode().encode("utf-16"),
    "UTF-32": VALID.decode().encode("utf-32-be"),
    "invalid UTF-8": VALID.replace(b"Northwind", b"North\xff\xfewind"),
    "an overlong character": VALID.replace(b"Northwind", b"North\xc0\xafwind"),
    "half a character": VALID.replace(b"Northwind", b"North\xe2\x82"),
    "an encoded surrogate": VALID.replace(b"Northwind", b"North\xed\xa0\x80"),
    "a lone high surrogate": VALID.replace(b"Northwind", b"North\\ud800"),
    "a lone low surrogate": VALID.replace(b"Northwind", b"North\\udc00"),
    "swapped surrogates": VALID.replace(b"Northwind", b"North\\udc00\\ud800"),
    "a null byte": VALID.replace(b"Northwind", b"North\0wind"),
    "null bytes only": b"\0" * 100,
    "an escaped null character": VALID.replace(b"Northwind", b"North\\u0000wind"),
    "a null character in a key": VALID.replace(b'"sku"', b'"s\\u0000ku"'),
    "a line break in a string": VALID.replace(b"Northwind", b"North\nwind"),
    "a bad escape": VALID.replace(b"Northwind", b"North\\xwind"),
    "a number beyond all": b'{"product": 1e400}',
    "a number of 5,000 digits": b'{"product": ' + b"9" * 5000 + b"}",
    "5,000 digits beside a repeated key": b'{"a": 1, "a": ' + b"9" * 5000 + b"}",
    "a hundred thousand lists": b"[" * 100_000 + b"]" * 100_000,
    "a hundred thousand open lists": b"[" * 100_000,
    "eighty thousand objects": b'{"a":' * 80_000 + b"1" + b"}" * 80_000,
    "a thousand lists": b"[" * 1000 + b"]" * 1000,
    "half a megabyte in a string": b'"' + b"x" * 500_000 + b'"',
    "half a megabyte in a key": b'{"' + b"x" * 500_000 + b'": 1}',
    "a hundred thousand keys": b"{" + b",".join(b'"%d":0' % n for n in range(50_000)) + b"}",
}


@pytest.mark.parametrize("case", NO_JSON)
def test_what_is_no_system_information_is_refused(case: str, token: Token) -> None:
    assert len(refuse_body(token, NO_JSON[case])) < 1000


def test_of_a_malformed_body_sixteen_kilobytes_are_kept(token: Token) -> None:
    refuse_body(token, b"x" * 100_000)

    assert newest().raw == "x" * 16 * 1024


def test_a_malformed_body_is_not_read_for_somebody_without_a_token(token: Token) -> None:
    with one_attempt("answer.refused", outcome="refused"):
        answer = ask("nobody-here:0", b"{")

    assert (answer.status_code, answer.content) == (401, b"")


# --- Repeated keys -----------------------------------------------------------------------------


def dumps_twice(value: Any, target: Path_, path: Path_ = ()) -> str:
    """JSON in which the first key of the object at `target` stands a second time, at the end."""
    if isinstance(value, dict):
        members = [
            f"{json.dumps(key)}: {dumps_twice(item, target, (*path, key))}"
            for key, item in value.items()
        ]
        return "{" + ", ".join(members + (members[:1] if path == target else [])) + "}"
    if isinstance(value, list):
        items = (dumps_twice(item, target, (*path, n)) for n, item in enumerate(value))
        return "[" + ", ".join(items) + "]"
    return json.dumps(value)


OBJECTS = [path for path in PLACES if isinstance(at(CAPTURED, path), dict)]


@pytest.mark.parametrize("path", OBJECTS, ids=lambda path: ".".join(map(str, path)) or "body")
def test_a_key_that_is_there_twice_is_refused_at_every_level(path: Path_, token: Token) -> None:
    body = dumps_twice(CAPTURED, path)
    assert json.loads(body) == CAPTURED

    sentence = refuse_body(token, body.encode())

    assert sentence == f"The body has the key {next(iter(at(CAPTURED, path)))!r} twice."


@pytest.mark.parametrize(
    "spelled",
    [
        '"serial": "a", "\\u0073erial": "b"',
        '"serial"\n:\t"a","serial" :"b"',
        '"serial": "\\":", "serial": "b"',
    ],
)
def test_a_repeated_key_is_seen_however_it_is_spelled(spelled: str, token: Token) -> None:
    body = json.dumps(CAPTURED).replace('"serial": "NW7F2K9"', spelled)

    assert refuse_body(token, body.encode()) == "The body has the key 'serial' twice."


def test_colons_and_quotes_in_strings_are_no_repeated_keys(token: Token) -> None:
    info = system_info('"serial": "serial":')

    assert ask(token[1], info).status_code == 200
    assert newest().serial == '"serial": "serial":'


# --- Odd, but well formed ----------------------------------------------------------------------

ODD: dict[str, Any] = {
    "empty strings": system_info("", "", name="Northwind R210", macs=("", "")),
    "no network interfaces": system_info(macs=()),
    "a thousand interfaces": system_info(macs=tuple(f"x{n}" for n in range(1000))),
    "a MAC address of InfiniBand": system_info(macs=("80:00:02:08:FE:80" + ":00" * 14,)),
    "emoji": system_info("\U0001f680" * 40),
    "letters whose case has another length": system_info(macs=("\u00df\ufb03\u0130",)),
    "right to left": system_info("\u202e7K2F7WN"),
    "quotes and braces": system_info("{{ 7 * 7 }} \"'`\\{% if %}"),
    "control characters": system_info("a\tb\nc\x1b[31m\x7f\x85"),
    "SQL": system_info("'; DROP TABLE autoinstall_attempt; --"),
    "150,000 characters as serial number": system_info("x" * 150_000),
    "half a megabyte as release": system_info(release="9.2" + "x" * 400_000),
    "half a megabyte as product": system_info(product="x" * 400_000),
    "half a megabyte as MAC address": system_info("", "", macs=("a" * 400_000,)),
    "no identity and a long serial number": system_info("s" * 150_000, ""),
    "a release of digits": system_info(release="9" * 400 + "." + "9" * 400),
    "a release of other digits": system_info(release="\u0669.\u0662"),
    "a huge number": system_info(extra=10**300),
    "a tiny number": system_info(extra=5e-324),
    "a number of 64 bits": system_info(extra=2**64 - 1),
    "an empty key": {**system_info(), "": {"": ""}},
    "a null character's escape, escaped": system_info("back\\u0000slash"),
}


@pytest.mark.parametrize("accept", ["application/json", "*/*"])
@pytest.mark.parametrize("case", ODD)
def test_odd_values_never_break_the_server(case: str, accept: str, token: Token) -> None:
    before = Attempt.objects.count()

    answer = ask(token[1], ODD[case], accept=accept)

    assert answer.status_code in (200, 400), answer.content[:500]
    assert Attempt.objects.count() == before + 1
    row = newest()
    if answer.status_code == 400:
        assert row.reason


@pytest.mark.parametrize(
    "body",
    [
        system_info() | {"a\r\nforged line.": "\0"},
        system_info() | {"dmi": {**CAPTURED["dmi"], "system": {"a\r\nforged\x1b[2J": 5}}},
        system_info("a\r\nforged line.\x1b[2J", name="Elsewhere 1"),
    ],
    ids=["key", "key of dmi", "serial number"],
)
def test_what_a_machine_sends_cannot_forge_lines_at_the_console(
    body: dict[str, Any], token: Token
) -> None:
    sentence = sentence_of(ask(token[1], body), 400)

    assert sentence.isprintable()


NESTED = [50, 200, 400, 900, 960, 990, 1000, 1020]


def nested(depth: int, leaf: str) -> bytes:
    """A valid body with a value so deep in a key that nobody knows."""
    deep = '{"a":' * depth + json.dumps(leaf) + "}" * depth
    return (json.dumps(system_info())[:-1] + f', "extra": {deep}}}').encode()


@pytest.mark.parametrize("leaf", ["text", '":', "\0", '":\0'], ids=ascii)
@pytest.mark.parametrize("depth", NESTED)
def test_deep_nesting_is_served_or_refused_with_a_sentence(
    depth: int, leaf: str, token: Token
) -> None:
    before = Attempt.objects.count()

    answer = ask(token[1], nested(depth, leaf))

    assert answer.status_code in (200, 400), answer.content[:500]
    assert Attempt.objects.count() == before + 1


@pytest.mark.parametrize("depth", NESTED)
def test_a_deeply_nested_attempt_can_be_looked_at(
    depth: int, token: Token, admin: User, api: Any
) -> None:
    ask(token[1], nested(depth, "text"))
    client = api(admin)

    assert client.get(f"/v1/auto-install/attempts/{newest().pk}").status_code == 200
    body = {"attempt": str(newest().pk)}
    assert client.post("/v1/auto-install/preview", body, format="json").status_code in (200, 400)
    if newest().status:
        assert client.get("/api2/json/auto-install/installations").status_code == 200


# --- Random ------------------------------------------------------------------------------------

RANDOM = hypothesis_settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def never_500(token: Token, body: bytes) -> int:
    before = Attempt.objects.count()
    answer = ask(token[1], body)
    assert answer.status_code in (200, 400, 413), answer.content[:500]
    assert Attempt.objects.count() == before + 1
    if answer.status_code == 400:
        sentence_of(answer, 400)
    return int(answer.status_code)


@RANDOM
@given(st.binary(max_size=2000))
def test_random_bytes_are_refused(token: Token, body: bytes) -> None:
    assert never_500(token, body) == 400


@RANDOM
@given(st.data())
def test_a_body_with_some_bytes_changed_is_served_or_refused(token: Token, data: Any) -> None:
    body = bytearray(VALID)
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))

    never_500(token, bytes(body))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@RANDOM
@given(path=st.sampled_from(PLACES), value=JSON_VALUES)
def test_any_value_in_any_place_is_served_or_refused(token: Token, path: Path_, value: Any) -> None:
    never_500(token, json.dumps(with_value(path, value)).encode("utf-8", "surrogatepass"))


@RANDOM
@given(key=st.text(string.ascii_letters + string.punctuation + " "), value=JSON_VALUES)
def test_any_further_key_is_served_or_refused(token: Token, key: str, value: Any) -> None:
    never_500(token, json.dumps({**CAPTURED, key: value}).encode())


# --- Too large ---------------------------------------------------------------------------------


def test_a_body_beyond_the_limit_is_413_with_a_row(token: Token, settings: Any) -> None:
    body = VALID + b" " * settings.ANSWER_BODY_MAX_BYTES

    with one_attempt("answer.failed", outcome="malformed", raw="", token_name="rack-7"):
        sentence = sentence_of(ask(token[1], body), 413)

    assert sentence == f"The body may have at most {settings.ANSWER_BODY_MAX_BYTES} bytes."


def test_a_string_of_a_megabyte_is_413(token: Token) -> None:
    sentence_of(ask(token[1], system_info("x" * 1_000_000)), 413)


def test_a_body_of_just_the_limit_is_answered(token: Token, settings: Any) -> None:
    body = VALID + b" " * (settings.ANSWER_BODY_MAX_BYTES - len(VALID))

    assert ask(token[1], body).status_code == 200


@pytest.mark.parametrize("credential", [None, "nobody-here:0"])
def test_a_body_beyond_the_limit_without_a_good_token_is_401(
    credential: str | None, settings: Any, db: None
) -> None:
    with one_attempt("answer.refused", outcome="refused"):
        answer = ask(credential, b" " * (settings.ANSWER_BODY_MAX_BYTES + 1))

    assert (answer.status_code, answer.content) == (401, b"")


def test_a_body_beyond_the_limit_is_judged_by_the_catalogue_of_now(
    token: Token, settings: Any
) -> None:
    ask(token[1])  # the snapshot is loaded
    _, other = factories.make_token("just-made")

    answer = ask(other, b" " * (settings.ANSWER_BODY_MAX_BYTES + 1))

    sentence_of(answer, 413)


def test_a_body_beyond_the_limit_with_a_secret_just_rotated_is_401(
    token: Token, settings: Any
) -> None:
    ask(token[1])  # the snapshot is loaded
    change = TokenChange.model_validate({"regenerate-secret": True})
    tokens.change_token(name="rack-7", change=change, actor=factories.ACTOR)

    answer = ask(token[1], b" " * (settings.ANSWER_BODY_MAX_BYTES + 1))

    assert (answer.status_code, answer.content) == (401, b"")


def test_a_body_beyond_the_limit_with_a_token_used_up_is_401(settings: Any, db: None) -> None:
    _, credential = factories.make_token("once", max_uses=1)
    make_config(authorized_tokens=["once"])
    assert ask(credential).status_code == 200

    answer = ask(credential, b" " * (settings.ANSWER_BODY_MAX_BYTES + 1))

    assert (answer.status_code, answer.content) == (401, b"")


@pytest.mark.parametrize("body", [b"{", json.dumps(system_info(name="Elsewhere 1")).encode()])
def test_a_token_used_up_is_401_whatever_the_body_says(body: bytes, db: None) -> None:
    _, credential = factories.make_token("once", max_uses=1)
    make_config(authorized_tokens=["once"])
    assert ask(credential).status_code == 200

    answer = ask(credential, body)

    assert (answer.status_code, answer.content) == (401, b"")


def test_the_limit_of_the_api_does_not_break_the_answer(token: Token, settings: Any) -> None:
    """`server.max_body_bytes` may be smaller than `auto_install.max_body_bytes`."""
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1024
    body = VALID + b" " * 2048

    answer = ask(token[1], body)

    assert answer.status_code in (200, 413), answer.content
