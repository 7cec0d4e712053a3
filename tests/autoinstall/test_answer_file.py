"""`answer.toml` read and written: forms of every installer, errors with their lines, the round trip."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoinstall import rules
from autoinstall.answer_file import (
    EXTRA_FIELDS,
    AnswerFileError,
    Imported,
    LineProblem,
    read_answer_file,
    write_answer_file,
)
from autoinstall.answer_lines import Source
from autoinstall.documents import KEYBOARDS, ConfigDocument, kebab

DATA = Path(__file__).parent / "data"
HASH = "$y$j9T$" + "x" * 22
FINGERPRINT = ":".join(["0a"] * 32)
HOOK_PATH = "/api2/json/auto-install/installations/6f9d/post-hook"

GLOBAL = """\
[global]
country = "at"
fqdn = "pve0.example.com"
keyboard = "de"
mailto = "ops@example.com"
timezone = "Europe/Vienna"
root-password = "correct horse"
"""
NETWORK = '[network]\nsource = "from-dhcp"\n'
DISKS = '[disk-setup]\nfilesystem = "ext4"\ndisk-list = ["sda"]\n'
PLAIN = GLOBAL + NETWORK + DISKS
PLAIN_CONFIG = {
    "country": "at",
    "fqdn": "pve0.example.com",
    "use-dhcp-fqdn": False,
    "keyboard": "de",
    "mailto": "ops@example.com",
    "timezone": "Europe/Vienna",
    "use-dhcp-network": True,
    "filesystem": {"filesystem": "ext4"},
    "disk-mode": "fixed",
    "disk-list": ["sda"],
}


def problems(text: str) -> list[LineProblem]:
    with pytest.raises(AnswerFileError) as caught:
        read_answer_file(text)
    return caught.value.problems


def line_of(text: str, part: str) -> int:
    """The first line that holds this."""
    return next(n for n, line in enumerate(text.split("\n"), 1) if part in line)


def stored(config: dict[str, Any]) -> dict[str, Any]:
    """As the server would keep it."""
    return ConfigDocument.model_validate(config).wire()


# --- Every form reads --------------------------------------------------------------------------


def test_a_plain_file_gives_just_what_it_says() -> None:
    assert read_answer_file(PLAIN) == Imported(PLAIN_CONFIG, {"root-password": "correct horse"})


def test_a_secret_is_not_in_the_representation() -> None:
    assert "horse" not in repr(read_answer_file(PLAIN))


@pytest.mark.parametrize("name", ["of-8.2.toml", "of-8.4.toml"])
def test_the_old_and_the_new_spelling_say_the_same(name: str) -> None:
    imported = read_answer_file((DATA / name).read_text())
    assert imported.secrets == {"root-password-hashed": HASH}
    assert imported.config == {
        **PLAIN_CONFIG,
        "reboot-on-error": True,
        "root-ssh-keys": ["ssh-ed25519 AAAA ops", "ssh-rsa BBBB ops"],
        "use-dhcp-network": False,
        "cidr": "10.1.2.10/24",
        "dns": "10.1.2.1",
        "gateway": "10.1.2.254",
        "netdev-filter": {"ID_NET_NAME": "enp*"},
        "filesystem": {"filesystem": "zfs", "raid": "RAIDZ-1", "arc-max": 2048, "compress": "lz4"},
        "disk-list": ["sda", "sdb", "sdc"],
        "disk-filter-match": "all",
        "post-hook-base-url": "https://ps.example.com:8443",
        "post-hook-cert-fp": FINGERPRINT,
        "first-boot": {"source": "from-iso", "cert-fingerprint": FINGERPRINT},
    }


def test_all_that_9_2_added_is_read() -> None:
    imported = read_answer_file((DATA / "of-9.2.toml").read_text())
    assert imported.secrets == {"root-password-hashed": HASH}
    assert imported.config == {
        "country": "de",
        "use-dhcp-fqdn": True,
        "dhcp-fqdn-domain": "lab.example.com",
        "keyboard": "en-us",
        "mailto": "ops@example.com",
        "timezone": "UTC",
        "reboot-mode": "power-off",
        "subscription-key": "pve2c-0123456789",
        "use-dhcp-network": True,
        "netif-name-pinning-enabled": True,
        "netif-name-mapping": {"b4:2e:99:ac:ad:b4": "mgmt", "B4:2E:99:AC:AD:B5": "storage"},
        "filesystem": {"filesystem": "btrfs", "raid": "RAID1", "hdsize": 40},
        "disk-mode": "filter",
        "disk-filter": {"ID_MODEL": "Samsung*"},
        "first-boot": {
            "source": "from-url",
            "ordering": "network-online",
            "url": "http://files.example.com/first.sh",
        },
    }


READING: dict[str, tuple[str, dict[str, Any]]] = {
    "no source means DHCP": (PLAIN.replace('source = "from-dhcp"\n', ""), PLAIN_CONFIG),
    "line ends of DOS": (PLAIN.replace("\n", "\r\n"), PLAIN_CONFIG),
    "a byte order mark": ("\ufeff" + PLAIN, PLAIN_CONFIG),
    "dotted keys instead of tables": (
        "\n".join(
            [
                *(f"global.{line}" for line in GLOBAL.splitlines()[1:]),
                'network.source = "from-dhcp"',
                'disk-setup = { filesystem = "ext4", disk-list = ["sda"] }',
            ]
        ),
        PLAIN_CONFIG,
    ),
    "a template": (
        PLAIN.replace("pve0", "pve{{ nr }}"),
        PLAIN_CONFIG | {"fqdn": "pve{{ nr }}.example.com"},
    ),
    "a template of statements": (
        PLAIN.replace("ops@", "{% if nr %}ops{% endif %}@"),
        PLAIN_CONFIG | {"mailto": "{% if nr %}ops{% endif %}@example.com"},
    ),
    "templates of a network": (
        GLOBAL
        + '[network]\nsource="from-answer"\ncidr="10.0.0.{{ nr }}/24"\ndns="{{ dns }}"\n'
        + 'gateway="{{ gw }}"\nfilter.ID_PATH="*"\n'
        + DISKS,
        PLAIN_CONFIG
        | {
            "use-dhcp-network": False,
            "cidr": "10.0.0.{{ nr }}/24",
            "dns": "{{ dns }}",
            "gateway": "{{ gw }}",
            "netdev-filter": {"ID_PATH": "*"},
        },
    ),
    "an empty list beside a filter": (
        GLOBAL + NETWORK + '[disk-setup]\nfilesystem="xfs"\ndisk-list=[]\nfilter.ID_PATH="*"\n',
        {key: value for key, value in PLAIN_CONFIG.items() if key != "disk-list"}
        | {
            "filesystem": {"filesystem": "xfs"},
            "disk-mode": "filter",
            "disk-filter": {"ID_PATH": "*"},
        },
    ),
    "pinning that is off": (
        PLAIN.replace("[disk-", "interface-name-pinning.enabled = false\n[disk-"),
        PLAIN_CONFIG | {"netif-name-pinning-enabled": False},
    ),
    "lines for us": (
        PLAIN + "# a comment\n#: priority = 3\n#:\n#: [template-counters]\n#: nr = 7\n",
        PLAIN_CONFIG | {"priority": 3, "template-counters": {"nr": 7}},
    ),
    "dots in strings and comments": (
        PLAIN.replace('["sda"]', f'["sda"] # {"." * 99}') + f'#: dns = "{"." * 99}"\n',
        PLAIN_CONFIG | {"dns": "." * 99},
    ),
    "lines for us anywhere": ("#: priority = 3\n" + PLAIN, PLAIN_CONFIG | {"priority": 3}),
    "comments that are not for us": (
        f"#:no\n#!: no\n  #: no = 1\n{PLAIN} #: no = 1\n",
        PLAIN_CONFIG,
    ),
    "lines of a string that look like ours": (
        GLOBAL + 'root-ssh-keys = ["""\\\n#: no \\\n"""]\n' + NETWORK + DISKS,
        PLAIN_CONFIG | {"root-ssh-keys": ["#: no "]},
    ),
}


