#!/usr/bin/env python3
"""The CLI of the screenshots: says what a real one would say, in colours, and takes its time."""

from __future__ import annotations

import json
import sys
import time

GREEN, YELLOW, BLUE, DIM, END = "\x1b[32m", "\x1b[33m", "\x1b[34m", "\x1b[2m", "\x1b[0m"
STEPS = (
    ("reserving an address", "192.0.2.44"),
    ("starting the machine", "2 CPUs, 4 GB"),
    ("waiting for SSH", "up after 11 s"),
    ("writing the host key", "SHA256:3vE1"),
    ("installing packages", "41 packages"),
    ("applying the baseline", "ok"),
)


def main(noun: str, verb: str, name: str = "", *_: str) -> int:
    if verb in ("list", "status"):
        print("[]" if verb == "list" else "{}")
        return 0
    print(f"{BLUE}==>{END} {noun} {verb} {name}", flush=True)
    for number, (what, found) in enumerate(STEPS, 1):
        time.sleep(0.15)
        print(f"{DIM}[{number}/{len(STEPS)}]{END} {what} ... {GREEN}{found}{END}", flush=True)
        if number == 4:
            print(
                f"{YELLOW}warning:{END} the mirror is slow, trying the next",
                file=sys.stderr,
                flush=True,
            )
    if name.startswith("slow"):
        time.sleep(600)
    if name.startswith("bad"):
        print("\x1b[31merror:\x1b[0m the quota of addresses is reached", file=sys.stderr)
        return 3
    print(
        json.dumps(
            {"hostname": name, "name": name, "ip_address": "192.0.2.44", "status": "running"}
        )
    )
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["version"]:
        print("0.9.3")
        sys.exit(0)
    sys.exit(main(*sys.argv[1:4]))
