"""Bad input: one sentence with field, value and rule, and nothing changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .harness import Cli

PLAN = ("--plan", "p")


@pytest.mark.parametrize(
    "hostname",
    [
        *("Web", "web_01", "-", "a-", "a..b", "a.", ".a", "a/b", "../x", "a b", "a\nb", "wéb", ""),
        *("a" * 64, "a." * 130 + "a", "10.0.0.1", "123", "web-01\n"),
    ],
)
def test_a_host_name_that_is_none_is_refused(tmp_path: Path, hostname: str) -> None:
    cli = Cli(tmp_path)
    ended = cli.run("server", "create", hostname, *PLAN)
    assert ended.exit_code == 2
    assert ended.error.startswith("hostname is ")
    assert "(RFC 1123)" in ended.error
    assert not cli.root.exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--plan", "a b"], "plan is 'a b', but must be 1 to 63 letters, digits,"),
        (["--plan", ""], "plan is '', but must be 1 to 63 letters, digits,"),
        ([*PLAN, "--zone", "../z"], "zone is '../z', but must be"),
        ([*PLAN, "--tags", "ok,a b"], "tags is 'a b', but must be"),
        ([*PLAN, "--port", "0"], "port is 0, but must be a whole number from 1 to 65535."),
        ([*PLAN, "--port", "65536"], "port is 65536, but must be"),
        ([*PLAN, "--port", "ssh"], "port is 'ssh', but must be"),
        ([*PLAN, "--port", "9" * 5000], "port is '9999"),
        ([*PLAN, "--port", "٣"], "port is '\\u0663', but must be"),
        ([*PLAN, "--port", "²"], "port is '\\xb2', but must be"),
        ([*PLAN, "--address", "999.1.1.1"], "address is '999.1.1.1', but must be the IP address"),
        ([*PLAN, "--address", "::"], "address is '::', but must be"),
        ([*PLAN, "--address", "ff02::1"], "address is 'ff02::1', but must be"),
        ([*PLAN, "--address", "fe80::1%a b"], "address is 'fe80::1%a b', but must be"),
        ([*PLAN, "--address", "root@host"], "address is 'root@host', but must be"),
        ([*PLAN, "--infra", "../x"], "infra is '../x', but must be"),
        ([*PLAN, "--infra", ""], "infra is '', but must be"),
        ([*PLAN, "--infra", ".."], "infra is '..', but must be"),
        ([*PLAN, "--infra", "a/b"], "infra is 'a/b', but must be"),
        ([*PLAN, "--infra", "a" * 64], "infra is 'aaa"),
        ([*PLAN, "--colour", "red"], "Unrecognized arguments: --colour red (see "),
        ([*PLAN, "--zo", "z"], "Unrecognized arguments: --zo z (see "),
        (["--plan", "-x"], "Argument --plan: expected one argument (see "),
        ([*PLAN, "--out", "yaml"], "Argument --out: invalid choice: 'yaml'"),
        ([], "plan is missing."),
    ],
)
def test_a_bad_option_is_refused_in_one_sentence(
    tmp_path: Path, words: list[str], sentence: str
) -> None:
    cli = Cli(tmp_path)
    ended = cli.run("server", "create", "web-01", *words)
    assert ended.exit_code == 2
    assert ended.error.startswith(sentence)
    assert len(ended.error) < 500
    assert not cli.root.exists()


@pytest.mark.parametrize("noun", ["taskserv", "cluster"])
@pytest.mark.parametrize("verb", ["create", "delete", "status"])
@pytest.mark.parametrize("name", ["../x", "..", ".hidden", "a/b", "a" * 64, "a\n", "a b", ""])
def test_a_name_that_could_leave_the_workspace_is_refused(
    tmp_path: Path, noun: str, verb: str, name: str
) -> None:
    cli = Cli(tmp_path)
    ended = cli.run(noun, verb, name)
    assert ended.exit_code == 2
    assert ended.error.startswith("name is ")
    assert not cli.root.exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "settings '-' is not valid JSON in UTF-8."),
        ("{", "settings '-' is not valid JSON in UTF-8."),
        ('{"a": NaN}', "settings '-' is not valid JSON in UTF-8."),
        ("[" * 100_000, "settings '-' is not valid JSON in UTF-8."),
        ('["s3cr3t"]', "settings '-' must hold one JSON object, such as {}."),
        ('"s3cr3t"', "settings '-' must hold one JSON object, such as {}."),
        (
            json.dumps({"s3cr3t": "x" * 100_000}),
            "settings has 100014 bytes, but at most 100000 can be passed.",
        ),
    ],
)
def test_bad_settings_are_refused_without_repeating_them(
    tmp_path: Path, content: str, sentence: str
) -> None:
    cli = Cli(tmp_path)
    cli.write("taskservs/cache/install.sh", "#!/bin/sh\n")
    ended = cli.run("taskserv", "create", "cache", "--settings", "-", stdin=content)
    assert ended.exit_code == 2
    assert ended.error == sentence
    assert "s3cr3t" not in ended.stdout + ended.stderr
    assert cli.tree().keys() == {"production/taskservs/cache/install.sh"}


def test_settings_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    ended = cli.run("taskserv", "create", "cache", "--settings", "none.json")
    assert ended.exit_code == 2
    assert ended.error == "settings 'none.json' cannot be read: No such file or directory."


@pytest.mark.parametrize("words", [[], ["server"], ["bake"], ["server", "bake"], ["--out"]])
def test_no_command_is_a_usage_error_with_one_sentence(tmp_path: Path, words: list[str]) -> None:
    ended = Cli(tmp_path).run(*words)
    assert ended.exit_code == 2
    assert ended.error


def test_no_workspace_is_a_usage_error_that_names_both_ways(tmp_path: Path) -> None:
    ended = Cli(tmp_path).run("server", "list", PROVISIONING_WORKSPACE="")
    assert ended.exit_code == 2
    assert ended.error == (
        "No workspace is named: give --infra NAME or set PROVISIONING_WORKSPACE."
    )


def test_bytes_that_are_no_utf8_are_refused_too(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    ended = cli.run("server", "create", "w\udcff", *PLAN)
    assert ended.exit_code == 2
    assert ended.error.startswith("hostname is 'w\\udcff'")
