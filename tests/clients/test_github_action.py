"""The composite action: what its `action.yml` says, run as a GitHub runner would run it."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.clients.shell import Client, Run, body_of, last_operation, log_of
from tests.live.harness import PASSWORD, LiveServer
from tests.processes import processes_of, read_journal, wait_until

ACTION = Path(__file__).parents[2] / "clients" / "github-action"
DEFINITION: dict[str, Any] = yaml.safe_load((ACTION / "action.yml").read_text())
[STEP] = DEFINITION["runs"]["steps"]
EXPRESSION = re.compile(r"\$\{\{ *([a-z._-]+) *\}\}")


class Runner:
    """Evaluates the expressions of the action and runs its one step, as a runner does: its shell with
    the flags that GitHub documents, signals to that shell only."""

    def __init__(self, server: LiveServer, root: Path) -> None:
        self.client = Client(server, root)
        self.root = root
        self.output = root / "output"
        self.output.touch()
        self.context = {"strategy.job-index": "0"}

    def start(self, **given: str) -> Run:
        inputs = {name.replace("_", "-"): value for name, value in given.items()}
        inputs = {
            "url": self.client.server.url(""),
            "user": "admin",
            "password": PASSWORD,
            **inputs,
        }
        assert inputs.keys() <= DEFINITION["inputs"].keys()
        for name, known in DEFINITION["inputs"].items():
            assert name in inputs or "default" in known, f"{name} is required"
            self.context[f"inputs.{name}"] = inputs.get(name, known.get("default", ""))
        script = self.root / "step.sh"
        script.write_text(STEP["run"])
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)]
        environment = {
            "PATH": self.client.environment["PATH"],
            "HOME": str(self.root),
            "TMPDIR": str(self.client.temporary),
            "RUNNER_TEMP": str(self.client.temporary),
            "GITHUB_ACTION_PATH": str(ACTION),
            "GITHUB_OUTPUT": str(self.output),
            "GITHUB_RUN_ID": "1",
            "GITHUB_ACTION": self.root.name,
            **{name: self.evaluated(text) for name, text in STEP["env"].items()},
        }
        return Run(command, environment, self.root)

    def evaluated(self, text: str) -> str:
        return EXPRESSION.sub(lambda found: self.context[found[1]], text)

    def outputs(self) -> dict[str, str]:
        """As the workflow that uses the action sees them."""
        for line in self.output.read_text().splitlines():
            name, _, value = line.partition("=")
            self.context[f"steps.{STEP['id']}.outputs.{name}"] = value
        return {
            name: EXPRESSION.sub(lambda found: self.context.get(found[1], ""), known["value"])
            for name, known in DEFINITION["outputs"].items()
        }


@pytest.fixture
def runner(server: LiveServer, tmp_path: Path) -> Runner:
    return Runner(server, tmp_path)


def test_a_completed_operation_has_its_outputs(runner: Runner) -> None:
    ended = runner.start(command="servers create", body=body_of("ok-action")).end()
    operation = last_operation(runner.client.server)
    assert ended.code == 0, ended.err
    outputs = runner.outputs()
    assert json.loads(outputs.pop("operation")) == operation
    assert outputs == {"operation-id": operation["id"], "status": "completed", "exit-code": "0"}
    assert list(runner.client.temporary.iterdir()) == []


def test_a_failed_operation_fails_the_step_with_its_exit_code(runner: Runner) -> None:
    ended = runner.start(command="servers create", body=body_of("fail-7-action")).end()
    assert ended.code == 7
    outputs = runner.outputs()
    assert (outputs["status"], outputs["exit-code"]) == ("failed", "7")
    assert json.loads(outputs["operation"])["reason"] == "exit"
    assert "the cloud refused fail-7-action" in ended.err


def test_the_log_stands_between_marks_so_that_none_of_it_is_a_command(runner: Runner) -> None:
    ended = runner.start(command="servers create", body=body_of("ok-marks")).end()
    first, *log, last = ended.out.splitlines(keepends=True)
    begin = re.fullmatch(rb"::stop-commands::([0-9a-f]{32})\n", first)
    assert begin
    assert last == b"::%s::\n" % begin[1]
    operation = last_operation(runner.client.server)
    assert b"".join(log) == log_of(runner.client.server, operation["id"], "stdout")


@pytest.mark.parametrize("signals", [[signal.SIGINT, signal.SIGTERM], [signal.SIGTERM]])
def test_a_cancelled_job_cancels_the_operation(
    runner: Runner, signals: list[signal.Signals]
) -> None:
    name = f"polite-action-{len(signals)}"
    started = runner.start(command="servers create", body=body_of(name))

    def operation() -> str:
        lines = [line for line in read_journal(runner.client.server.journal) if line.name == name]
        return lines[-1].operation if lines else ""

    running = wait_until(operation, "the CLI runs")
    for number in signals:
        started.process.send_signal(number)
    ended = started.end()
    assert ended.code == 130, ended.err
    assert runner.outputs()["status"] == "cancelled"
    assert processes_of(running) == set()


def test_the_body_may_be_a_file_and_is_never_code(runner: Runner) -> None:
    (runner.root / "body.json").write_text(body_of("ok-file"))
    assert runner.start(command="servers create", body="@body.json").end().code == 0
    ended = runner.start(command="servers create", body='$(touch broken) `touch broken` "').end()
    assert ended.code == 65
    assert not (runner.root / "broken").exists()


def test_a_command_without_a_body_names_an_id(runner: Runner) -> None:
    assert runner.start(command="servers create", body=body_of("again-2-action")).end().code == 3
    first = runner.outputs()["operation-id"]
    ended = runner.start(command=f"rerun {first}").end()
    assert ended.code == 0, ended.err
    assert last_operation(runner.client.server)["rerun_of"] == first


def test_the_same_step_of_the_same_attempt_launches_once_and_each_job_of_a_matrix_its_own(
    runner: Runner,
) -> None:
    for index in ("0", "0", "1"):
        runner.context["strategy.job-index"] = index
        assert runner.start(command="servers create", body=body_of("ok-matrix")).end().code == 0
    lines = read_journal(runner.client.server.journal)
    starts = [line for line in lines if line.word == "start" and line.name == "ok-matrix"]
    assert len(starts) == 2


def test_a_command_that_is_none_fails_the_step(runner: Runner) -> None:
    assert runner.start(command="servers create * ; true").end().code == 64
    assert runner.start(command="").end().code == 64


def test_no_expression_is_part_of_the_script() -> None:
    assert "${{" not in STEP["run"]
    assert set(EXPRESSION.findall(str(STEP["env"]))) >= {
        f"inputs.{name}" for name in DEFINITION["inputs"]
    }
    assert all(known["description"] for known in DEFINITION["inputs"].values())
