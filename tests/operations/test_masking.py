"""What counts as a secret, and covering it."""

from __future__ import annotations

import pytest

from operations.masking import Mask, secrets_of


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "db_password",
        "db_pass",
        "PASSWD",
        "passphrase",
        "secret",
        "clientSecret",
        "key",
        "api_key",
        "apikey",
        "SSH_PRIVATE_KEY",
        "token",
        "GITHUB_TOKEN",
        "credentials",
    ],
)
def test_what_stands_below_such_a_name_is_a_secret(name: str) -> None:
    assert secrets_of({"a": [{name: {"x": ["hunter22"]}}]}, {}) == {"hunter22"}
    assert secrets_of(None, {name: "hunter22"}) == {"hunter22"}


@pytest.mark.parametrize("name", ["keyboard", "monkey", "compass", "SSH_AUTH_SOCK", "HOME", "name"])
def test_what_stands_below_another_name_is_none(name: str) -> None:
    assert secrets_of({name: "hunter22"}, {name: "hunter22"}) == set()


@pytest.mark.parametrize(
    ("secret", "text", "covered"),
    [
        ("hunter22", "a hunter22.", "a ********."),
        ('a"b\\c', r'{"p": "a\"b\\c"}', '{"p": "*******"}'),
        ("größe", "größe gr\\u00f6\\u00dfe", "******* ***************"),
        ("line one\nline two", "> line two", "> ********"),
        ("abc", "abc", "abc"),
    ],
)
def test_a_secret_is_covered_in_each_of_its_spellings(secret: str, text: str, covered: str) -> None:
    assert Mask([secret]).cover(text.encode()).decode() == covered


@pytest.mark.parametrize(
    ("data", "length"),
    [(b"x hunter2", 7), (b"x h", 1), (b"hunter22", 0), (b"hunter22h", 1), (b"x", 0), (b"", 0)],
)
def test_the_beginning_of_a_secret_is_seen(data: bytes, length: int) -> None:
    assert Mask(["hunter22"]).begun(data) == length


def test_what_may_become_a_longer_secret_is_waited_for() -> None:
    assert Mask(["hunter", "hunter22"]).begun(b"x hunter2") == 7
