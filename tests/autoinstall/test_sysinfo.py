"""What is read from an installer's body: uniform for every version, and which machine it is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from autoinstall.installers import installer_version
from autoinstall.sysinfo import SystemInfo, read_system_info
from tests.autoinstall.factories import system_info

REAL = "5c1f0f3e-58a1-4c55-9d51-1f6f0a3c0001"
MAC = "A0:36:9F:10:20:01"


def read(**parts: Any) -> SystemInfo:
    return read_system_info(json.dumps(system_info(**parts)).encode())


def identity(**parts: Any) -> str:
    return read(**parts).identity


# --- Uniform -----------------------------------------------------------------------------------


def test_schema_is_left_out() -> None:
    assert "$schema" not in read().info


def test_mac_addresses_are_upper_case_whatever_the_installer_sends() -> None:
    info = read(macs=("a0:36:9f:10:20:0f", "A0:36:9F:10:20:0E")).info

    assert [card["mac"] for card in info["network_interfaces"]] == [
        "A0:36:9F:10:20:0F",
        "A0:36:9F:10:20:0E",
    ]


def test_everything_else_is_kept_as_it_came() -> None:
    given = system_info() | {"brand-new": {"a": [1, None, "b"]}}

    info = read_system_info(json.dumps(given).encode()).info

    assert info == {key: value for key, value in given.items() if key != "$schema"}


def test_product_and_release_are_those_of_the_image() -> None:
    found = read(product="pbs", release="4.1", isorelease="2")

    assert (found.product, found.release) == ("pbs", "4.1-2")


# --- Which machine -----------------------------------------------------------------------------


def test_a_machine_is_known_by_its_uuid() -> None:
    assert identity(uuid=REAL) == f"uuid {REAL}"


@pytest.mark.parametrize("spelled", [REAL.upper(), f" {REAL} ", REAL.title()])
def test_the_spelling_of_a_uuid_does_not_matter(spelled: str) -> None:
    assert identity(uuid=spelled) == identity(uuid=REAL)


def test_with_a_uuid_neither_serial_nor_cards_matter() -> None:
    assert identity(serial="other", uuid=REAL, macs=()) == identity(uuid=REAL)


SHARED = [
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
    "11111111-1111-1111-1111-111111111111",
    "03000200-0400-0500-0006-000700080009",
    "00020003-0004-0005-0006-000700080009",
    "12345678-1234-5678-90ab-cddeefaabbcc",
    "12345678-1234-5678-90AB-CDDEEFAABBCC",
    "fefefefe-fefe-fefe-fefe-fefefefefefe",
    "01234567-8910-1112-1314-151617181920",
    "12345678-1234-1234-1234-123456789012",
]


@pytest.mark.parametrize("uuid", [*SHARED, "", "Not Settable", "not a uuid", REAL[:-1], "0"])
def test_a_uuid_that_many_boards_share_is_no_identity(uuid: str) -> None:
    assert identity(uuid=uuid) == f"serial SN-0001 mac {MAC}"


@pytest.mark.parametrize(
    "serial",
    [
        *("", " ", "0", "00000000", "None", "N/A", "n/a", "Not Specified", "Default string"),
        *("To be filled by O.E.M.", "To Be Filled By O.E.M.", "System Serial Number", "xxxxxxxx"),
        *("123456789", "0123456789", "UNKNOWN", "....", "----", "FFFFFFFF", "Empty", "INVALID"),
        *("Not Applicable", " Default string ", "Chassis Serial Number"),
    ],
)
def test_a_placeholder_is_no_serial_number(serial: str) -> None:
    assert identity(serial=serial, uuid="") == f"mac {MAC}"


@pytest.mark.parametrize("serial", ["SN-1", "1", "7F2K9", "0001", "F00D", "1234567891"])
def test_a_real_serial_number_is_part_of_the_identity(serial: str) -> None:
    assert identity(serial=serial, uuid="") == f"serial {serial} mac {MAC}"


def test_the_order_of_the_cards_does_not_matter() -> None:
    macs = ("A0:36:9F:10:20:02", "a0:36:9f:10:20:01", "A0:36:9F:10:20:02")

    assert identity(uuid="", macs=macs) == identity(uuid="", macs=tuple(reversed(macs)))


@pytest.mark.parametrize("mac", ["00:00:00:00:00:00", "FF:FF:FF:FF:FF:FF", "", "none", "A0:36"])
def test_a_card_without_an_address_is_no_part_of_the_identity(mac: str) -> None:
    assert identity(uuid="", macs=(mac, MAC)) == identity(uuid="", macs=(MAC,))


def test_who_says_nothing_of_itself_has_no_identity() -> None:
    assert identity(serial="", uuid="", macs=()) == ""


def test_machines_with_the_same_serial_and_other_cards_are_two() -> None:
    one, other = (identity(uuid="", macs=(mac,)) for mac in (MAC, "A0:36:9F:10:20:02"))

    assert one != other


def test_a_machine_keeps_its_identity_when_the_installer_is_older() -> None:
    new = identity(serial="SN-9", uuid="", macs=(MAC,))
    old = identity(serial="SN-9", uuid="", macs=(MAC.lower(),), release="8.4", **{"$schema": None})

    assert old == new


def test_a_long_identity_is_short_and_still_tells_machines_apart() -> None:
    many = tuple(f"A0:36:9F:10:20:{n:02X}" for n in range(1, 100))
    one, other = identity(uuid="", macs=many), identity(uuid="", macs=many[1:])

    assert one != other
    assert max(len(one), len(other)) <= 200


def test_a_serial_number_cannot_pretend_to_be_a_uuid() -> None:
    assert identity(serial=f"uuid {REAL}", uuid="", macs=()) != identity(uuid=REAL)


# --- Which installer ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("product", "release", "installer"),
    [
        ("pve", "8.2", (8, 2)),
        ("pve", "8.4", (8, 4)),
        ("pve", "9.2", (9, 2)),
        ("pve", "9.2-beta1", (9, 2)),
        ("pve", "9.11.3", (9, 11)),
        ("pve", "10.0", (10, 0)),
        ("pve", "", (8, 2)),
        ("pve", "next", (8, 2)),
        ("pve", "9", (8, 2)),
        ("pbs", "3.2", (8, 2)),
        ("pbs", "3.3", (8, 3)),
        ("pbs", "3.4", (8, 4)),
        ("pbs", "4.0", (9, 0)),
        ("pbs", "4.1", (9, 1)),
        ("pbs", "4.2", (9, 2)),
        ("pbs", "5.0", (9, 2)),
        ("pmg", "8.1", (8, 2)),
        ("pmg", "8.2", (8, 3)),
        ("pmg", "9.0", (9, 0)),
        ("pmg", "9.1", (9, 1)),
        ("pdm", "0.9", (9, 0)),
        ("pdm", "1.0", (9, 1)),
        ("pdm", "1.1", (9, 2)),
        ("pdm", "2.0", (9, 2)),
    ],
)
def test_the_installer_is_told_by_product_and_release(
    product: str, release: str, installer: tuple[int, int]
) -> None:
    assert installer_version(product, release) == installer