@pytest.mark.parametrize(("text", "config"), READING.values(), ids=READING.keys())
def test_it_reads(text: str, config: dict[str, Any]) -> None:
    assert read_answer_file(text).config == config


def test_a_file_without_a_password_reads() -> None:
    assert read_answer_file(PLAIN.replace("root-password", "# ")).secrets == {}


@pytest.mark.parametrize("raid", ["raid1", "RAID1"])
@pytest.mark.parametrize("filesystem", ["zfs", "btrfs"])
def test_raid_levels_come_in_both_cases(raid: str, filesystem: str) -> None:
    disks = f'[disk-setup]\nfilesystem="{filesystem}"\n{filesystem}.raid="{raid}"\n'
    imported = read_answer_file(GLOBAL + NETWORK + disks + 'disk-list=["sda", "sdb"]\n')
    assert imported.config["filesystem"] == {"filesystem": filesystem, "raid": "RAID1"}


# --- The webhook -------------------------------------------------------------------------------


def with_hook(**keys: str) -> str:
    lines = (f'{key.replace("_", "-")} = "{value}"\n' for key, value in keys.items())
    return PLAIN + "[post-installation-webhook]\n" + "".join(lines)


@pytest.mark.parametrize(
    "base",
    [
        *("https://ps", "http://10.0.0.1:8080", "https://[2001:db8::1]:8443"),
        "https://ps.example.com/behind/a/proxy",
    ],
)
@pytest.mark.parametrize("query", ["", "?token=0123"])
def test_the_hook_of_this_kind_of_server_gives_its_base(base: str, query: str) -> None:
    imported = read_answer_file(with_hook(url=f"{base}{HOOK_PATH}{query}", auth_token="secret"))
    assert imported.config == PLAIN_CONFIG | {"post-hook-base-url": base}


