"""Driving the real program: `python -m operations.localcli` in a process of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

REPOSITORY = Path(__file__).parents[3]
WORKSPACE = "production"
WAIT_SECONDS = 20.0


class Ended(NamedTuple):
    exit_code: int
    stdout: str
    stderr: str

    @property
    def result(self) -> Any:
        """The one JSON document that stdout is."""
        return json.loads(self.stdout)

    @property
    def error(self) -> str:
        """The sentence of a failure, which must be told in the agreed shape and without noise."""
        assert self.exit_code != 0
        answer = self.result
        assert answer.keys() == {"status", "result", "error"}
        assert answer["status"] == "failed"
        assert answer["result"] is None
        sentence = answer["error"]
        assert isinstance(sentence, str)
        assert "\n" not in sentence
        assert "Traceback" not in self.stderr
        return sentence


class Cli:
    """The program, with `root` as its directory of workspaces and `production` as workspace."""

    def __init__(self, root: Path) -> None:
        self.root = root / "workspaces"
        self.directory = self.root / WORKSPACE
        self.environment = {
            **{key: os.environ[key] for key in os.environ if not key.startswith("PROVISIONING_")},
            "PYTHONPATH": str(REPOSITORY),
            "PROVISIONING_WORKSPACE_ROOT": str(self.root),
            "PROVISIONING_WORKSPACE": WORKSPACE,
        }

    def start(self, *words: str, **more: str) -> subprocess.Popen[str]:
        """`more` are further environment variables."""
        return subprocess.Popen(
            [sys.executable, "-m", "operations.localcli", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.root.parent,
            env={**self.environment, **more},
        )

    def run(self, *words: str, stdin: str = "", **more: str) -> Ended:
        return finish(self.start(*words, **more), stdin)

    def create_server(self, *words: str) -> Any:
        ended = self.run("server", "create", *words, "--plan", "small")
        assert ended.exit_code == 0, ended.stderr
        return ended.result

    def write(self, path: str, content: str) -> Path:
        """A file of the workspace; scripts (.sh) are made executable."""
        file = self.directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        if path.endswith(".sh"):
            file.chmod(0o755)
        return file

    def journal(self) -> list[dict[str, Any]]:
        path = self.directory / "journal.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def journal_events(self) -> list[tuple[str, str, int | None]]:
        """`("create server web-01", "ended", 0)` for every line."""
        return [
            (" ".join(line["command"]), line["event"], line["exit_code"]) for line in self.journal()
        ]

    def tree(self) -> dict[str, bytes]:
        """Every file below the root with its content; `{}` when there is none."""
        files = (path for path in self.root.rglob("*") if path.is_file())
        return {str(path.relative_to(self.root)): path.read_bytes() for path in files}


def finish(process: subprocess.Popen[str], stdin: str = "") -> Ended:
    stdout, stderr = process.communicate(stdin, timeout=60)
    return Ended(process.returncode, stdout, stderr)


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


@contextmanager
def listening() -> Iterator[int]:
    """A port of this host that accepts connections."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def closed_port() -> int:
    """A port of this host that refuses them: bound a moment ago, and free again."""
    with listening() as port:
        return port
