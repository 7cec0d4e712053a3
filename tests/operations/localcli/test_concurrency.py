"""Many processes on one workspace at once."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

from .harness import Cli, finish


def test_forty_creates_at_once_all_succeed_and_each_ran_exactly_once(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    processes = [
        cli.start("server", "create", "--plan", "p", PROVISIONING_OPERATION_ID=f"op-{number}")
        for number in range(40)
    ]
    ended = [finish(process) for process in processes]
    assert [e.exit_code for e in ended] == [0] * 40
    expected = {f"server-{number}" for number in range(1, 41)}
    assert {e.result["hostname"] for e in ended} == expected
    assert {server["hostname"] for server in cli.run("server", "list").result} == expected
    assert len({e.result["id"] for e in ended}) == 40
    runs = Counter((line["operation_id"], line["event"]) for line in cli.journal())
    assert runs == {
        (f"op-{number}", event): 1 for number in range(40) for event in ("started", "ended")
    }


def test_of_twenty_creates_of_one_name_exactly_one_wins(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    processes = [cli.start("server", "create", "web-01", "--plan", f"p{n}") for n in range(20)]
    ended = [finish(process) for process in processes]
    assert Counter(e.exit_code for e in ended) == {0: 1, 4: 19}
    [winner] = [e.result for e in ended if e.exit_code == 0]
    assert cli.run("server", "list").result == [winner]
    assert len(cli.journal()) == 2


def test_of_many_creates_with_one_address_exactly_one_wins(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    processes = [
        cli.start("server", "create", f"web-{n}", "--plan", "p", "--address", "192.0.2.1")
        for n in range(10)
    ]
    assert Counter(finish(process).exit_code for process in processes) == {0: 1, 4: 9}


def test_of_many_installations_of_one_taskserv_exactly_one_runs_the_script(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.write("taskservs/cache/install.sh", "#!/bin/sh\necho x >> runs\nsleep 0.2\n")
    processes = [cli.start("taskserv", "create", "cache") for _ in range(10)]
    assert Counter(finish(process).exit_code for process in processes) == {0: 1, 4: 9}
    assert (cli.directory / "taskservs/cache/runs").read_text() == "x\n"


def test_creates_and_deletes_together_leave_what_they_answered(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    for number in range(10):
        cli.create_server(f"old-{number}")
    deletes = [cli.start("server", "delete", f"old-{number}") for number in range(10)]
    creates = [cli.start("server", "create", f"new-{n}", "--plan", "p") for n in range(10)]
    lists = [cli.start("server", "list") for _ in range(5)]
    assert {finish(process).exit_code for process in deletes + creates + lists} == {0}
    hostnames = {server["hostname"] for server in cli.run("server", "list").result}
    assert hostnames == {f"new-{number}" for number in range(10)}


def test_processes_killed_at_any_moment_leave_whole_files_and_no_lock(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    for _ in range(3):
        processes = [cli.start("server", "create", "--plan", "p") for _ in range(8)]
        time.sleep(0.05)
        for process in processes:
            time.sleep(0.008)
            process.kill()
        for process in processes:
            process.communicate()
    listed = cli.run("server", "list")
    assert listed.exit_code == 0, listed.stderr
    finished = [name for name, event, _ in cli.journal_events() if event == "ended"]
    assert {f"create server {s['hostname']}" for s in listed.result} >= set(finished)
    assert cli.create_server()["hostname"].startswith("server-")
