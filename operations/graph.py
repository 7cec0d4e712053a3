"""A workflow as a picture: layers from left to right by the depth of dependencies, as SVG. Pure.

No script and nothing from elsewhere; its style reads on a light and on a dark page. All text is
escaped, and statuses choose only among classes that stand here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from xml.sax.saxutils import escape

from operations.workflow import Definition

BOX_WIDTH, BOX_HEIGHT = 224, 62
GAP_X, GAP_Y = 72, 18
MARGIN, HEADER, FOOTER = 24, 62, 46
LANES = (0, 3, -3, 6, -6)  # of a gap between boxes, for arrows that pass there
LABEL_CHARACTERS = 26  # of the font below, in a box
TITLE_LENGTH, TITLE_CHARACTER = 60, 12.0

# status -> what it is called in the legend
STATUSES: Mapping[str, str] = {
    "pending": "pending",
    "running": "running",
    "completed": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
    "rolled-back": "rolled back",
}

FONT = 'system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif'

# Class -> what it paints and its color on a light and on a dark page. Custom properties would be
# shorter, but many programs that show SVG do not know them.
COLORS: Mapping[str, tuple[str, str, str]] = {
    ".page": ("fill", "#ffffff", "#0d1117"),
    "text": ("fill", "#1f2328", "#f0f6fc"),
    "text.soft": ("fill", "#59636e", "#a5b0bb"),
    ".edge": ("stroke", "#8c959f", "#6e7681"),
    ".head": ("fill", "#8c959f", "#6e7681"),
}
# Status -> fill and edge on a light page, fill and edge on a dark one.
STATUS_COLORS: Mapping[str, tuple[str, str, str, str]] = {
    "pending": ("#eef0f2", "#818b98", "#21262d", "#8b949e"),
    "running": ("#ddf4ff", "#0969da", "#0c2d6b", "#58a6ff"),
    "completed": ("#dafbe1", "#1a7f37", "#0f3d1e", "#3fb950"),
    "failed": ("#ffebe9", "#cf222e", "#5c1a1b", "#f85149"),
    "cancelled": ("#fff3d4", "#9a6700", "#4a3500", "#d29922"),
    "rolled-back": ("#fbefff", "#8250df", "#3c1e70", "#bc8cff"),
}


@dataclass(frozen=True)
class StepState:
    """What became of a step so far; `status` is one of STATUSES."""

    status: str = "pending"
    attempts: int = 1
    detail: str = ""


@dataclass(frozen=True)
class Place:
    x: int
    y: int


def render(definition: Definition, status: str, states: Mapping[str, StepState]) -> str:
    """The whole document. A step without a state is pending."""
    layers = arrange(definition)
    places = place(layers)
    tallest = max(len(layer) for layer in layers)
    title = f"Workflow {definition.name}: {status}"
    width = max(
        2 * MARGIN + len(layers) * BOX_WIDTH + (len(layers) - 1) * GAP_X,
        2 * MARGIN + LEGEND_WIDTH,
        2 * MARGIN + int(min(len(title), TITLE_LENGTH) * TITLE_CHARACTER),
    )
    height = HEADER + tallest * (BOX_HEIGHT + GAP_Y) - GAP_Y + FOOTER
    found = {step.id: states.get(step.id, StepState()) for step in definition.steps}
    edges = [edge(way) for way in ways(definition, layers, places)]
    boxes = [
        box(places[step.id], step.id, step.kind, step.depends_on, found[step.id])
        for layer in layers
        for step in map(definition.step, layer)
    ]
    ended = sum(state.status not in ("pending", "running") for state in found.values())
    summary = f"{ended} of {len(found)} steps have ended"
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-labelledby="title desc">'
    )
    return "\n".join(
        [
            opening,
            f'<title id="title">{text(title)}</title>',
            f'<desc id="desc">{text(describe(definition, found))}</desc>',
            f"<style>{style()}</style>",
            f'<rect class="page" width="{width}" height="{height}"/>',
            f'<text class="title" x="{MARGIN}" y="30">{text(shorten(title, TITLE_LENGTH))}</text>',
            f'<text class="soft" x="{MARGIN}" y="48">{text(summary)}</text>',
            *edges,
            *boxes,
            legend(height - 20),
            "</svg>\n",
        ]
    )


# --- Layout ------------------------------------------------------------------------------------


def arrange(definition: Definition) -> list[list[str]]:
    """Ids by depth; within a layer near the middle of what they depend on, so that few lines cross."""
    depth = depths(definition)
    layers: list[list[str]] = [[] for _ in range(max(depth.values()) + 1)]
    for step in definition.steps:
        layers[depth[step.id]].append(step.id)
    row: dict[str, float] = {}
    for layer in layers:
        middle = {
            step_id: mean([row[needed] for needed in definition.step(step_id).depends_on])
            for step_id in layer
        }
        layer.sort(key=lambda step_id: middle[step_id])  # stable: else as they were given
        first = -len(layer) / 2
        row |= {step_id: first + index for index, step_id in enumerate(layer)}
    return layers


def depths(definition: Definition) -> dict[str, int]:
    """The longest way to each step from one that depends on nothing. Iterative: chains may be long."""
    waiting = {step.id: set(step.depends_on) for step in definition.steps}
    after: dict[str, list[str]] = {step.id: [] for step in definition.steps}
    for step_id, needs in waiting.items():
        for needed in needs:
            after[needed].append(step_id)
    depth = dict.fromkeys(waiting, 0)
    free = [step_id for step_id, needs in waiting.items() if not needs]
    while free:
        step_id = free.pop()
        for following in after[step_id]:
            depth[following] = max(depth[following], depth[step_id] + 1)
            waiting[following].discard(step_id)
            if not waiting[following]:
                free.append(following)
    return depth


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def place(layers: Sequence[Sequence[str]]) -> dict[str, Place]:
    """The upper left corner of each box; each layer is centred."""
    tallest = max(len(layer) for layer in layers)
    return {
        step_id: Place(
            MARGIN + column * (BOX_WIDTH + GAP_X),
            HEADER + (2 * row + tallest - len(layer)) * (BOX_HEIGHT + GAP_Y) // 2,
        )
        for column, layer in enumerate(layers)
        for row, step_id in enumerate(layer)
    }


def ways(
    definition: Definition, layers: Sequence[Sequence[str]], places: Mapping[str, Place]
) -> Iterator[list[Place]]:
    """The points of each arrow: from the right side of a box to the left side of another, and through
    the layers in between where no box stands."""
    depth = {step_id: column for column, layer in enumerate(layers) for step_id in layer}
    passing: Counter[tuple[int, int]] = Counter()
    for step in definition.steps:
        for needed in dict.fromkeys(step.depends_on):
            start, end = places[needed], places[step.id]
            way = [Place(start.x + BOX_WIDTH, start.y + BOX_HEIGHT // 2)]
            last = Place(end.x - 8, end.y + BOX_HEIGHT // 2)
            for column in range(depth[needed] + 1, depth[step.id]):
                boxes = [places[step_id] for step_id in layers[column]]
                y = gap_for(way[-1], last, boxes)
                passing[column, y] += 1
                y += LANES[(passing[column, y] - 1) % len(LANES)]
                way += [Place(boxes[0].x, y), Place(boxes[0].x + BOX_WIDTH, y)]
            yield [*way, last]


def gap_for(start: Place, end: Place, boxes: Sequence[Place]) -> int:
    """The middle of the gap above, between or below these boxes that is nearest to the straight way."""
    middle = boxes[0].x + BOX_WIDTH // 2
    straight = start.y + (end.y - start.y) * (middle - start.x) / (end.x - start.x)
    gaps = [boxes[0].y - GAP_Y // 2, *(box.y + BOX_HEIGHT + GAP_Y // 2 for box in boxes)]
    return min(gaps, key=lambda y: abs(y - straight))


# --- Drawing -----------------------------------------------------------------------------------


def box(at: Place, step_id: str, kind: str, depends_on: Sequence[str], state: StepState) -> str:
    known = state.status if state.status in STATUSES else "pending"
    tip = f"{step_id}: {kind}, {status_text(state)}"
    if depends_on:
        tip += f", after {', '.join(depends_on)}"
    return (
        f'<g><title>{text(tip)}</title><rect class="step {known}" x="{at.x}" y="{at.y}" '
        f'width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="8"/>'
        # An svg of its own, because it cuts off what is too wide for the box.
        f'<svg x="{at.x}" y="{at.y}" width="{BOX_WIDTH - 6}" height="{BOX_HEIGHT}">'
        f"{line(20, 'id', step_id)}{line(37, 'soft', kind)}{line(53, '', status_text(state))}"
        f"</svg></g>"
    )


def line(down: int, kind: str, words: str) -> str:
    shown = text(shorten(words, LABEL_CHARACTERS))
    return f'<text class="{kind}" x="12" y="{down}">{shown}</text>'


def status_text(state: StepState) -> str:
    parts = [STATUSES.get(state.status, state.status), state.detail]
    if state.attempts > 1:
        parts.append(f"attempt {state.attempts}")
    return ", ".join(part for part in parts if part)


def edge(way: Sequence[Place]) -> str:
    """A line that bends between the layers and is straight beside boxes, with a head."""
    bend = GAP_X // 2
    path = f"M{way[0].x} {way[0].y}"
    for start, end in pairwise(way):
        if start.y == end.y:
            path += f" H{end.x}"
        else:
            path += f" C{start.x + bend} {start.y} {end.x - bend} {end.y} {end.x} {end.y}"
    return (
        f'<path class="edge" d="{path}"/>'
        f'<path class="head" d="M{way[-1].x + 7} {way[-1].y} l-9 -5 v10 z"/>'
    )


LEGEND_STEP = 104
LEGEND_WIDTH = LEGEND_STEP * len(STATUSES)


def legend(y: int) -> str:
    return "".join(
        f'<rect class="step {status}" x="{MARGIN + index * LEGEND_STEP}" y="{y - 10}" width="14" '
        f'height="12" rx="3"/><text class="soft" x="{MARGIN + 20 + index * LEGEND_STEP}" y="{y}">'
        f"{name}</text>"
        for index, (status, name) in enumerate(STATUSES.items())
    )


def style() -> str:
    light, dark = [], []
    for name, (what, day, night) in COLORS.items():
        light.append(f"{name} {{ {what}: {day} }}")
        dark.append(f"{name} {{ {what}: {night} }}")
    for status, (fill, line, dark_fill, dark_line) in STATUS_COLORS.items():
        light.append(f"rect.{status} {{ fill: {fill}; stroke: {line} }}")
        dark.append(f"rect.{status} {{ fill: {dark_fill}; stroke: {dark_line} }}")
    return "\n".join(
        [
            "",
            f"text {{ font: 13px {FONT} }}",
            "text.title { font-size: 17px; font-weight: 600 }",
            "text.id { font-weight: 600 }",
            "text.soft { font-size: 12px }",
            ".edge { fill: none; stroke-width: 1.5 }",
            "rect.step { stroke-width: 1.5 }",
            *light,
            "@media (prefers-color-scheme: dark) {",
            *dark,
            "}",
            "",
        ]
    )


def describe(definition: Definition, states: Mapping[str, StepState]) -> str:
    """The same in words, for who does not see it."""
    return " ".join(
        f"{step.id} ({step.kind}): {status_text(states[step.id])}"
        + (f", after {', '.join(step.depends_on)}." if step.depends_on else ".")
        for step in definition.steps
    )


def shorten(words: str, most: int) -> str:
    return words if len(words) <= most else words[: most - 1] + "…"


def text(words: str) -> str:
    """Escaped, and without the control characters that XML 1.0 forbids."""
    return escape("".join(char if char.isprintable() else " " for char in words))
