"""--check: everything is looked at, nothing is changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .harness import Cli

BATCH = json.dumps({"steps": [{"id": "a", "kind": "server_create", "params": {"plan": "p"}}]})


def prepared(tmp_path: Path) -> Cli:
    """Server web-01 and an installed taskserv and cluster `cache`; `fresh` is not installed."""
    cli = Cli(tmp_path)
    cli.create_server("web-01")
    for noun in ("taskserv", "cluster"):
        for name in ("cache", "fresh"):
            for verb in ("install", "uninstall"):
                cli.write(f"{noun}s/{name}/{verb}.sh", "#!/bin/sh\necho x >> ../../ran\n")
        assert cli.run(noun, "create", "cache").exit_code == 0
    (tmp_path / "batch.json").write_text(BATCH)
    return cli


@pytest.mark.parametrize(
    "words",
    [
        "server create web-02 --plan p",
        "server create --plan p",
        "server delete web-01",
        "taskserv create fresh --server web-01",
        "taskserv delete cache",
        "cluster create fresh",
        "cluster delete cache",
        "batch submit batch.json",
    ],
)
def test_a_check_succeeds_says_what_it_would_do_and_changes_nothing(
    tmp_path: Path, words: str
) -> None:
    cli = prepared(tmp_path)
    before = cli.tree()
    ended = cli.run(*words.split(), "--infra", "production", "--check")
    assert ended.exit_code == 0, ended.stderr
    assert ended.result["status"] == "checked"
    assert ended.result["message"].startswith("would ")
    assert ended.result["message"] in ended.stderr
    assert cli.tree() == before


@pytest.mark.parametrize(
    ("words", "exit_code"),
    [
        ("server create web-01 --plan p", 4),
        ("server create Web_01 --plan p", 2),
        ("server delete web-09", 3),
        ("taskserv create cache", 4),
        ("taskserv create none", 3),
        ("taskserv create fresh --server web-09", 3),
        ("cluster delete fresh", 3),
    ],
)
def test_a_check_fails_as_the_real_run_would(tmp_path: Path, words: str, exit_code: int) -> None:
    cli = prepared(tmp_path)
    before = cli.tree()
    checked = cli.run(*words.split(), "--check")
    real = cli.run(*words.split())
    assert checked.exit_code == real.exit_code == exit_code
    assert checked.error == real.error
    assert cli.tree() == before


def test_a_check_in_an_unused_workspace_does_not_make_it(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    ended = cli.run("server", "create", "web-01", "--plan", "p", "--check")
    assert (ended.result["hostname"], ended.result["id"]) == ("web-01", None)
    assert not cli.root.exists()


def test_a_batch_file_can_ask_for_the_check_itself(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    document = {**json.loads(BATCH), "check_mode": True}
    ended = cli.run("batch", "submit", "-", stdin=json.dumps(document))
    assert ended.result["status"] == "checked"
    assert not cli.root.exists()