@pytest.mark.parametrize("fingerprint", [FINGERPRINT, FINGERPRINT.replace(":", "")])
def test_the_fingerprint_of_the_hook_gets_its_colons(fingerprint: str) -> None:
    text = with_hook(url=f"https://ps{HOOK_PATH}", cert_fingerprint=fingerprint)
    assert read_answer_file(text).config["post-hook-cert-fp"] == FINGERPRINT


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com/s3cret",
        "https://ps/api2/json/auto-install/installations/post-hook",
        "https://ps/api2/json/auto-install/installations/a/b/post-hook",
        f"https://ps{HOOK_PATH}/s3cret",
        f"https://ps{HOOK_PATH}#s3cret",
        f"https://root:s3cret@ps{HOOK_PATH}",
        f"https://{HOOK_PATH}",
    ],
)
def test_another_hook_is_refused_without_showing_it(url: str) -> None:
    text = with_hook(url=url)
    (problem,) = problems(text)
    assert (problem.line, problem.key) == (line_of(text, "url ="), "post-installation-webhook.url")
    assert "this server makes the URL of its own hook" in problem.sentence
    assert "s3cret" not in problem.sentence


# --- What is wrong is named with its line ------------------------------------------------------

WRONG: dict[str, tuple[str, str | None, str, str]] = {
    # name: (text, the line that holds this, key, a part of the sentence)
    "no TOML": (PLAIN.replace('"de"', "de"), "keyboard", "", "not valid TOML"),
    "no TOML at the end": (PLAIN + "x = [\n\n", "x = [", "", "not valid TOML"),
    "a key twice": (PLAIN + 'disk-list = ["sdb"]', "sdb", "", "not valid TOML"),
    "an endless number": (PLAIN + f"x = {'1' * 5000}", None, "", "too many digits"),
    "a deep key": (PLAIN + ".".join("a" * 22) + " = 1\n", "a.a", "", "more than 20 dots"),
    "a deep value": (PLAIN + f"x = {'[' * 5000}", None, "", "nested too deeply"),
    "an unknown section": (PLAIN + "[netwrk]\nx = 1", "[netwrk]", "netwrk", "'network'"),
    "an unknown key": (PLAIN + "disk = 3\n", "disk = 3", "disk-setup.disk", "'disk'"),
    "an unknown option": (
        PLAIN + "lvm.hdsiz = 3\n",
        "hdsiz",
        "disk-setup.lvm.hdsiz",
        "did you mean 'hdsize'",
    ),
    "an unknown key of an inline table": (
        PLAIN + "lvm = { hdsize = 8, swap = 4 }\n",
        "lvm =",
        "disk-setup.lvm.swap",
        "'swap'",
    ),
    "a section that is missing": (GLOBAL + DISKS, None, "network", "missing"),
    "a key that is missing": (
        PLAIN.replace('country = "at"\n', ""),
        "[global]",
        "global.country",
        "missing",
    ),
    "a wrong type": (PLAIN.replace('"at"', "43"), "43", "global.country", "not a number"),
    "a date": (PLAIN.replace('"at"', "1979-05-27"), "1979", "global.country", "a string"),
    "a table in place of a value": (
        PLAIN.replace('country = "at"', 'country.code = "at"'),
        "country.code",
        "global.country",
        "not a table",
    ),
    "tables in place of a table": (
        PLAIN.replace("[network]", "[[network]]"),
        "[[network]]",
        "network",
        "not a list",
    ),
    "a value that breaks a rule": (
        PLAIN.replace("Europe/Vienna", "Etc/UTC"),
        "Etc/UTC",
        "global.timezone",
        "'UTC' itself",
    ),
    "a rule of two keys": (
        PLAIN + "[disk-setup.lvm]\nhdsize = 8\nswapsize = 5\n",
        "swapsize",
        "disk-setup.lvm.swapsize",
        "half of hdsize",
    ),
    "a rule of a list of many lines": (
        PLAIN.replace('["sda"]', '[\n  "sda", # ]\n  "sdb",\n]'),
        "disk-list",
        "disk-setup.disk-list",
        "exactly one",
    ),
    "two passwords": (
        PLAIN.replace("[network]", f'root-password-hashed = "{HASH}"\n[network]'),
        "hashed",
        "global.root-password-hashed",
        "only one",
    ),
    "a short password": (
        PLAIN.replace("correct horse", "horse"),
        "horse",
        "global.root-password",
        "8 characters",
    ),
    "a password that no config takes": (
        PLAIN.replace("correct horse", "h" * 65),
        "hhh",
        "global.root-password",
        "at most 64",
    ),
    "a hash that is none": (
        PLAIN.replace("root-password", "root-password-hashed"),
        "root-password-hashed",
        "global.root-password-hashed",
        "crypt(3)",
    ),
    "a static network without its source": (
        PLAIN.replace('source = "from-dhcp"', 'cidr = "10.0.0.1/24"'),
        "cidr",
        "network.cidr",
        'source = "from-answer"',
    ),
    "what a config cannot hold: a filter's key": (
        PLAIN.replace('disk-list = ["sda"]', 'filter.ID_PATH_2 = "*"'),
        "ID_PATH_2",
        "disk-setup.filter.ID_PATH_2",
        "upper-case letters",
    ),
    "what a config cannot hold: a disk's name": (
        PLAIN.replace('"sda"', '"mmcblk0"'),
        "mmcblk0",
        "disk-setup.disk-list.0",
        "disk's name",
    ),
    "what a config cannot hold: a URL": (
        PLAIN + '[first-boot]\nsource = "from-url"\nurl = "http://root:horse@ps/x"\n',
        "url =",
        "first-boot.url",
        "must be http(s)://host/path",
    ),
    "a quoted key": (PLAIN + '"disk" = 3\n', '"disk"', "disk-setup.disk", "'disk'"),
    "a quoted key with an escape": (
        PLAIN + '"d\\u0069sk" = 3\n',
        "u0069",
        "disk-setup.disk",
        "'disk'",
    ),
    "a section written in pieces": (
        '[disk-setup.zfs]\nraid = "RAID9"\n' + PLAIN.replace("ext4", "zfs"),
        "RAID9",
        "disk-setup.zfs.raid",
        "'RAID9'",
    ),
    "what comes after strings of many lines": (
        GLOBAL.replace('"at"', "'''at'''")
        + 'root-ssh-keys = ["""a\\\n\\"""] = [\\\n\\\n""", \'\'\'[x\'\'\', "\\"# ["]\n'
        + 'reboot-mode = "halt"\n'
        + NETWORK
        + DISKS,
        "halt",
        "global.reboot-mode",
        "power-off",
    ),
    "what comes after strings that end in quotes": (
        GLOBAL.replace("[global]", "[global]\nroot-ssh-keys = [\"\"\"\\\na\"\"\"\"\", '''b''''']")
        + 'reboot-mode = "halt"\n'
        + NETWORK
        + DISKS,
        "halt",
        "global.reboot-mode",
        "power-off",
    ),
    "a line for us that is no TOML": (PLAIN + "#: x =\n", "#:", "", "not valid TOML"),
    "a line for us with an unknown key": (
        PLAIN + "#: id = 'abc'\n#: prio = 3\n",
        "prio",
        "prio",
        "'#:' line",
    ),
    "a line for us in the other spelling": (
        PLAIN + "#: template_counters = {}\n",
        "template_",
        "template_counters",
        "'#:' line",
    ),
    "a line for us with what the installer must read": (
        PLAIN + '#: country = "at"\n',
        "#: country",
        "country",
        "'#:' line",
    ),
    "a line for us that says something again": (
        PLAIN + '#: fqdn = "pve1.example.com"\n',
        "pve1",
        "fqdn",
        "set above already",
    ),
    "a line for us with a wrong type": (
        PLAIN + '#: priority = "high"\n',
        "high",
        "priority",
        "whole number",
    ),
    "a line for us with a wrong value in a table": (
        PLAIN + "#: priority = 2\n#:\n#: [template-counters]\n#: a = 1\n#: b = -1\n",
        "b = -1",
        "template-counters.b",
        "at least 0",
    ),
}


