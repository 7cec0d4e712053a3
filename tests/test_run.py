"""`./run` as a newcomer starts it: in a copy of its files, without network, really as a process.

A program named `uv` stands in for the installer; the environment it "fills" is a real one.
"""

from __future__ import annotations

import ast
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

RUN = Path(__file__).parent.parent / "run"
PROJECT = """\
[project]
name = "provisioning-server"
version = "0.1.0"
scripts = { provisioning-server = "provisioning.server:main" }
"""


class Clone:
    """A directory with `run` and what it reads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bin = path / ".venv" / "bin"
        self.programs = path.parent / "programs"  # all that PATH holds: no uv of the machine
        self.programs.mkdir()
        for name in ("cat", "false", "ln", "sleep", "touch"):
            (self.programs / name).symlink_to(shutil.which(name) or name)
        shutil.copy(RUN, path / "run")
        (path / "pyproject.toml").write_text(PROJECT)
        (path / "uv.lock").write_text("version = 1\n")
        (path / "requirements.lock").write_text("django==5.2.1 \\\n    --hash=sha256:00\n")
        (path / "requirements-dev.lock").write_text("django==5.2.1 \\\n    --hash=sha256:00\n")

    def environment(self, **extra: str) -> dict[str, str]:
        return {"PATH": str(self.programs), **extra}

    def start(self, *arguments: str, **extra: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(self.path / "run"), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment(**extra),
        )

    def run(self, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        with self.start(*arguments, **extra) as process:
            output, errors = process.communicate(timeout=30)
        return subprocess.CompletedProcess(arguments, process.returncode, output, errors)

    def pretend_prepared(self) -> None:
        """Make a `.venv` that looks complete and whose Python and server only say what they got."""
        self.bin.mkdir(parents=True)
        run = runpy.run_path(str(self.path / "run"))
        run["STAMP"].write_text(run["stamp"](run["DEVELOPMENT"]))
        program(self.bin / "python", 'echo "python $*"; exit 7')
        program(self.bin / "provisioning-server", 'echo "$$ server $*"; exit 5')

    def pretend_uv(self, body: str = "") -> Path:
        """Put a `uv` on the PATH that writes down its arguments, then does `body`."""
        journal = self.path.parent / "uv-calls"
        program(self.programs / "uv", f"echo $$ $* >> '{journal}'\n{body}")
        return journal

    def add_server(self) -> None:
        """Add the package whose `main` the installed command calls."""
        package = self.path / "provisioning"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "server.py").write_text(
            "import sys\ndef main():\n    print('server', sys.argv[1:])\n    return 3\n"
        )


def program(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not come"
        time.sleep(0.01)


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    path = tmp_path / "a clone"  # a space, as people's directories have
    path.mkdir()
    return Clone(path)


def test_run_parses_on_a_python_that_is_too_old() -> None:
    ast.parse(RUN.read_text(), feature_version=(3, 6))


def test_an_old_python_is_refused_in_one_sentence(clone: Clone, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.version_info = (3, 9, 18)")
    result = clone.run(PYTHONPATH=str(tmp_path))
    assert result.returncode == 1
    assert result.stderr == (
        "Provisioning Server needs Python 3.11 or newer and this is Python 3.9.18: "
        "install one and start it with `python3.11 run`.\n"
    )


def test_a_missing_venv_module_is_named_with_its_package(clone: Clone, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['ensurepip'] = None")
    result = clone.run(PYTHONPATH=str(tmp_path))
    assert result.returncode == 1
    assert result.stderr == (
        "This Python has no `ensurepip` module: install it (Debian, Ubuntu: apt install "
        "python3-venv) and run this again.\n"
    )


def test_a_place_where_no_environment_can_be_made_is_named(clone: Clone) -> None:
    (clone.path / ".venv").write_text("in the way")
    result = clone.run()
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        f"Cannot write {clone.path}/.venv (File exists): make room, give this user the right to "
        "write there, or clone into a directory of your own."
    )


def test_flags_go_to_the_server_which_takes_over_the_process(clone: Clone) -> None:
    clone.pretend_prepared()
    with clone.start("--port", "8084", "a b") as process:
        output, errors = process.communicate(timeout=10)
    assert (output, errors) == (f"{process.pid} server --port 8084 a b\n", "")
    assert process.returncode == 5


def test_manage_passes_arguments_and_exit_status(clone: Clone) -> None:
    clone.pretend_prepared()
    result = clone.run("manage", "migrate", "--plan")
    assert result.stdout == f"python {clone.path}/manage.py migrate --plan\n"
    assert result.returncode == 7


def test_help_as_a_word_explains_run_without_installing(clone: Clone) -> None:
    result = clone.run("help")
    assert result.returncode == 0
    assert "`./run --help` lists its flags" in result.stdout
    assert not (clone.path / ".venv").exists()


def test_the_first_start_installs_from_the_lock_and_the_second_does_not(clone: Clone) -> None:
    clone.add_server()
    journal = clone.pretend_uv()
    first = clone.run("--host", "::1")
    assert first.stderr == "Installing the locked dependencies into .venv ...\n"
    assert (first.stdout, first.returncode) == ("server ['--host', '::1']\n", 3)
    assert " sync --frozen --inexact " in journal.read_text()
    assert "--no-dev" in journal.read_text()
    second = clone.run()
    assert (second.stdout, second.stderr) == ("server []\n", "")
    assert len(journal.read_text().splitlines()) == 1


def test_a_changed_lock_is_installed_by_the_next_start(clone: Clone) -> None:
    clone.add_server()
    journal = clone.pretend_uv()
    clone.run()
    (clone.path / "uv.lock").write_text("version = 2\n")
    assert "Installing" in clone.run().stderr
    assert len(journal.read_text().splitlines()) == 2


def test_a_moved_clone_gets_an_environment_of_its_new_place(clone: Clone, tmp_path: Path) -> None:
    clone.add_server()
    clone.pretend_uv()
    clone.run()
    (clone.path / ".venv" / "of-the-old-place").touch()
    clone.path = clone.path.rename(tmp_path / "else where")
    assert clone.run().stdout == "server []\n"
    assert not (clone.path / ".venv" / "of-the-old-place").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_installation_leaves_no_installer_and_is_mended(
    clone: Clone, number: signal.Signals
) -> None:
    clone.add_server()
    journal = clone.pretend_uv("exec sleep 30")
    with clone.start() as process:
        wait_for(journal)
        leftover = clone.path / ".venv" / "half-installed"
        leftover.touch()
        process.send_signal(number)
        process.communicate(timeout=10)
    assert process.returncode == 128 + number
    uv_pid = int(journal.read_text().split()[0])
    with pytest.raises(ProcessLookupError):
        os.kill(uv_pid, 0)
    clone.pretend_uv()
    assert clone.run().stdout == "server []\n"
    assert not leftover.exists()


def test_a_stopped_test_run_ends_in_order_and_leaves_no_directory(
    clone: Clone, tmp_path: Path
) -> None:
    clone.pretend_prepared()
    began, ended = tmp_path / "began", tmp_path / "ended"
    program(
        clone.bin / "python",
        f"trap 'echo $PROVISIONING_STATE_DIR > \"{ended}\"; exit 2' INT\n"
        f"touch '{began}'; while :; do sleep 0.05; done",
    )
    with clone.start("test", "-x") as process:
        wait_for(began)
        process.terminate()
        process.communicate(timeout=10)
    assert process.returncode == 128 + signal.SIGTERM
    assert not Path(ended.read_text().strip()).exists()


def test_an_installer_that_fails_is_quoted(clone: Clone) -> None:
    # with a Python that does nothing, the ways by pip fail at once and without network
    clone.pretend_uv(
        f"echo no such host; ln -sf '{clone.programs}/false' '{clone.bin}/python'; exit 2"
    )
    result = clone.run()
    assert result.returncode == 1
    assert "no such host\n" in result.stderr
    assert result.stderr.endswith(
        "The dependencies could not be installed (see above): look at the network and the free "
        "disk space, then run this again.\n"
    )


def test_an_update_that_failed_is_not_taken_for_what_was_there_before(clone: Clone) -> None:
    clone.add_server()
    clone.pretend_uv()
    clone.run()
    clone.pretend_uv(f"ln -sf '{clone.programs}/false' '{clone.bin}/python'; exit 2")
    (clone.path / "uv.lock").write_text("version = 2\n")
    assert clone.run().returncode == 1
    (clone.path / "uv.lock").write_text("version = 1\n")
    clone.pretend_uv()
    assert clone.run().stdout == "server []\n"


def test_an_environment_whose_python_is_gone_is_made_anew(clone: Clone) -> None:
    clone.add_server()
    clone.pretend_uv()
    clone.run()
    (clone.bin / "python").unlink()
    (clone.bin / "python").symlink_to(clone.path / "uninstalled")
    assert clone.run().stdout == "server []\n"


def test_two_first_starts_install_once(clone: Clone) -> None:
    clone.add_server()
    journal = clone.pretend_uv("sleep 0.3")
    with clone.start("one") as first, clone.start("two") as second:
        outputs = [process.communicate(timeout=20)[0] for process in (first, second)]
    assert outputs == ["server ['one']\n", "server ['two']\n"]
    assert len(journal.read_text().splitlines()) == 1


def test_pytest_arguments_run_only_pytest_in_a_state_directory_of_its_own(clone: Clone) -> None:
    clone.pretend_prepared()
    program(
        clone.bin / "python",
        'echo "$*"; echo "$PROVISIONING_STATE_DIR"; echo "$PROVISIONING_DATABASE__URL"; exit 4',
    )
    result = clone.run(
        "test", "-k", "login", PROVISIONING_STATE_DIR="/mine", PROVISIONING_DATABASE__URL="x://"
    )
    arguments, state, database = result.stdout.splitlines()
    assert (arguments, database, result.returncode) == ("-m pytest -k login", "x://", 4)
    assert state != "/mine"
    assert not Path(state).exists()


def test_the_long_form_of_the_fault_tests_runs_their_directory(clone: Clone) -> None:
    clone.pretend_prepared()
    result = clone.run("test", "--faults", "-x")
    assert result.stdout == "python -m pytest tests/faults --faults -x\n"
    assert result.returncode == 7


def test_check_runs_every_step_and_shows_what_failed(clone: Clone) -> None:
    clone.pretend_prepared()
    program(clone.bin / "python", '[ "$2" != mypy ] || { echo "x.py:1: wrong"; exit 1; }')
    program(clone.bin / "lint-imports", "")
    result = clone.run("check")
    assert result.returncode == 1
    verdicts = [line.split()[0] for line in result.stdout.splitlines() if " s)" in line]
    assert verdicts == ["ok", "ok", "FAILED", "ok", "ok", "ok"]
    assert "x.py:1: wrong\n" in result.stdout
    assert "SKIPPED locked exports: uv is not here" in result.stdout
    assert result.stdout.endswith("Failed: mypy\n")


def test_check_tells_an_export_that_differs_from_the_lock(clone: Clone) -> None:
    clone.pretend_prepared()
    for name in ("python", "lint-imports"):
        program(clone.bin / name, "")
    clone.pretend_uv(
        'case "$*" in *--no-dev*) echo django==5.2.2 ;;\n'
        "*export*) cat requirements-dev.lock ;; esac"
    )
    result = clone.run("check")
    assert result.returncode == 1
    assert "Differs from uv.lock: `./run lock` writes it." in result.stdout
    assert result.stdout.endswith("Failed: requirements.lock\n")


def test_an_unknown_benchmark_is_answered_with_the_known_ones(clone: Clone) -> None:
    benchmarks = clone.path / "benchmarks"
    benchmarks.mkdir()
    (benchmarks / "claim.py").touch()
    (benchmarks / "_shared.py").touch()
    result = clone.run("bench", "claims")
    assert result.returncode == 1
    assert result.stderr == "No benchmark claims: there are claim.\n"


def test_a_benchmark_that_fails_is_reported_and_nothing_more(clone: Clone) -> None:
    clone.pretend_prepared()
    (clone.path / "benchmarks").mkdir()
    (clone.path / "benchmarks" / "claim.py").touch()
    result = clone.run("bench")
    assert result.stdout == f"python {clone.path}/benchmarks/claim.py\n"
    assert result.stderr == "claim ended with exit status 7.\n"
    assert result.returncode == 0
