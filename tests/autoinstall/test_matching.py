"""Which configs a machine matches: whole filters, the index against a plain loop, overlaps."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoinstall.filters import Filter, check_filter, compile_filter, may_overlap
from autoinstall.matching import Entry, Index

MACHINE: dict[str, Any] = {
    "product": {"fullname": "Proxmox VE", "product": "pve", "enable_btrfs": True},
    "iso": {"release": "9.2", "isorelease": "1"},
    "dmi": {
        "system": {"serial": "SN-77/4", "sku": "[none]", "uuid": "4C4C-\n", "name": "PowerEdge"},
        "baseboard": {"vendor": "Dell Inc."},
        "chassis": {"asset_tag": "", "type": 23},
    },
    "network_interfaces": [
        {"link": "eno1", "mac": "BC:24:11:AA:BB:01"},
        {"link": "eno2", "mac": "BC:24:11:AA:BB:02"},
    ],
}
SERIAL = "/dmi/system/serial"
MAC = "/network_interfaces/0/mac"
ANY_MAC = "/network_interfaces/*/mac"
JSON_HINT = "(begin the pointer with json: to compare it)"


# --- Filters -----------------------------------------------------------------------------------


FILTERS = [
    ("/product/product", "pve", True),
    ("/product/product", "pv?", True),
    ("/product/product", "PVE", False),
    ("/product/product", "pv", False),
    (SERIAL, "SN-*", True),
    (SERIAL, "SN-*4", True),
    (SERIAL, "**/4", True),
    (SERIAL, "SN-77", False),
    ("/dmi/system/sku", "[none]", False),  # a set of three letters
    ("/dmi/system/sku", "[[]none]", True),
    ("/dmi/system/uuid", "4C4C-?", True),
    ("/dmi/chassis/asset_tag", "", True),
    ("/dmi/chassis/asset_tag", "*", True),
    ("/dmi/chassis/asset_tag", "?*", False),
    ("/dmi/chassis/type", "23", False),
    ("json:/dmi/chassis/type", "23", True),
    ("json:/dmi/chassis/type", "2*", True),
    ("/product/enable_btrfs", "true", False),
    ("/product/enable_btrfs", "*", False),
    ("json:/product/enable_btrfs", "true", True),
    ("json:/product/enable_btrfs", "True", False),
    ("json:/product/product", "pve", True),
    ("json:/product", "*", False),
    ("/product", "*", False),
    ("", "*", False),
    ("/absent", "*", False),
    (MAC, "BC:24:11:AA:BB:01", True),
    (MAC, "bc:24:11:aa:bb:01", True),
    (MAC, "bc:24:*", True),
    (MAC, "*[a-b]:01", True),
    (MAC, "[!b]*", True),  # matches in Proxmox Datacenter Manager: the letter is a capital
    (MAC, "BC:24:11:AA:BB:02", False),
    (ANY_MAC, "BC:24:11:AA:BB:02", True),
    (ANY_MAC, "*:0[2-9]", True),
    (ANY_MAC, "*:03", False),
    ("/network_interfaces/2/mac", "*", False),
    ("/network_interfaces/*/link", "ENO2", False),  # only of MAC addresses the case is ignored
    ("/network_interfaces/*/link", "eno2", True),
    (SERIAL, "SN**", False),
    (SERIAL, "[", False),
    ("dmi/system/serial", "*", False),
]


@pytest.mark.parametrize(("pointer", "pattern", "expected"), FILTERS)
def test_a_filter_on_a_machine(pointer: str, pattern: str, expected: bool) -> None:
    assert compile_filter(pointer, pattern).matches(MACHINE) is expected
    assert compile_filter(pointer, pattern).explain(MACHINE).matched is expected


@pytest.mark.parametrize(
    ("pointer", "pattern", "found", "reason"),
    [
        (SERIAL, "SN-*", ["SN-77/4"], "matches"),
        (SERIAL, "SN-2*", ["SN-77/4"], "value 'SN-77/4' does not match 'SN-2*'"),
        ("/dmi/x", "*", [], "there is nothing at /dmi/x"),
        ("json:/dmi/x", "*", [], "there is nothing at /dmi/x"),
        (
            "/product/enable_btrfs",
            "true",
            [True],
            f"the value is a boolean; only text is compared {JSON_HINT}",
        ),
        (
            "/dmi/chassis/type",
            "23",
            [23],
            f"the value is a number; only text is compared {JSON_HINT}",
        ),
        (
            "/dmi/baseboard",
            "*",
            [{"vendor": "Dell Inc."}],
            "the value is an object; only text is compared",
        ),
        (
            "json:/dmi/baseboard",
            "*",
            [{"vendor": "Dell Inc."}],
            "the value is an object; only text, numbers and booleans are compared",
        ),
        (
            "/network_interfaces/*",
            "*",
            MACHINE["network_interfaces"],
            "none of the values is text; only text is compared",
        ),
        (
            "/network_interfaces/*/link",
            "wlan*",
            ["eno1", "eno2"],
            "none of the values 'eno1', 'eno2' matches 'wlan*'",
        ),
        (SERIAL, "a**", ["SN-77/4"], "'**' must be a whole path component, as in 'a/**/b'"),
        (
            "serial",
            "*",
            [],
            "a pointer is empty or begins with '/', as in '/dmi/system/serial'",
        ),
    ],
)
def test_a_verdict_says_why(pointer: str, pattern: str, found: list[object], reason: str) -> None:
    verdict = compile_filter(pointer, pattern).explain(MACHINE)
    assert (verdict.pointer, verdict.pattern) == (pointer, pattern)
    assert verdict.found == found
    assert verdict.reason == reason


def test_a_verdict_shortens_what_is_long() -> None:
    cards = {"cards": ["x" * 500, *"abcdef"]}
    assert compile_filter("/cards/*", "z").explain(cards).reason == (
        f"none of the values '{'x' * 79}…', 'a', 'b', 'c', 'd' and 2 more matches 'z'"
    )


@pytest.mark.parametrize(
    ("pointer", "pattern", "problem"),
    [
        (SERIAL, "SN-*", None),
        ("", "", None),
        ("json:/a~b", "[]]", None),
        ("serial", "*", "a pointer is empty or begins with '/'"),
        (SERIAL, "[a", "'[' is never closed"),
        (SERIAL, "****", "three or more '*' in a row"),
        ("serial", "[a", "a pointer is empty or begins with '/'"),
    ],
)
def test_a_filter_is_checked_before_it_is_saved(
    pointer: str, pattern: str, problem: str | None
) -> None:
    said = check_filter(pointer, pattern)
    assert said is None if problem is None else (said or "").startswith(problem)


# --- The index ---------------------------------------------------------------------------------


def entry(key: int, *filters: tuple[str, str], **fields: Any) -> Entry:
    return Entry(
        key=key,
        order=fields.get("order", (0, key)),
        filters=tuple(compile_filter(*one) for one in filters),
        tokens=frozenset(fields.get("tokens", {1})),
        is_default=fields.get("is_default", False),
        payload=fields.get("payload"),
    )


def index_of(*entries: Entry) -> Index:
    index = Index()
    for one in entries:
        index.add(one)
    return index


def keys(entries: Any) -> list[int]:
    return [one.key for one in entries]


@pytest.mark.parametrize(("pointer", "pattern", "expected"), FILTERS)
def test_the_index_loses_no_match_of_a_filter(pointer: str, pattern: str, expected: bool) -> None:
    assert keys(index_of(entry(1, (pointer, pattern))).find(MACHINE, 1)) == [1] * expected


def test_the_smallest_order_comes_first() -> None:
    every = [entry(key, (SERIAL, "SN*"), order=(key % 2, -key)) for key in range(5)]
    index = index_of(*every)
    assert keys(index.find(MACHINE, 1)) == [4, 2, 0, 3, 1]
    assert keys(index) == [4, 2, 0, 3, 1]
    assert len(index) == 5


def test_all_filters_have_to_match() -> None:
    one = entry(1, (SERIAL, "SN*"), ("/product/product", "pve"))
    other = entry(2, (SERIAL, "SN*"), ("/product/product", "pbs"))
    assert keys(index_of(one, other).find(MACHINE, 1)) == [1]


def test_an_entry_is_found_only_with_an_authorised_token() -> None:
    index = index_of(entry(1, (SERIAL, "SN*"), tokens={2, 3}))
    assert keys(index.find(MACHINE, 2)) == [1]
    assert index.find(MACHINE, 1) == []


def test_an_entry_without_filters_never_matches() -> None:
    assert index_of(entry(1)).find(MACHINE, 1) == []


def test_a_default_is_not_found_but_asked_for() -> None:
    index = index_of(entry(1, (SERIAL, "*"), is_default=True, tokens={1}))
    assert index.find(MACHINE, 1) == []
    assert index.default(1) is index.get(1)
    assert index.default(2) is None
    index.remove(1)
    assert index.default(1) is None


def test_two_interfaces_that_match_give_one_entry() -> None:
    assert keys(index_of(entry(1, (ANY_MAC, "bc:24*"))).find(MACHINE, 1)) == [1]


def test_an_entry_replaces_the_one_with_its_key() -> None:
    index = index_of(entry(1, (SERIAL, "SN*")), entry(1, (SERIAL, "none"), payload="new"))
    assert len(index) == 1
    assert index.find(MACHINE, 1) == []
    found = index.get(1)
    assert found is not None and found.payload == "new"


def test_removing_an_unknown_entry_does_nothing() -> None:
    index = index_of(entry(1, (SERIAL, "SN*")))
    index.remove(2)
    assert keys(index) == [1]


def test_readers_survive_a_writer() -> None:
    """The entry that stays is found all the time; nothing that a reader iterates over is changed."""
    index = index_of(entry(0, (SERIAL, "SN*")))
    stop = threading.Event()
    wrong: list[object] = []

    def read() -> None:
        try:
            while not stop.is_set():
                if 0 not in keys(index.find(MACHINE, 1)) or 0 not in keys(index):
                    wrong.append("the entry was lost")
        except RuntimeError as error:
            wrong.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for turn in range(3000):
        key = turn % 60 + 1
        if index.get(key):
            index.remove(key)
        else:
            index.add(entry(key, (f"/x/{key % 7}", f"{'y' * (key % 5)}*")))
    stop.set()
    for reader in readers:
        reader.join()
    assert wrong == []


# --- Properties --------------------------------------------------------------------------------

POINTERS = [SERIAL, MAC, ANY_MAC, "json:/n", "/n", f"json:{SERIAL}", "json:/on/*", "/on/*", "bad"]
patterns = st.text("aAb*?", max_size=3) | st.sampled_from(
    ["[!a]*", "[!A]", "a[!b]", "*[", "a/**", "**/b", "true", "tru*", "1*", "[a-b]A"]
)
filters = st.lists(st.builds(compile_filter, st.sampled_from(POINTERS), patterns), max_size=3)
texts = st.text("aAb", max_size=2) | st.sampled_from(["true", "1", "a/b"])
scalars = texts | st.sampled_from([True, 1, 1.5, None])
machines = st.fixed_dictionaries(
    {"network_interfaces": st.lists(st.fixed_dictionaries({"mac": texts}), max_size=3)},
    optional={
        "dmi": st.fixed_dictionaries({"system": st.fixed_dictionaries({"serial": texts})}),
        "n": scalars,
        "on": st.lists(scalars, max_size=3) | st.fixed_dictionaries({"*": texts}),
    },
)
entries = st.builds(
    Entry,
    key=st.integers(0, 9),
    order=st.tuples(st.integers(0, 2), st.integers(0, 10**6)),
    filters=filters.map(tuple),
    tokens=st.frozensets(st.integers(1, 3), max_size=3),
    is_default=st.sampled_from([False, False, False, True]),
    payload=st.none(),
)


def plain_find(every: list[Entry], document: object, token: int) -> list[Entry]:
    return [
        one
        for one in sorted(every, key=lambda one: one.order)
        if not one.is_default and token in one.tokens and matches_all(one.filters, document)
    ]


def matches_all(some: Any, document: object) -> bool:
    return len(some) > 0 and all(one.matches(document) for one in some)


@given(
    st.lists(entries | st.integers(0, 9), max_size=20), st.lists(machines, min_size=1, max_size=4)
)
def test_the_index_agrees_with_a_plain_loop(changes: list[Entry | int], seen: list[object]) -> None:
    index, model = Index(), dict[int, Entry]()
    for number, change in enumerate(changes):
        if isinstance(change, int):
            index.remove(change)
            model.pop(change, None)
        elif all(one.order != change.order for one in model.values()):
            index.add(change)
            model[change.key] = change
        document = seen[number % len(seen)]
        for token in (1, 2):
            assert index.find(document, token) == plain_find([*model.values()], document, token)
    assert list(index) == sorted(model.values(), key=lambda one: one.order)
    assert len(index) == len(model)
    for key in list(model):
        index.remove(key)
    assert all(index.find(document, 1) == [] for document in seen)
    assert index.default(1) is None


@given(filters, filters, machines)
def test_two_configs_that_one_machine_matches_are_said_to_overlap(
    a: list[Filter], b: list[Filter], document: object
) -> None:
    if matches_all(a, document) and matches_all(b, document):
        assert may_overlap(a, b)
        assert may_overlap(b, a)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((SERIAL, "a"), (SERIAL, "a"), True),
        ((SERIAL, "a"), (SERIAL, "b"), False),
        ((SERIAL, "a"), (SERIAL, "A"), False),
        ((SERIAL, "abc"), (SERIAL, "a*"), True),
        ((SERIAL, "abc"), (SERIAL, "a?"), False),
        ((SERIAL, "ab*"), (SERIAL, "a*"), True),
        ((SERIAL, "ab*"), (SERIAL, "ac*"), False),
        ((SERIAL, "*ab"), (SERIAL, "*b"), True),
        ((SERIAL, "*ab"), (SERIAL, "*cb"), False),
        ((SERIAL, "a/**/"), (SERIAL, "a/b"), True),
        ((SERIAL, "a*"), (SERIAL, "*b"), True),
        ((SERIAL, "a"), ("/dmi/system/sku", "b"), True),
        ((SERIAL, "a"), (f"json:{SERIAL}", "b"), False),
        ((SERIAL, "1"), (f"json:{SERIAL}", "1"), True),
        ((SERIAL, "["), (SERIAL, "*"), False),
        ((MAC, "aa"), (MAC, "AA"), True),
        ((MAC, "aa*"), (MAC, "AAB*"), True),
        ((MAC, "aa*"), (MAC, "AB*"), False),
        ((MAC, "aa"), (MAC, "B?"), False),
        ((MAC, "a"), (MAC, "[!a]"), True),  # a machine with an `A` matches both
        ((MAC, "a:1"), (MAC, "[!a]:2"), False),
        ((ANY_MAC, "a"), (ANY_MAC, "b"), True),
        ((ANY_MAC, "a"), (MAC, "b"), True),
    ],
)
def test_whether_two_filters_can_match_one_machine(
    a: tuple[str, str], b: tuple[str, str], expected: bool
) -> None:
    assert may_overlap([compile_filter(*a)], [compile_filter(*b)]) is expected
    assert may_overlap([compile_filter(*b)], [compile_filter(*a)]) is expected


def test_one_contradiction_among_many_filters_is_enough() -> None:
    both = [compile_filter("/product/product", "pve"), compile_filter(SERIAL, "a")]
    other = [compile_filter("/product/product", "pve"), compile_filter(SERIAL, "b")]
    assert not may_overlap(both, other)
    assert not may_overlap(both, [])
