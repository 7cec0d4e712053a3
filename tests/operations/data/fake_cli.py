#!/usr/bin/env -S python3 -S -E
"""A CLI for tests that does what the host name (or name) of the command says.

    ok-*       prints a result, exit 0            fail-N-*   a sentence on stderr, exit N
    sleep-N-*  sleeps N seconds, then ok          stubborn-* forks children, all ignore TERM, sleeps
    polite-*   sleeps; on TERM says goodbye       silent-*   exit 1 without a word
    lines-N-*  prints N lines on both streams     plain-*    prints text, no JSON
    liar-*     exit 0, but reports a failure      env-*      prints its environment as the result
    escape-*   starts a child in a session of its own that ignores TERM, then sleeps
    stdin-*    prints what it was given on stdin  kill-*     kills its own launcher (its parent)

Every run appends one line `start <operation id> <pid>` and one `end ...` to $FAKE_CLI_JOURNAL.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time


def journal(word: str) -> None:
    path = os.environ.get("FAKE_CLI_JOURNAL")
    if path:
        operation = os.environ.get("PROVISIONING_OPERATION_ID", "-")
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(descriptor, f"{word} {operation} {os.getpid()}\n".encode())
        os.close(descriptor)


def ok(name: str) -> int:
    print(f"working on {name}", flush=True)
    print(
        json.dumps({"hostname": name, "name": name, "ip_address": "192.0.2.1", "status": "running"})
    )
    return 0


def number(name: str) -> float:
    return float(name.split("-")[1])


def main() -> int:
    noun, verb = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
    if noun == "version":
        print("fake 1.2.3")
        return 0
    if verb == "list":
        print(os.environ.get("FAKE_CLI_LIST", "[]"))
        return 0
    name = sys.argv[3]
    journal("start")
    word = name.split("-")[0]
    code = 0
    if word == "fail":
        print("half way", flush=True)
        print(f"\x1b[31mthe cloud refused {name}\x1b[0m", file=sys.stderr)
        code = int(number(name))
    elif word == "sleep":
        time.sleep(number(name))
        code = ok(name)
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
    elif word == "silent":
        code = 1
    elif word == "lines":
        for index in range(int(number(name))):
            print(f"out {index} é", flush=index % 100 == 0)
            print(f"err {index}", file=sys.stderr)
        code = ok(name)
    elif word == "plain":
        print("done, no JSON here")
    elif word == "liar":
        print(json.dumps({"status": "failed", "result": None, "error": "the disk is full"}))
    elif word == "env":
        print(json.dumps({"hostname": name, "env": dict(os.environ), "argv": sys.argv[1:]}))
    elif word == "stdin":
        print(json.dumps({"hostname": name, "stdin": json.loads(sys.stdin.read())}))
    elif word == "kill":
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(600)
    else:
        code = ok(name)
    journal("end")
    return code


if __name__ == "__main__":
    sys.exit(main())
