"""batch submit, status, list, cancel and rollback; workflow list and status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from .harness import Cli, Ended, finish, is_alive, wait_until

NOTE = '#!/bin/sh\necho "$TASKSERV_NAME" >> ../../order\n'
UNDO_NOTE = '#!/bin/sh\necho "undo $TASKSERV_NAME" >> ../../order\n'


def step(name: str, *depends_on: str, **more: Any) -> dict[str, Any]:
    """A step `name` that installs taskserv `name`."""
    params = {"name": name}
    return {
        "id": name,
        "kind": "taskserv_create",
        "params": params,
        "depends_on": list(depends_on),
        **more,
    }


def with_taskservs(tmp_path: Path, *names: str) -> Cli:
    """A CLI whose taskservs write down in the file `order` when they are (un)installed."""
    cli = Cli(tmp_path)
    for name in names:
        cli.write(f"taskservs/{name}/install.sh", NOTE)
        cli.write(f"taskservs/{name}/uninstall.sh", UNDO_NOTE)
    return cli


def submit(cli: Cli, *steps: dict[str, Any], **more: Any) -> Ended:
    document = {"workspace": "production", "name": "a batch", "steps": steps, **more}
    return cli.run("batch", "submit", "-", stdin=json.dumps(document))


def order(cli: Cli) -> list[str]:
    path = cli.directory / "order"
    return path.read_text().splitlines() if path.exists() else []


def only_batch(cli: Cli) -> Any:
    [batch] = cli.run("batch", "list", "--infra", "production").result
    return batch


def statuses(batch: Any) -> dict[str, str]:
    return {step["id"]: step["status"] for step in batch["steps"]}


def test_steps_run_in_the_order_of_their_dependencies(tmp_path: Path) -> None:
    cli = with_taskservs(tmp_path, "a", "b", "c", "d")
    ended = submit(cli, step("d", "b", "c"), step("c", "a"), step("b", "a"), step("a"))
    assert ended.exit_code == 0, ended.stderr
    assert order(cli) == ["a", "c", "b", "d"]
    batch = ended.result
    assert batch["id"].startswith("bat-")
    assert (batch["name"], batch["status"]) == ("a batch", "completed")
    assert set(statuses(batch).values()) == {"completed"}
    assert batch.keys() == {"id", "name", "status", "created_at", "finished_at", "steps"}
    step_keys = {"id", "kind", "status", "attempts", "exit_code", "error"}
    assert all(each.keys() == step_keys for each in batch["steps"])
    for noun in ("batch", "workflow"):
        assert cli.run(noun, "status", batch["id"]).result == batch
        assert cli.run(noun, "list").result == [batch]


def test_the_journal_tells_the_batch_and_each_of_its_steps(tmp_path: Path) -> None:
    cli = with_taskservs(tmp_path, "a")
    batch_id = submit(cli, step("a")).result["id"]
    assert cli.journal_events() == [
        (f"submit batch {batch_id}", "started", None),
        ("create taskserv a", "started", None),
        ("create taskserv a", "ended", 0),
        (f"submit batch {batch_id}", "ended", 0),
    ]


def test_the_words_of_the_other_spelling_are_accepted(tmp_path: Path) -> None:
    cli = with_taskservs(tmp_path, "a", "b")
    steps = [
        {"id": "b", "kind": "taskserv_create", "params": {"name": "b"}, "dependencies": ["a"]},
        {"id": "a", "kind": "taskserv_create", "params": {"name": "a"}},
    ]
    ended = cli.run("batch", "submit", "-", stdin=json.dumps({"operations": steps}))
    assert ended.exit_code == 0, ended.stderr
    assert order(cli) == ["a", "b"]


def test_a_toml_file_is_a_batch_too(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    (tmp_path / "batch.toml").write_text(
        '[[steps]]\nid = "a"\nkind = "server_create"\n[steps.params]\nplan = "p"\nport = 2200\n'
    )
    assert cli.run("batch", "submit", "batch.toml").exit_code == 0
    assert [s["port"] for s in cli.run("server", "list").result] == [2200]


def test_settings_of_a_step_reach_its_script_and_no_file_or_argv(tmp_path: Path) -> None:
    cli = with_taskservs(tmp_path, "a")
    look = '#!/bin/sh\nprintf %s "$TASKSERV_SETTINGS" > "$GIVEN"\ncat /proc/[0-9]*/cmdline > "$SEEN"; true\n'
    cli.write("taskservs/a/install.sh", look)
    given, seen = tmp_path / "given", tmp_path / "seen"
    cli.environment.update(GIVEN=str(given), SEEN=str(seen))
    submit(cli, step("a", params={"name": "a", "settings": {"password": "s3cr3t"}}))
    assert json.loads(given.read_text()) == {"password": "s3cr3t"}
    assert b"s3cr3t" not in seen.read_bytes()
    assert not [name for name, content in cli.tree().items() if b"s3cr3t" in content]


def test_a_failed_step_fails_those_that_depend_on_it_and_no_others(tmp_path: Path) -> None:
    cli = with_taskservs(tmp_path, "a", "b", "c", "other")
    cli.write("taskservs/a/install.sh", "#!/bin/sh\nexit 9\n")
    ended = submit(cli, step("a"), step("b", "a"), step("c", "b"), step("other"))
    batch = only_batch(cli)
    assert ended.exit_code == 9
    assert ended.error == (
        f"Batch {batch['id']} failed at step 'a' (taskserv_create):"
        " a/install.sh failed with exit code 9."
    )
    assert order(cli) == ["other"]
    assert batch["status"] == "failed"
    assert statuses(batch) == {"a": "failed", "b": "failed", "c": "failed", "other": "completed"}
    assert batch["steps"][1]["error"] == "It depends on step 'a', which failed."


def test_a_step_that_may_fail_lets_the_batch_continue(tmp_path: Path) -> None:
    cli = with_taskservs(tmp_path, "a", "b")
    cli.write("taskservs/a/install.sh", "#!/bin/sh\nexit 9\n")
    ended = submit(cli, step("a", on_failure="continue"), step("b", "a"))
    assert (ended.exit_code, ended.result["status"]) == (0, "completed")
    assert statuses(ended.result) == {"a": "failed", "b": "completed"}


def test_a_step_can_ask_that_its_failure_rolls_the_batch_back(tmp_path: Path) -> None:
    cli = with_taskservs(tmp_path, "a", "b", "bad", "never")
    cli.write("taskservs/bad/install.sh", "#!/bin/sh\nexit 5\n")
    server = {"id": "host", "kind": "server_create", "params": {"plan": "p"}}
    bad = step("bad", "b", on_failure="rollback")
    ended = submit(cli, server, step("a", "host"), step("b", "a"), bad, step("never", "bad"))
    assert ended.exit_code == 5
    assert order(cli) == ["a", "b", "undo b", "undo a"]
    assert cli.run("server", "list").result == []
    batch = only_batch(cli)
    assert batch["status"] == "rolled_back"
    assert statuses(batch) == {
        "host": "rolled_back",
        "a": "rolled_back",
        "b": "rolled_back",
        "bad": "failed",
        "never": "cancelled",
    }


def test_rollback_takes_back_completed_steps_the_last_one_first(tmp_path: Path) -> None:
    cli = with_taskservs(tmp_path, "a", "b")
    batch_id = submit(cli, step("a"), step("b", "a")).result["id"]
    ended = cli.run("batch", "rollback", batch_id, "--infra", "production")
    assert ended.exit_code == 0, ended.stderr
    assert ended.result["status"] == "rolled_back"
    assert order(cli) == ["a", "b", "undo b", "undo a"]
    assert cli.run("taskserv", "list").result == []
    again = cli.run("batch", "rollback", batch_id)
    assert again.exit_code == 4
    assert again.error == f"Batch '{batch_id}' was rolled back already."


def test_a_rollback_never_touches_what_the_batch_did_not_make(tmp_path: Path) -> None:
    cli = with_taskservs(tmp_path, "a")
    assert cli.run("taskserv", "create", "a").exit_code == 0
    assert submit(cli, step("a")).exit_code == 4
    assert cli.run("batch", "rollback", only_batch(cli)["id"]).exit_code == 0
    assert [t["status"] for t in cli.run("taskserv", "list").result] == ["installed"]


def test_a_rollback_stops_at_the_first_failure_and_can_be_resumed(tmp_path: Path) -> None:
    cli = with_taskservs(tmp_path, "a", "b")
    batch_id = submit(cli, step("a"), step("b", "a")).result["id"]
    cli.write("taskservs/b/uninstall.sh", "#!/bin/sh\nexit 6\n")
    ended = cli.run("batch", "rollback", batch_id)
    assert ended.exit_code == 6
    assert ended.error.startswith("Step 'b' could not be taken back: ")
    assert statuses(only_batch(cli)) == {"a": "completed", "b": "completed"}
    assert only_batch(cli)["status"] == "rollback_failed"
    cli.write("taskservs/b/uninstall.sh", UNDO_NOTE)
    assert cli.run("batch", "rollback", batch_id).exit_code == 0
    assert order(cli)[2:] == ["undo b", "undo a"]


def test_what_was_removed_since_does_not_stop_a_rollback(tmp_path: Path) -> None:
    cli = with_taskservs(tmp_path, "a")
    batch_id = submit(cli, step("a")).result["id"]
    cli.run("taskserv", "delete", "a")
    assert cli.run("batch", "rollback", batch_id).result["status"] == "rolled_back"


def test_a_step_is_tried_as_often_as_it_may(tmp_path: Path) -> None:
    cli = with_taskservs(tmp_path, "a")
    cli.write("taskservs/a/install.sh", "#!/bin/sh\necho x >> tries\n[ $(wc -l < tries) = 3 ]\n")
    retry = {"max_attempts": 5, "delay_seconds": 0.2, "backoff": "exponential"}
    began = time.monotonic()
    ended = submit(cli, step("a", retry=retry))
    assert ended.exit_code == 0
    assert ended.result["steps"][0]["attempts"] == 3
    assert time.monotonic() - began >= 0.2 + 0.4


def test_a_step_that_runs_too_long_is_stopped_and_fails(tmp_path: Path) -> None:
    cli = with_taskservs(tmp_path, "a", "b")
    cli.write("taskservs/a/install.sh", "#!/bin/sh\necho $$ > pid\nexec sleep 60\n")
    ended = submit(cli, step("a", timeout_seconds=0.5, on_failure="continue"), step("b"))
    assert ended.exit_code == 0, ended.stderr
    late, other = ended.result["steps"]
    assert (late["status"], late["exit_code"]) == ("failed", 124)
    assert late["error"] == "It ran longer than 0.5 seconds and was stopped."
    assert other["status"] == "completed"
    assert not is_alive(int((cli.directory / "taskservs/a/pid").read_text()))


def running_batch(cli: Cli, script: str) -> tuple[subprocess.Popen[str], int]:
    """A batch whose step `slow`, after `a`, is running: its process and the pid of the script."""
    cli.write("taskservs/slow/install.sh", script)
    document = {"steps": [step("a"), step("slow", "a"), step("after", "slow")]}
    (cli.root.parent / "batch.json").write_text(json.dumps(document))
    process = cli.start("batch", "submit", "batch.json")
    pid_file = cli.directory / "taskservs/slow/pid"
    wait_until(pid_file.exists, "the slow step runs")
    return process, int(pid_file.read_text())


SLOW = "#!/bin/sh\necho $$ > pid.new; mv pid.new pid\nexec sleep 60\n"


def test_cancel_stops_a_running_batch_and_its_script(tmp_path: Path) -> None:
    cli = with_taskservs(tmp_path, "a", "after")
    process, script = running_batch(cli, SLOW)
    batch = only_batch(cli)
    assert statuses(batch) == {"a": "completed", "slow": "running", "after": "pending"}
    assert cli.run("batch", "rollback", batch["id"]).exit_code == 4
    ended = cli.run("batch", "cancel", batch["id"], "--infra", "production")
    assert ended.exit_code == 0, ended.stderr
    assert ended.result["status"] == "cancelled"
    assert statuses(ended.result) == {"a": "completed", "slow": "cancelled", "after": "cancelled"}
    assert finish(process).exit_code == 143
    assert not is_alive(script)
    assert order(cli) == ["a"]
    again = cli.run("batch", "cancel", batch["id"])
    assert again.exit_code == 4
    assert again.error == f"Batch '{batch['id']}' has ended already: cancelled."
    assert cli.run("batch", "rollback", batch["id"]).result["status"] == "rolled_back"
    assert order(cli) == ["a", "undo a"]


def test_checking_a_cancel_lets_the_batch_run(tmp_path: Path) -> None:
    cli = with_taskservs(tmp_path, "a", "after")
    process, script = running_batch(cli, SLOW)
    ended = cli.run("batch", "cancel", only_batch(cli)["id"], "--check")
    assert ended.result["status"] == "checked"
    assert is_alive(script)
    process.terminate()
    finish(process)


def test_a_batch_whose_process_was_killed_is_told_as_failed_and_can_be_rolled_back(
    tmp_path: Path,
) -> None:
    cli = with_taskservs(tmp_path, "a", "after")
    process, script = running_batch(cli, SLOW)
    process.kill()
    process.wait()
    os.kill(script, signal.SIGKILL)  # it outlives its killed parent
    finish(process)
    batch = only_batch(cli)
    assert batch["status"] == "failed"
    assert statuses(batch) == {"a": "completed", "slow": "failed", "after": "cancelled"}
    assert cli.run("batch", "cancel", batch["id"]).exit_code == 4
    assert cli.run("batch", "rollback", batch["id"]).exit_code == 0
    assert order(cli) == ["a", "undo a"]


@pytest.mark.parametrize("verb", ["status", "cancel", "rollback"])
def test_an_unknown_batch_is_not_found(tmp_path: Path, verb: str) -> None:
    ended = Cli(tmp_path).run("batch", verb, "bat-none")
    assert ended.exit_code == 3
    assert ended.error == "There is no batch 'bat-none' in workspace 'production'."


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({}, "steps is missing: a batch file lists its steps."),
        ({"steps": []}, "steps must be a list of at least one step."),
        ({"steps": [step("a")], "colour": 1}, "'colour' is not known here; known are workspace,"),
        ({"steps": [step("a"), step("a")]}, "The step id 'a' is given twice."),
        ({"steps": [step("a", "z")]}, "Step 'a' depends on 'z', which is no step."),
        (
            {"steps": [step("x"), step("a", "c"), step("b", "a"), step("c", "b")]},
            "These steps depend on each other in a cycle: a -> c -> b -> a.",
        ),
        ({"steps": [step("a", "a")]}, "These steps depend on each other in a cycle: a -> a."),
        ({"steps": [step("a", kind="server_list")]}, "In steps[0]: kind is 'server_list', but"),
        ({"steps": [step("../a")]}, "In steps[0]: id is '../a', but must be"),
        ({"steps": [step("a", params={})]}, "In steps[0]: name is missing."),
        ({"steps": [step("a", params={"name": 1})]}, "In steps[0]: name is 1, but must be"),
        ({"steps": [step("a", params=[])]}, "In steps[0]: params must be one JSON object"),
        ({"steps": [step("a", timeout_seconds=0)]}, "In steps[0]: timeout_seconds is 0, but"),
        ({"steps": [step("a", timeout_seconds=True)]}, "In steps[0]: timeout_seconds is True, but"),
        ({"steps": [step("a", retry={"max_attempts": 0})]}, "In steps[0]: max_attempts is 0, but"),
        ({"steps": [step("a", retry={"backoff": "odd"})]}, "In steps[0]: backoff is 'odd', but"),
        ({"steps": [step("a", on_failure="hope")]}, "In steps[0]: on_failure is 'hope', but"),
        ({"steps": [step("a")], "parallel_limit": 0}, "parallel_limit is 0, but must be"),
        ({"steps": [step("a")], "workspace": "../x"}, "infra is '../x', but must be"),
        ({"steps": [step("a")], "workspace": 5}, "infra is 5, but must be"),
        ({"steps": [step("a")], "name": "a\nb"}, "name is 'a\\nb', but must be"),
        ({"steps": [step("a")], "check_mode": "no"}, "check_mode is 'no', but must be"),
    ],
)
def test_a_bad_batch_file_is_refused_before_any_step(
    tmp_path: Path, document: dict[str, Any], sentence: str
) -> None:
    cli = Cli(tmp_path)
    ended = cli.run("batch", "submit", "-", stdin=json.dumps(document))
    assert ended.exit_code == 2
    assert ended.error.startswith(sentence)
    assert not cli.root.exists()


def test_the_workspace_of_the_file_and_of_the_flag_may_not_differ(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    document = {"workspace": "staging", "steps": [step("a")]}
    ended = cli.run("batch", "submit", "-", "--infra", "production", stdin=json.dumps(document))
    assert ended.exit_code == 2
    assert ended.error == (
        "--infra is 'production', but the file says 'staging': name one workspace."
    )


def test_the_file_names_the_workspace_when_the_flag_does_not(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    steps = [{"id": "a", "kind": "server_create", "params": {"plan": "p"}}]
    cli.run("batch", "submit", "-", stdin=json.dumps({"workspace": "staging", "steps": steps}))
    assert len(cli.run("server", "list", "--infra", "staging").result) == 1
