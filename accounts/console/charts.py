"""Bar charts as inline SVG: no script, no style attribute, colours by the classes of console.css.

Every bar is a link with a title, and the whole has its figures in words for who does not see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

WIDTH, HEIGHT = 560, 180
LEFT, RIGHT, TOP, BOTTOM = 36, 8, 10, 24
GAP = 0.3  # of a column


@dataclass(frozen=True)
class Part:
    """A piece of a stacked bar; `tone` is a class of console.css."""

    tone: str
    label: str
    value: int


@dataclass(frozen=True)
class Bar:
    """One column: its label below, its parts from the bottom up, and where a click leads."""

    label: str
    parts: Sequence[Part]
    url: str = ""

    @property
    def total(self) -> int:
        return sum(part.value for part in self.parts)


def bar_chart(bars: Sequence[Bar], *, name: str) -> SafeString | None:
    """Stacked columns side by side; None where every one is empty."""
    highest = max((bar.total for bar in bars), default=0)
    if not highest:
        return None
    top = rounded_up(highest)
    width = (WIDTH - LEFT - RIGHT) / len(bars)
    columns = "".join(
        column(bar, LEFT + index * width, width, top, is_labelled=is_labelled(index, len(bars)))
        for index, bar in enumerate(bars)
    )
    words = ", ".join(f"{bar.label}: {bar.total}" for bar in bars)
    drawn = (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="group" '
        f'aria-label="{escape(f"{name}. {words}")}">{grid(top)}{columns}</svg>'
    )
    return mark_safe(drawn)  # noqa: S308 - every text in it is escaped above


def column(bar: Bar, x: float, width: float, top: int, *, is_labelled: bool) -> str:
    room = HEIGHT - TOP - BOTTOM
    y = float(HEIGHT - BOTTOM)
    drawn = ""
    for part in bar.parts:
        if part.value:
            tall = part.value / top * room
            y -= tall
            drawn += (
                f'<rect class="{escape(part.tone)}" x="{x + width * GAP / 2:.1f}" y="{y:.1f}" '
                f'width="{width * (1 - GAP):.1f}" height="{tall:.1f}" rx="2"/>'
            )
    shown = ", ".join(f"{part.value} {part.label}" for part in bar.parts if part.value) or "none"
    tip = f"<title>{escape(f'{bar.label}: {shown}')}</title>"
    # All of the column can be clicked, not only a bar of three pixels.
    area = (
        f'<rect class="area" x="{x:.1f}" y="{TOP}" width="{width:.1f}" height="{room}">{tip}</rect>'
    )
    label = (
        f'<text class="axis" x="{x + width / 2:.1f}" y="{HEIGHT - 8}" text-anchor="middle">'
        f"{escape(bar.label)}</text>"
        if is_labelled
        else ""
    )
    inner = f"{drawn}{area}{label}"
    if not bar.url or not bar.total:
        return f"<g>{inner}</g>"
    words = escape(f"{bar.label}: {shown}")
    return f'<a href="{escape(bar.url)}" aria-label="{words}">{inner}</a>'


def grid(top: int) -> str:
    lines = ""
    for share in (0, 0.5, 1):
        y = HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
        value = top * share
        lines += (
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="axis" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
        )
    return lines


def is_labelled(index: int, count: int) -> bool:
    """So many labels that they do not touch; always the last."""
    return (count - 1 - index) % (1 + (count - 1) // 8) == 0


def rounded_up(value: int) -> int:
    """The next even number of the series 2, 4, 6, 8, 10, 20, 40 ... that the axis can end at."""
    unit = 1
    while True:
        for step in (2, 4, 6, 8, 10):
            if step * unit >= value:
                return step * unit
        unit *= 10
