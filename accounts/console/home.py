"""What the home page is made of. Each app registers a maker of its part; none knows the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from django.utils.safestring import SafeString

from accounts.actor import Actor

Tone = Literal["", "good", "bad", "warn", "busy", "quiet"]


@dataclass(frozen=True)
class Notice:
    """Something that wants a person: a sentence and the list or page that shows it."""

    tone: Tone
    text: str
    url: str


@dataclass(frozen=True)
class Figure:
    """A number worth a glance; it links to the rows that it counts, where the person may see them."""

    label: str
    value: int | str
    url: str
    tone: Tone = ""
    note: str = ""


@dataclass(frozen=True)
class Chart:
    """An inline SVG (see `accounts.console.charts`); without one, the sentence that says why."""

    title: str
    svg: SafeString | None
    empty: str = "Nothing yet."
    legend: Sequence[tuple[str, str]] = field(default=())  # tone, what it stands for


@dataclass(frozen=True)
class Step:
    """What somebody with an empty installation does next: a link, and what it is good for."""

    text: str
    url: str
    why: str = ""


@dataclass(frozen=True)
class Panel:
    """One part of the home page, as one person may see it."""

    title: str
    notices: Sequence[Notice] = field(default=())
    figures: Sequence[Figure] = field(default=())
    charts: Sequence[Chart] = field(default=())
    steps: Sequence[Step] = field(default=())


MakePanel = Callable[[Actor], Panel | None]

_makers: list[tuple[int, MakePanel]] = []


def register_panel(position: int) -> Callable[[MakePanel], MakePanel]:
    """Decorate what makes a panel for an actor (None: nothing that he may see). Lower comes first."""

    def keep(make: MakePanel) -> MakePanel:
        _makers.append((position, make))
        return make

    return keep


def panels_for(actor: Actor) -> list[Panel]:
    made = [make(actor) for _, make in sorted(_makers, key=lambda one: one[0])]
    return [panel for panel in made if panel is not None]