@pytest.mark.parametrize(("text", "part", "key", "word"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_named_with_its_line(
    text: str, part: str | None, key: str, word: str
) -> None:
    (problem,) = problems(text)
    assert problem.line == (line_of(text, part) if part else None)
    assert problem.key == key
    assert word in problem.sentence
    assert "horse" not in problem.sentence


ALIASES = [
    *(("global", key) for key in ("root-password", "root-password-hashed", "reboot-on-error")),
    *(("global", key) for key in ("reboot-mode", "root-ssh-keys", "subscription-key")),
    *(("disk-setup", key) for key in ("disk-list", "filter-match")),
    *(("post-installation-webhook", key) for key in ("cert-fingerprint", "auth-token")),
    *(("first-boot", "cert-fingerprint"), ("disk-setup.zfs", "arc-max")),
]
EMPTY = "[global]\n[network]\n[disk-setup]\n[post-installation-webhook]\n[first-boot]\n"


def alone(section: str, *lines: str) -> str:
    """A file of the sections with only these lines in one of them."""
    body = "".join(f"{line}\n" for line in lines)
    if section == "disk-setup.zfs":
        return EMPTY + f"[{section}]\n{body}"
    return EMPTY.replace(f"[{section}]\n", f"[{section}]\n{body}")


@pytest.mark.parametrize(("section", "key"), ALIASES)
def test_a_wrong_value_is_named_as_the_file_spells_its_key(section: str, key: str) -> None:
    snake = key.replace("-", "_")
    text = alone(section, f"{snake} = {{}}")
    assert [
        (problem.line, problem.key)
        for problem in problems(text)
        if "not a table" in problem.sentence
    ] == [(line_of(text, snake), f"{section}.{snake}")]


@pytest.mark.parametrize(("section", "key"), ALIASES)
@pytest.mark.parametrize("is_snake_first", [True, False])
def test_both_spellings_of_a_key_are_one_too_many(
    section: str, key: str, is_snake_first: bool
) -> None:
    keys = sorted([key, key.replace("-", "_")], reverse=is_snake_first)
    text = alone(section, *(f"{spelled} = {{}}" for spelled in keys))
    assert [
        (problem.line, problem.key) for problem in problems(text) if "twice" in problem.sentence
    ] == [(line_of(text, f"{keys[1]} ="), f"{section}.{keys[1]}")]


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("disk-setup", "filter_match_all = 1"),
        ("network", "interface_name_pinning = {}"),
        ("global", "ro_ot_password = 1"),
    ],
)
def test_other_keys_never_had_another_spelling(section: str, line: str) -> None:
    text = alone(section, line)
    unknown = [problem for problem in problems(text) if "knows no" in problem.sentence]
    assert [problem.line for problem in unknown] == [line_of(text, line)]


