"""Files that somebody broke, and places that cannot be written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .harness import Cli

BROKEN = ["", "{", "[]", "null", "{}", '{"id": 1}', "\udcff", "[" * 100_000]


@pytest.mark.parametrize("content", BROKEN)
@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("servers/web-01.json", "server list"),
        ("servers/web-01.json", "server status web-01"),
        ("servers/web-01.json", "server delete web-01"),
        ("servers/web-01.json", "server create web-01 --plan p"),
        ("installed/taskservs/cache/_.json", "taskserv list"),
        ("installed/clusters/cache/_.json", "cluster delete cache"),
        ("batches/bat-1.json", "batch status bat-1"),
    ],
)
def test_a_corrupt_file_is_named_and_left_alone(
    tmp_path: Path, path: str, words: str, content: str
) -> None:
    cli = Cli(tmp_path)
    file = cli.write(path, "")
    file.write_bytes(content.encode("utf-8", "surrogateescape"))
    ended = cli.run(*words.split())
    assert ended.exit_code == 1
    assert ended.error.startswith(f"The file {file} is corrupt: ")
    assert file.read_bytes() == content.encode("utf-8", "surrogateescape")


def test_a_copied_file_does_not_pass_for_another_server(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.create_server("web-01")
    copy = cli.write("servers/web-02.json", (cli.directory / "servers/web-01.json").read_text())
    for words in (["status", "web-02"], ["list"]):
        ended = cli.run("server", *words)
        assert ended.exit_code == 1
        assert ended.error.startswith(f"The file {copy} is corrupt: its 'hostname' ")


def test_drafts_and_foreign_files_are_no_servers(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.create_server("web-01")
    cli.write("servers/.web-02.json.tmp", '{"half')
    cli.write("servers/.web-03.json", '{"half')
    cli.write("servers/notes.txt", "x")
    assert len(cli.run("server", "list").result) == 1


def test_a_file_in_the_place_of_the_workspace_is_one_sentence(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.root.mkdir()
    (cli.root / "production").write_text("")
    ended = cli.run("server", "create", "web-01", "--plan", "p")
    assert ended.exit_code == 1
    assert str(cli.directory) in ended.error


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    ended = Cli(tmp_path).run("server", "create", "web-01", "--plan", "p", "--root", "/proc/none")
    assert ended.exit_code == 1
    assert ended.error == "The file /proc/none cannot be used: No such file or directory."


def test_a_full_disk_is_one_sentence_and_no_half_file(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.create_server("web-01")
    # /dev/full fails every write with ENOSPC, like a disk without room.
    (cli.directory / "servers/.web-02.json.tmp").symlink_to("/dev/full")
    ended = cli.run("server", "create", "web-02", "--plan", "p")
    assert ended.exit_code == 1
    assert "No space left on device" in ended.error
    assert [s["hostname"] for s in cli.run("server", "list").result] == ["web-01"]
    assert cli.journal_events()[-1] == ("create server web-02", "ended", 1)


def test_a_torn_line_of_the_journal_does_not_spoil_the_next(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.write("journal.jsonl", '{"at": "2026')
    cli.create_server("web-01")
    lines = (cli.directory / "journal.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines[1:]] == ["started", "ended"]
