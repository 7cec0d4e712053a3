"""What README.md and docs/ci.md show, done."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from tests.clients.shell import PROGRAM, Run
from tests.clients.test_github_action import DEFINITION
from tests.live.harness import PASSWORD, LiveServer

ROOT = Path(__file__).parents[2]


def blocks(file: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / file).read_text(), re.DOTALL)


def test_the_readme_runs_an_operation_that_fails_with_the_sentence_of_the_cli(
    bundled: LiveServer,
) -> None:
    [block] = [text for text in blocks("README.md", "sh") if "clients/provisioning.sh" in text]
    script = (
        block.replace("http://127.0.0.1:8083", bundled.url(""))
        .replace("PROVISIONING_USER=ci", "PROVISIONING_USER=admin")
        .replace("its password", PASSWORD)
    )
    ended = Run(["sh", "-c", script], {"PATH": bundled.environment["PATH"]}, ROOT).end()
    assert ended.code not in (0, 64, 65, 69, 74, 77)
    assert "failed (exit): " in ended.err
    assert "upcloud" in ended.err.splitlines()[-1]


def test_the_example_of_the_action_gives_inputs_and_reads_outputs_that_there_are() -> None:
    [job] = [
        document["jobs"]["deploy"]
        for document in map(yaml.safe_load, blocks("docs/ci.md", "yaml"))
        if "jobs" in document
    ]
    [step] = [step for step in job["steps"] if "with" in step]
    assert (ROOT / step["uses"] / "action.yml").exists()
    required = {name for name, known in DEFINITION["inputs"].items() if known.get("required")}
    assert required <= step["with"].keys() <= DEFINITION["inputs"].keys()
    read = re.findall(r"steps\.web\.outputs\.([a-z-]+)", str(job))
    assert read
    assert set(read) <= DEFINITION["outputs"].keys()


def test_the_help_names_every_variable_that_the_program_reads() -> None:
    usage, _, program = PROGRAM.read_text().partition("\n}\n")
    known = set(re.findall(r"PROVISIONING_[A-Z_]+", usage))
    files = {"PROVISIONING_TOKEN_FILE", "PROVISIONING_PASSWORD_FILE"}  # named by their ends
    made_by_the_action = {"PROVISIONING_JOB_INDEX"}
    assert (
        set(re.findall(r"\{(PROVISIONING_[A-Z_]+)", program)) == known | files | made_by_the_action
    )


def test_every_exit_code_of_the_program_is_in_its_help_and_in_the_documentation() -> None:
    text = PROGRAM.read_text()
    usage, _, program = text.partition("\n}\n")
    codes = set(re.findall(r"\b(?:die|exit) (\d+)", program))
    assert {"64", "65", "69", "74", "77", "124", "125", "129", "130"} <= codes
    table = (ROOT / "docs" / "ci.md").read_text()
    for code in codes:
        assert re.search(rf"\b{code}\b", usage.partition("Exit codes")[2])
        assert f"| {code} |" in table