def test_all_problems_are_named_in_the_order_of_the_file() -> None:
    text = PLAIN.replace('"at"', '"xx"').replace('"de"', "7").replace('["sda"]', "[]")
    text += "#: priority = 0.5\n"
    assert [(problem.line, problem.key) for problem in problems(text)] == [
        (2, "global.country"),
        (4, "global.keyboard"),
        (line_of(text, "[disk-setup]"), "disk-setup"),
        (line_of(text, "#:"), "priority"),
    ]


def test_the_error_itself_is_one_sentence_with_key_and_line() -> None:
    with pytest.raises(AnswerFileError) as caught:
        read_answer_file(PLAIN.replace('"at"', '"xx"').replace('"de"', "7"))
    assert str(caught.value).startswith("line 2, global.country: 'xx' is no country code")
    assert str(caught.value).endswith("(and 1 more)")


PIECES = st.sampled_from(
    [
        *PLAIN.splitlines(keepends=True),
        *("[", "]", "{", "}", '"', "'", '"""', "'''", "\\", "\n", "\r", "#: ", "=", ".", ",", " "),
        *("a", "a = 1\n", '"a.b" = 1\n', "'' = 1\n", "#: id = 3\n", "[[a]]\n", "\x00", "\ud800"),
        *("a.b.c.d.e.f.g.h = 1\n", "x = {a = [1, {b = 2}]}\n", 'x = """\n#: a\n"""\n', "1e9"),
    ]
)


