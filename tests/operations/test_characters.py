"""Where UTF-8 may be cut."""

from __future__ import annotations

import pytest

from operations.characters import begun


@pytest.mark.parametrize("character", ["a", "é", "長", "🚀"])
def test_a_character_is_begun_until_its_last_byte(character: str) -> None:
    data = character.encode()
    assert [begun(b"x" + data[:length]) for length in range(len(data) + 1)] == [
        0,
        *range(1, len(data)),
        0,
    ]


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff", b"\xc0", b"\xe9a", b"\x80\x80\x80\x80"])
def test_what_can_never_become_a_character_is_not_waited_for(data: bytes) -> None:
    assert begun(data) == 0
