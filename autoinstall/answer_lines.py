"""On which line of a TOML text each key stands, and what its `#:` comments say. Pure.

Python's tomllib gives values without their places. What is read here has passed tomllib: this only
finds its way through strings, brackets and comments, and judges nothing.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from typing import Any

_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})'  # up to two quotes may stand before the closing three
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|\#[^\n]*"
    r"|[\n\[\]{}=.]"
    r"|[ \t\r,]+"
    r"""|[^\s"'#\[\]{}=.,]+"""
    r"|.",
    re.DOTALL,
)
_PARSE_ERROR = re.compile(r" \(at (?:line (?P<line>\d+), column \d+|end of document)\)$")
MARK = "#:"
_MOST_DOTS = 20  # on one line, outside of strings
_DEEPEST = 6  # levels of keys: no key of an answer is deeper


class TomlError(ValueError):
    """It is no TOML: the sentence, and the line if there is one."""

    def __init__(self, sentence: str, line: int | None) -> None:
        super().__init__(sentence)
        self.line = line


def parse(text: str) -> dict[str, Any]:
    """As tomllib.loads does, but all that text from anywhere can lead to is one kind of error."""
    _check_depth(text)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _PARSE_ERROR.search(str(error))
        sentence = _PARSE_ERROR.sub("", str(error))
        last = len(text.rstrip().split("\n"))
        line = int(found["line"]) if found and found["line"] else last
        raise TomlError(f"not valid TOML: {sentence}", line) from None
    except RecursionError:
        raise TomlError("its values are nested too deeply", None) from None
    except ValueError:  # a whole number of thousands of digits
        raise TomlError("a number has too many digits", None) from None


def _check_depth(text: str) -> None:
    """tomllib's time grows with the cube of the levels of a dotted key: some kilobytes take a minute."""
    line, dots = 1, 0
    for found in _TOKEN.finditer(text):
        dots += found[0] == "."
        if dots > _MOST_DOTS:
            raise TomlError(f"more than {_MOST_DOTS} dots: no key has so many parts", line)
        if new := found[0].count("\n"):
            line, dots = line + new, 0


def normal(text: str) -> str:
    """With the line ends that tomllib counts, and without the mark some editors put first."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


class Source:
    """The lines of the keys of a text that `parse` has accepted. Paths are dotted."""

    def __init__(self, text: str) -> None:
        self._lines: dict[str, int] = {}  # path -> the line where it is first set
        self._spelled: dict[str, str] = {}  # path -> the same as the file spells it
        self._marked: dict[int, str] = {}
        for line, path in self._statements(text):
            for end in range(1, min(len(path), _DEEPEST) + 1):
                self._lines.setdefault(".".join(path[:end]), line)

    def line(self, path: str) -> int | None:
        """Of the key itself or, if it is missing, of what it would be in. Inside of an inline table
        that is the line of the whole statement."""
        known = (self._lines[part] for part in prefixes(self.spelled(path)) if part in self._lines)
        return next(known, None)

    def spelled(self, path: str) -> str:
        for part in prefixes(path):
            if part in self._spelled:
                return self._spelled[part] + path[len(part) :]
        return path

    def alias(self, path: str, spelled: str) -> None:
        """From now on this path means a key that the file spells otherwise."""
        self._spelled[path] = spelled

    def marked_text(self) -> str:
        """What the `#:` lines say; everything keeps its line."""
        last = max(self._marked, default=0)
        return "\n".join(self._marked.get(line, "") for line in range(1, last + 1))

    def _statements(self, text: str) -> Iterator[tuple[int, tuple[str, ...]]]:
        """`(line, path)` of each `[table]` and each `key =`."""
        table: tuple[str, ...] = ()
        line, depth, is_value = 1, 0, False
        key: list[str] = []
        for found in _TOKEN.finditer(text):
            piece, start = found[0], found.start()
            if piece == "\n" and not depth:
                if key and not is_value:  # a header
                    table = tuple(key)
                    yield line, table
                key, is_value = [], False
            elif piece.startswith("#"):
                if start == 0 or text[start - 1] == "\n":
                    self._note_comment(piece, line)
            elif is_value:
                depth += (piece in ("[", "{")) - (piece in ("]", "}"))
            elif piece == "=":
                yield line, (*table, *key)
                is_value = True
            elif piece[0] not in " \t\r,[].":
                key.append(_key(piece))
            line += piece.count("\n")
        if key and not is_value:
            yield line, tuple(key)

    def _note_comment(self, comment: str, line: int) -> None:
        if comment == MARK or comment.startswith(f"{MARK} "):
            self._marked[line] = comment[len(MARK) + 1 :]


def prefixes(path: str) -> Iterator[str]:
    """`a.b.c`, `a.b`, `a`."""
    parts = path.split(".", _DEEPEST)
    for end in range(len(parts), 0, -1):
        yield ".".join(parts[:end])


def _key(piece: str) -> str:
    if piece[0] not in "\"'":
        return piece
    return str(tomllib.loads(f"key = {piece}")["key"])


def marked(lines: Iterable[str]) -> str:
    """These lines of TOML as comments that the installer passes over and `Source` reads."""
    return "".join(f"{MARK} {line}\n" if line else f"{MARK}\n" for line in lines)