@settings(max_examples=300)
@given(st.lists(PIECES, max_size=30).map("".join))
def test_whatever_the_text_it_is_read_or_refused(text: str) -> None:
    with suppress(AnswerFileError):
        read_answer_file(text)


# --- Lines -------------------------------------------------------------------------------------

KEYS = st.text("ab-_ é\"'#=[]\\", max_size=4)
SIMPLE = (
    st.integers()
    | st.booleans()
    | st.sampled_from(["''", '""', "'[#'", '"]\\"#"', "'''\n#: [\n'''", '"""a""""', "1979-05-27"])
)
LISTS = st.recursive(
    SIMPLE.map(lambda value: value if isinstance(value, str) else str(value).lower()),
    lambda inner: st.lists(inner, max_size=3).map(
        lambda values: "[ # ]\n" + ",\n".join(values) + "\n]"
    ),
    max_leaves=4,
)


def quoted(key: str) -> str:
    return '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(st.dictionaries(KEYS, st.dictionaries(KEYS, LISTS, max_size=4), max_size=4))
def test_the_line_of_a_key_is_the_line_where_it_is_written(tables: dict[str, Any]) -> None:
    text = ""
    expected: dict[str, int] = {}
    for name, table in tables.items():
        text += f"[ {quoted(name)} ] # [x]\n"
        for key, value in table.items():
            expected.setdefault(f"{name}.{key}", text.count("\n") + 1)
            text += f"{quoted(key)} = {value}\n"
    tomllib.loads(text)
    source = Source(text)
    assert {path: source.line(path) for path in expected} == expected


@pytest.mark.parametrize(
    ("path", "line"),
    [
        *[("a", 1), ("a.x", 1), ("a.b", 2), ("a.b.c", 2), ("a.b.c.d", 2), ("a.b.x.y", 2)],
        *[("q", 4), ("q.r", 5), ("q.r.s", 5), ("q.t", 8), ("q.t.u", 8), ("z", None), ("z.a", None)],
    ],
)
def test_a_key_that_is_not_there_has_the_line_of_what_it_would_be_in(
    path: str, line: int | None
) -> None:
    text = "[a]\nb . 'c' = 1\n\n[[q]]\nr.s=[\n1,\n]\n \"t\" = {u = 1}"
    tomllib.loads(text)
    assert Source(text).line(path) == line


# --- Writing -----------------------------------------------------------------------------------

FULL_CONFIG = stored(
    PLAIN_CONFIG
    | {
        "id": "all of it",
        "authorized-tokens": ["rack-1"],
        "target-filter": {"/dmi/system/serial": 'a"b*'},
        "priority": -3,
        "template-counters": {"nr": 7},
        "template-variables": {"rack": "é ' \" \\"},
        "sticky-counters": False,
        "post-hook-base-url": "https://ps",
        "post-hook-cert-fp": FINGERPRINT,
        "post-hook-deadline-minutes": 5,
        "cidr": "10.0.0.1/24",
        "netdev-filter": {"ID_PATH": "*"},
        "disk-filter": {"ID_MODEL": "*"},
        "netif-name-mapping": {"x": "y"},
        "dhcp-fqdn-domain": "lan",
    }
)


def test_the_installer_reads_what_is_written() -> None:
    text = write_answer_file(FULL_CONFIG, password_hash=HASH)
    answer = tomllib.loads(text)
    assert rules.check_answer(answer) == []
    assert answer["global"]["root-password-hashed"] == HASH
    assert answer["network"] == {"source": "from-dhcp"}
    assert answer["disk-setup"] == {"filesystem": "ext4", "disk-list": ["sda"]}
    assert set(answer) == {"global", "network", "disk-setup"}


def test_what_the_installer_has_no_key_for_is_in_comments() -> None:
    text = write_answer_file(FULL_CONFIG, password_hash=HASH)
    extra = tomllib.loads("".join(line[2:] + "\n" for line in text.split("\n") if line[:2] == "#:"))
    assert extra == {key: value for key, value in FULL_CONFIG.items() if key in extra}
    assert set(extra) == {
        *("id", "authorized-tokens", "target-filter", "priority", "template-counters"),
        *("template-variables", "sticky-counters", "post-hook-base-url", "post-hook-cert-fp"),
        *("post-hook-deadline-minutes", "cidr", "netdev-filter", "disk-filter"),
        *("netif-name-mapping", "dhcp-fqdn-domain"),
    }
    assert extra.keys() <= EXTRA_FIELDS


