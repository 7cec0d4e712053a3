"""What goes wrong on the server's side leaves a row as well."""

from __future__ import annotations

from typing import Any

import pytest

from autoinstall import snapshot
from autoinstall.models import AnswerToken, PreparedConfig, TemplateCounter
from autoinstall.services import answering
from tests.autoinstall.attempts import newest, one_attempt, sentence_of
from tests.autoinstall.factories import ask, make_config

Token = tuple[AnswerToken, str]


@pytest.fixture(autouse=True)
def _config(token: Token) -> None:
    make_config(
        id="rack",
        authorized_tokens=["rack-7"],
        fqdn="pve{{ nr }}.example.com",
        template_counters={"nr": 4},
    )


def test_a_config_that_somebody_broke_in_the_database(token: Token) -> None:
    PreparedConfig.objects.update(document={"target-filter": {"/dmi/system/name": "*"}})
    snapshot.forget()

    with one_attempt("answer.failed", outcome="error", status="", counters={}, token_name="rack-7"):
        sentence = sentence_of(ask(token[1]), 500)

    assert "its log has the request id" in sentence
    assert newest().raw.startswith("{")
    assert TemplateCounter.objects.get().value == 4


def test_a_catalogue_that_changes_without_end(
    token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "MOST_DECISIONS", 0)

    with one_attempt("answer.failed", outcome="error", status=""):
        answer = ask(token[1])

    assert "changing too fast" in sentence_of(answer, 503)
    assert answer.headers["Retry-After"] == "1"
    assert "changing too fast" in newest().reason


class Broken:
    """A body whose sender hung up."""

    def read(self, *_: Any) -> bytes:
        raise OSError("connection reset by peer")

    readline = read


BREAKS_OFF: dict[str, Any] = {"wsgi.input": Broken()}


def test_a_body_that_breaks_off(token: Token) -> None:
    with one_attempt("answer.failed", outcome="malformed", raw="", token_name="rack-7"):
        answer = ask(token[1], **BREAKS_OFF)

    assert "could not be read" in sentence_of(answer, 400)


def test_a_body_that_breaks_off_without_a_good_token_is_refused(token: Token) -> None:
    with one_attempt("answer.refused", outcome="refused", raw=""):
        answer = ask(f"{token[0].name}:wrong", **BREAKS_OFF)

    assert (answer.status_code, answer.content) == (401, b"")
