#!/usr/bin/env -S python3 -S -E
"""A CLI for tests that does what the host name (or name) of the command says.

    ok-*       prints a result, exit 0            fail-N-*   a sentence on stderr, exit N
    sleep-N-*  sleeps N seconds, then ok          stubborn-* forks children, all ignore TERM, sleeps
    polite-*   sleeps; on TERM says goodbye       silent-*   exit 1 without a word
    lines-N-*  prints N lines on both streams     plain-*    prints text, no JSON
    liar-*     exit 0, but reports a failure      env-*      prints its environment as the result
    escape-*   starts a child in a session of its own that ignores TERM, then sleeps
    detach-*   starts a child in a session of its own that says goodbye to the journal on TERM
    stdin-*    prints what it was given on stdin  kill-*     kills its own launcher (its parent)
    hold-*     waits for the file $FAKE_CLI_JOURNAL.go (or .go-NAME), then ok
    late-N-*   waits as hold does, then exit N
    paced-N-*  like lines, but slowly, and waits as hold does in the middle
    slow-N-*   like lines, but slowly
    parent-*   starts a child that holds, and ends as the child does
    big-N-*    N MiB on stdout, half of that on stderr, with characters of up to four bytes
    tell-*     tells its command line, its launcher's, its stdin and its settings file
    deep-*     a result nested 900 levels deep    null-*     a result with U+0000, bytes that are no text
    meet-N-*   waits until N runs have begun, however slow the machine is, then ok
    again-N-*  fails at its first N - 1 runs, by the journal

Every run appends one line `start <operation id> <pid> <seconds>` and one `end ...` to
$FAKE_CLI_JOURNAL; the seconds are those of the machine's monotonic clock.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time


def journal(word: str, name: str = "-") -> None:
    path = os.environ.get("FAKE_CLI_JOURNAL")
    if path:
        operation = os.environ.get("PROVISIONING_OPERATION_ID", "-")
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        line = f"{word} {operation} {os.getpid()} {time.monotonic():.6f} {name}\n"
        os.write(descriptor, line.encode())
        os.close(descriptor)


def ok(name: str) -> int:
    print(f"working on {name}", flush=True)
    print(
        json.dumps({"hostname": name, "name": name, "ip_address": "192.0.2.1", "status": "running"})
    )
    return 0


def say_goodbye(*_: object) -> None:
    journal("goodbye")
    os._exit(0)


def number(name: str) -> float:
    return float(name.split("-")[1])


def hold() -> None:
    go = os.environ["FAKE_CLI_JOURNAL"] + ".go"
    while not os.path.exists(go) and not os.path.exists(f"{go}-{sys.argv[3]}"):
        time.sleep(0.005)


def meet(runs: int) -> None:
    journal = os.environ["FAKE_CLI_JOURNAL"]
    while begun(journal) < runs:
        time.sleep(0.005)


def begun(path: str) -> int:
    with open(path, encoding="utf-8") as file:
        return sum(line.startswith("start ") for line in file)


def code_of_holding_child() -> int:
    """As a shell would say it: 128 and the number of the signal that ended it."""
    child = os.fork()
    if child == 0:
        journal("child")
        hold()
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code if code >= 0 else 128 - code


def read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def tell(name: str) -> dict[str, object]:
    told: dict[str, object] = {
        "name": name,
        "cmdline": read("/proc/self/cmdline"),
        "launcher": read(f"/proc/{os.getppid()}/cmdline"),
        "stdin": json.loads(sys.stdin.read()),
    }
    if "--settings" in sys.argv:
        path = sys.argv[sys.argv.index("--settings") + 1]
        told |= {
            "file": path,
            "mode": oct(os.stat(path).st_mode),
            "content": json.loads(read(path)),
        }
    return told


def earlier_runs(name: str) -> int:
    """Starts of this name so far, this one included."""
    lines = read(os.environ["FAKE_CLI_JOURNAL"]).splitlines()
    return sum(line.split()[0] == "start" and line.split()[4] == name for line in lines)


def write_lines(name: str, *, pause: float = 0.0, holds: bool = False) -> None:
    count = int(number(name))
    for index in range(count):
        print(f"out {index} é", flush=bool(pause) or index % 100 == 0)
        print(f"err {index}", file=sys.stderr)
        if pause:
            time.sleep(pause)
        if holds and index == count // 2:
            journal("middle")
            hold()


def main() -> int:
    noun, verb = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
    if noun == "version":
        print("fake 1.2.3")
        return 0
    if verb == "list":
        listed = os.environ.get("FAKE_CLI_LIST", "[]")
        print(os.environ.get(f"FAKE_CLI_LIST_{noun.upper()}", listed))
        return int(os.environ.get("FAKE_CLI_LIST_EXIT", "0"))
    name = sys.argv[3]
    journal("start", name)
    word = name.split("-")[0]
    code = 0
    if word == "fail":
        print("half way", flush=True)
        print(f"\x1b[31mthe cloud refused {name}\x1b[0m", file=sys.stderr)
        code = int(number(name))
    elif word == "meet":
        meet(int(number(name)))
        code = ok(name)
    elif word == "sleep":
        time.sleep(number(name))
        code = ok(name)
    elif word == "hold":
        hold()
        code = ok(name)
    elif word == "late":
        hold()
        code = int(number(name))
    elif word == "polite":
        signal.signal(signal.SIGTERM, lambda *_: (print("goodbye", flush=True), sys.exit(7)))
        print("hello", flush=True)
        time.sleep(600)
    elif word in ("stubborn", "escape"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for _ in range(3):
            if os.fork() == 0:
                if word == "escape":
                    os.setsid()
                journal("child")
                time.sleep(600)
                os._exit(0)
        time.sleep(600)
    elif word == "detach":
        if os.fork() == 0:
            os.setsid()
            signal.signal(signal.SIGTERM, say_goodbye)
            journal("child")
        time.sleep(600)
    elif word == "silent":
        code = 1
    elif word == "lines":
        write_lines(name)
        code = ok(name)
    elif word == "paced":
        write_lines(name, pause=0.002, holds=True)
        code = ok(name)
    elif word == "slow":
        write_lines(name, pause=0.005)
        code = ok(name)
    elif word == "parent":
        code = code_of_holding_child()
    elif word == "big":
        line = "größe 長さ 🚀 ".encode() * 40 + b"\n"
        wanted = int(number(name)) * 1024 * 1024
        sys.stdout.buffer.write((line * (wanted // len(line) + 1))[:wanted])
        sys.stderr.buffer.write((line * (wanted // len(line) + 1))[: wanted // 2])
        sys.stdout.buffer.flush()
    elif word == "plain":
        print("done, no JSON here")
    elif word == "liar":
        print(json.dumps({"status": "failed", "result": None, "error": "the disk is full"}))
    elif word == "env":
        print(json.dumps({"hostname": name, "env": dict(os.environ), "argv": sys.argv[1:]}))
    elif word == "stdin":
        print(json.dumps({"hostname": name, "stdin": json.loads(sys.stdin.read())}))
    elif word == "tell":
        print(json.dumps(tell(name)))
    elif word == "deep":
        print('{"name": "' + name + '", "a": ' + "[" * 900 + "]" * 900 + "}")
    elif word == "null":
        sys.stdout.buffer.write(b"\x00\xff\xfe no text\n")
        print(json.dumps({"hostname": name, "note": "a\x00b"}))
    elif word == "again":
        if earlier_runs(name) < number(name):
            print("not yet", file=sys.stderr)
            code = 3
        else:
            code = ok(name)
    elif word == "kill":
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(600)
    else:
        code = ok(name)
    journal("end", name)
    return code


if __name__ == "__main__":
    sys.exit(main())
