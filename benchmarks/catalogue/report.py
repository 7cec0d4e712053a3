"""Figures as a table: median, minimum and maximum, and whether the goal is met."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

WIDTH = 42


def heading(title: str) -> None:
    print(f"\n{title}\n{'':{WIDTH}}{'median':>10}{'min':>10}{'max':>10}")


def line(name: str, figures: Sequence[float], digits: int = 1) -> None:
    middle = statistics.median(figures)
    cells = "".join(f"{value:10.{digits}f}" for value in (middle, min(figures), max(figures)))
    print(f"{name:{WIDTH}}{cells}")


def goal(text: str, *, is_met: bool) -> None:
    print(f"goal: {text}: {'met' if is_met else 'short'}", flush=True)


def at_most(name: str, figures: Sequence[float], limit: float, digits: int = 1) -> None:
    """A line, and its goal."""
    line(name, figures, digits)
    goal(f"{name} <= {limit:g}", is_met=statistics.median(figures) <= limit)
