"""Telling a person, or a log, how far we are. Standard output is for the result alone."""

from __future__ import annotations

import sys
from contextlib import suppress


def tell(sentence: str) -> None:
    """One line on stderr, whatever `sentence` holds; a log that is full stops no work."""
    line = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in sentence)
    if sys.stderr is not None:  # print would write to stdout instead
        with suppress(OSError):
            print(f"provisioning-local: {line}", file=sys.stderr, flush=True)