def test_a_hash_is_written_and_read_as_the_secret() -> None:
    text = write_answer_file(FULL_CONFIG, password_hash=HASH)
    assert read_answer_file(text).secrets == {"root-password-hashed": HASH}


def test_without_a_hash_a_comment_says_so() -> None:
    first = write_answer_file(FULL_CONFIG).split("\n")[0]
    assert first.startswith("# The password is not exported")


def test_a_config_that_was_imported_can_be_written_at_once() -> None:
    config = read_answer_file(PLAIN).config
    assert read_answer_file(write_answer_file(config)).config == {
        **config,
        "reboot-on-error": False,
        "reboot-mode": "reboot",
    }


def test_errors_in_our_comments_have_the_line_of_the_written_file() -> None:
    text = write_answer_file(FULL_CONFIG).replace("nr = 7", "nr = -7")
    (problem,) = problems(text)
    assert (problem.line, problem.key) == (line_of(text, "nr = -7"), "template-counters.nr")


# --- The round trip ----------------------------------------------------------------------------

NO_CONTROL = st.characters(exclude_categories=["Cc", "Cs"])
TEXT = st.text(NO_CONTROL, max_size=12)
NAME = st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_]{0,8}\Z")
LABEL = st.from_regex(r"\A[a-z][a-z0-9]{0,6}\Z")
TEMPLATE = st.sampled_from(["{{ nr }}", "{% if a %}b{% endif %}", "{{ '%03d'|format(nr) }}"])
FQDN = st.builds("{}.{}".format, LABEL, LABEL) | st.builds("{}.lan".format, TEMPLATE)
ADDRESS = st.ip_addresses().map(str).filter(lambda text: "%" not in text)
CIDR = ADDRESS.map("{}/24".format) | TEMPLATE
GLOBS = st.dictionaries(
    st.from_regex(r"\A[A-Z_]{1,8}\Z"),
    st.sampled_from(["*", "enp*", "a?c", "[!a]b", "é*", 'it\'s "x"']),
    min_size=1,
    max_size=3,
)
SIZE = st.floats(2, 2**20)
MACS = st.from_regex(r"\A[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z")
FEWEST = {"RAID0": 1, "RAID1": 2, "RAID10": 4, "RAIDZ-1": 3, "RAIDZ-2": 4, "RAIDZ-3": 5}
DISK_NAMES = ["sda", "vdb", "nvme0n1", "nvme1n1", "xvdc", "hda"]
Draw = Callable[[st.SearchStrategy[Any]], Any]


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Any of these fields, or none."""
    return st.fixed_dictionaries({}, optional={kebab(key): value for key, value in fields.items()})


LVM = some(hdsize=SIZE, maxroot=SIZE, maxvz=st.floats(0, 9), minfree=st.just(0.0))
ZFS = some(
    ashift=st.integers(9, 16),
    arc_max=st.integers(64, 2**40),
    checksum=st.sampled_from(["on", "fletcher4", "sha256"]),
    compress=st.sampled_from(["on", "off", "zstd"]),
    copies=st.integers(1, 3),
    hdsize=SIZE,
)
BTRFS = some(compress=st.sampled_from(["on", "off", "zlib"]), hdsize=SIZE)
ANYWAY = some(
    authorized_tokens=st.lists(st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9._-]{2,9}\Z"), max_size=3),
    is_default=st.booleans(),
    target_filter=st.dictionaries(TEXT, TEXT),
    reboot_on_error=st.booleans(),
    reboot_mode=st.sampled_from(["reboot", "power-off"]),
    root_ssh_keys=st.lists(TEXT, max_size=3),
    subscription_key=st.sampled_from(["pve1c-0123456789", "pbsb-abcdef0123"]),
    post_hook_base_url=st.sampled_from(["https://ps:8443", "http://[::1]/x/"]),
    post_hook_cert_fp=st.just(FINGERPRINT.upper()),
    template_counters=st.dictionaries(NAME, st.integers(0, 2**31 - 1), max_size=3),
    template_variables=st.dictionaries(NAME, TEXT, max_size=3),
    priority=st.integers(-1_000_000, 1_000_000),
    sticky_counters=st.booleans(),
    post_hook_deadline_minutes=st.integers(1, 1000),
    disk_filter_match=st.sampled_from(["any", "all"]),
)
FIRST_BOOT = st.fixed_dictionaries(
    {"source": st.just("from-iso")}, optional={"cert-fingerprint": st.just(FINGERPRINT)}
) | st.fixed_dictionaries(
    {"source": st.just("from-url"), "url": st.just("https://files.example.com/x?y=1")},
    optional={"ordering": st.sampled_from(["before-network", "network-online", "fully-up"])},
)


def a_name(draw: Draw) -> dict[str, Any]:
    if draw(st.booleans()):
        return {
            "use-dhcp-fqdn": True,
            **draw(some(fqdn=TEXT, dhcp_fqdn_domain=LABEL | st.just(""))),
        }
    return {"fqdn": draw(FQDN), **draw(some(dhcp_fqdn_domain=TEXT))}


def a_network(draw: Draw) -> dict[str, Any]:
    names = st.dictionaries(MACS, LABEL.map("n{}".format), max_size=3).filter(
        lambda mapping: len(set(mapping.values())) == len(mapping)
    )
    pinning: dict[str, Any] = draw(
        some(netif_name_pinning_enabled=st.just(True), netif_name_mapping=names)
    )
    if draw(st.booleans()):
        ignored = some(cidr=TEXT, dns=TEXT, gateway=TEXT, netdev_filter=GLOBS)
        return {"use-dhcp-network": True, **pinning, **draw(ignored)}
    address = ADDRESS | TEMPLATE
    return pinning | {
        "use-dhcp-network": False,
        "cidr": draw(CIDR),
        "dns": draw(address),
        "gateway": draw(address),
        "netdev-filter": draw(GLOBS),
    }


def some_disks(draw: Draw) -> dict[str, Any]:
    name = draw(st.sampled_from(["ext4", "xfs", "zfs", "btrfs"]))
    filesystem = {"filesystem": name, **draw({"zfs": ZFS, "btrfs": BTRFS}.get(name, LVM))}
    fewest = 1
    if name in ("zfs", "btrfs"):
        levels = list(FEWEST) if name == "zfs" else ["RAID0", "RAID1", "RAID10"]
        filesystem["raid"] = draw(st.sampled_from(levels))
        fewest = FEWEST[filesystem["raid"]]
    ignored: dict[str, Any] = draw(some(disk_filter=GLOBS, disk_list=st.just(["sda", "sda"])))
    if draw(st.booleans()):
        chosen = {"disk-mode": "filter", "disk-filter": draw(GLOBS)}
        return ignored | chosen | {"filesystem": filesystem}
    names = draw(st.permutations(DISK_NAMES))[:fewest]
    return ignored | {"filesystem": filesystem, "disk-mode": "fixed", "disk-list": names}


@st.composite
def configs(draw: Draw) -> dict[str, Any]:
    config = {
        "id": draw(st.text(NO_CONTROL, min_size=3, max_size=10)),
        "country": draw(st.sampled_from(sorted(rules.COUNTRIES))),
        "keyboard": draw(st.sampled_from(KEYBOARDS)),
        "mailto": draw(st.just("ops@example.com") | TEMPLATE),
        "timezone": draw(st.sampled_from(sorted(rules.TIME_ZONES))),
        **a_name(draw),
        **a_network(draw),
        **some_disks(draw),
        **draw(ANYWAY),
        **draw(some(first_boot=FIRST_BOOT)),
    }
    return stored(config)


@settings(max_examples=300, deadline=None)
@given(configs(), st.none() | st.just(HASH))
def test_a_config_that_is_written_and_read_again_is_the_same(
    config: dict[str, Any], password_hash: str | None
) -> None:
    text = write_answer_file(config, password_hash=password_hash)
    assert stored(read_answer_file(text).config) == config


@settings(max_examples=100, deadline=None)
@given(configs())
def test_what_is_written_breaks_no_rule_of_the_installer(config: dict[str, Any]) -> None:
    answer = tomllib.loads(write_answer_file(config, password_hash=HASH))
    templated = frozenset(
        f"{section}.{key}"
        for section, table in answer.items()
        for key, value in table.items()
        if isinstance(value, str) and ("{{" in value or "{%" in value)
    )
    assert rules.check_answer(answer, templated=templated) == []
