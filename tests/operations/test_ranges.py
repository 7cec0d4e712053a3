"""`Range: bytes=...`."""

from __future__ import annotations

import pytest

from operations.ranges import read_range


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-4", (0, 5)),
        ("bytes=2-2", (2, 1)),
        ("bytes=5-", (5, 5)),
        ("bytes=5-1000", (5, 5)),
        ("bytes=-3", (7, 3)),
        ("bytes=-1000", (2, 8)),
        ("bytes=0-", (0, 8)),
        ("Bytes = 9-9", (9, 1)),
        ("bytes=10-", None),
        ("bytes=-0", None),
    ],
)
def test_a_range_of_ten_bytes_at_most_eight_at_once(
    header: str, expected: tuple[int, int] | None
) -> None:
    wanted = read_range(header)
    assert wanted is not None
    assert wanted.within(10, 8) == expected


@pytest.mark.parametrize(
    "header",
    ["", "bytes=", "bytes=-", "bytes=4-2", "bytes=0-1,4-5", "lines=0-4", "bytes=a-b", "0-4"],
)
def test_what_is_no_single_range_of_bytes_is_ignored(header: str) -> None:
    assert read_range(header) is None
