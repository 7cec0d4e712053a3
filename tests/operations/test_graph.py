"""The picture of a workflow: pure layout and SVG, the route, and the console's page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pytest
from django.test import Client
from rest_framework.test import APIClient

from accounts.models import User, Workspace
from operations.graph import (
    BOX_HEIGHT,
    BOX_WIDTH,
    Place,
    StepState,
    arrange,
    depths,
    place,
    render,
    ways,
)
from operations.models import Operation
from operations.workflow import Definition, Step
from tests.answers import assert_error
from tests.factories import bind, make_user, make_workspace

Api = Callable[[User | None], APIClient]

SVG = "{http://www.w3.org/2000/svg}"


def definition(**needs: list[str]) -> Definition:
    steps = [Step(name, "cluster_create", {}, tuple(after)) for name, after in needs.items()]
    return Definition("w", tuple(steps))


def steps_in(picture: str) -> dict[str, tuple[str, list[str]]]:
    """Step -> (its class, its lines of text)."""
    found = {}
    for group in ElementTree.fromstring(picture).iter(f"{SVG}g"):  # noqa: S314 - our own
        box = group.find(f"{SVG}rect")
        assert box is not None
        lines = [line.text or "" for line in group.iter(f"{SVG}text")]
        found[lines[0]] = (box.attrib["class"].removeprefix("step "), lines[1:])
    return found


def test_a_step_stands_right_of_everything_that_it_depends_on() -> None:
    graph = definition(c=["a", "b"], b=["a"], a=[], d=[])

    assert depths(graph) == {"c": 2, "b": 1, "a": 0, "d": 0}
    assert arrange(graph) == [["a", "d"], ["b"], ["c"]]


def test_no_two_boxes_stand_on_each_other() -> None:
    graph = definition(**{f"s{i}": [f"s{i // 2 - 1}"] if i > 1 else [] for i in range(30)})

    places = place(arrange(graph))

    assert len(set(places.values())) == 30


def test_a_long_chain_is_drawn() -> None:
    graph = definition(**{f"s{i}": [f"s{i - 1}"] if i else [] for i in range(2000)})

    assert len(arrange(graph)) == 2000


def test_a_box_tells_kind_status_and_attempts() -> None:
    states = {"a": StepState("running", 3), "b": StepState("completed", 1, "undo failed")}

    assert steps_in(render(definition(a=[], b=["a"], c=["b"]), "running", states)) == {
        "a": ("running", ["cluster_create", "running, attempt 3"]),
        "b": ("completed", ["cluster_create", "completed, undo failed"]),
        "c": ("pending", ["cluster_create", "pending"]),
    }


def test_every_dependency_is_an_arrow() -> None:
    picture = render(definition(a=[], b=["a"], c=["a", "b"]), "pending", {})

    assert picture.count('class="edge"') == picture.count('class="head"') == 3


def test_an_arrow_that_skips_layers_passes_between_their_boxes() -> None:
    graph = definition(
        a=[],
        **{f"b{i}": ["a"] for i in range(4)},
        c=["b1"],
        d=["b2"],
        e=["c", "a", "b3"],
        f=["e", "a"],
    )
    layers = arrange(graph)
    places = place(layers)

    skipping = [way for way in ways(graph, layers, places) if len(way) > 2]

    assert [len(way) for way in skipping] == [6, 4, 8]  # two points for each layer that is skipped
    for way in skipping:
        for left, right in zip(way[1:-1:2], way[2:-1:2], strict=True):
            beside = [at for at in places.values() if at.x == left.x]
            assert beside
            assert right == Place(left.x + BOX_WIDTH, left.y)
            assert not [at for at in beside if at.y <= left.y <= at.y + BOX_HEIGHT]


def test_arrows_through_one_gap_are_told_apart() -> None:
    graph = definition(a=[], b=["a"], c=["b", "a"], d=["b", "a"])
    layers = arrange(graph)

    beside = [way[1] for way in ways(graph, layers, place(layers)) if len(way) > 2]

    assert len(set(beside)) == 2


def test_nothing_in_a_name_becomes_markup() -> None:
    evil = "</text><script>alert(1)</script>\x00\x1b&\"'"
    graph = Definition(evil, (Step(evil, evil, {}), Step("b", "x", {}, (evil,))))

    picture = render(graph, evil, {"b": StepState(evil, 1, evil)})

    root = ElementTree.fromstring(picture)  # noqa: S314 - our own
    assert {node.tag.removeprefix(SVG) for node in root.iter()} == {
        *("svg", "title", "desc", "style", "rect", "text", "path", "g"),
    }
    assert not [name for node in root.iter() for name in node.attrib if name.startswith("on")]


def test_the_picture_says_in_words_what_it_shows() -> None:
    picture = render(definition(a=[], b=["a"]), "failed", {"a": StepState("failed", 2)})

    root = ElementTree.fromstring(picture)  # noqa: S314 - our own
    assert root.findtext(f"{SVG}title") == "Workflow w: failed"
    assert root.findtext(f"{SVG}desc") == (
        "a (cluster_create): failed, attempt 2. b (cluster_create): pending, after a."
    )
    assert "prefers-color-scheme: dark" in picture


# --- Where it is served ------------------------------------------------------------------------


@pytest.fixture
def workflow(operator: User, workspace: Workspace, api: Api) -> Operation:
    steps: list[dict[str, Any]] = [
        {"id": "a", "kind": "cluster_create", "params": {"name": "a"}},
        {"id": "b", "kind": "cluster_create", "params": {"name": "b"}, "depends_on": ["a"]},
    ]
    body = {"workspace": workspace.name, "name": "w", "steps": steps}
    answer = api(operator).post("/v1/workflows/submit", body, format="json")
    assert answer.status_code == 202
    return Operation.objects.get(pk=answer.json()["id"])


def test_the_route_answers_an_image_that_can_do_nothing(
    workflow: Operation, viewer: User, api: Api
) -> None:
    answer = api(viewer).get(f"/v1/workflows/{workflow.pk}/graph.svg", HTTP_ACCEPT="image/*")

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "image/svg+xml; charset=utf-8"
    policy = answer.headers["Content-Security-Policy"]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    assert set(steps_in(answer.content.decode())) == {"a", "b"}


def test_an_undone_step_is_shown_as_rolled_back(
    workflow: Operation, viewer: User, api: Api
) -> None:
    first = workflow.steps.get(step_id="a")
    now = first.created_at
    workflow.steps.filter(step_id="a").update(status="completed", finished_at=now)
    Operation.objects.create(
        kind="cluster_delete",
        workspace=workflow.workspace,
        workspace_name=workflow.workspace_name,
        requested_by_name="bob",
        timeout_seconds=1,
        workflow=workflow,
        step_id="a",
        is_rollback=True,
        status="completed",
        finished_at=now,
    )

    answer = api(viewer).get(f"/v1/workflows/{workflow.pk}/graph.svg")

    assert steps_in(answer.content.decode())["a"][0] == "rolled-back"


def test_the_console_shows_the_picture_of_a_workflow(workflow: Operation, viewer: User) -> None:
    client = Client()
    client.force_login(viewer)
    picture = f"/admin/operations/operation/{workflow.pk}/graph.svg"

    page = client.get(f"/admin/operations/operation/{workflow.pk}/change/").content.decode()

    assert f'src="{picture}"' in page
    answer = client.get(picture)
    assert answer.headers["Content-Type"] == "image/svg+xml; charset=utf-8"
    assert set(steps_in(answer.content.decode())) == {"a", "b"}


def test_who_may_not_see_the_workflow_does_not_see_its_picture(
    workflow: Operation, api: Api
) -> None:
    guest = make_user("guest")
    bind(guest, "Viewer", make_workspace("other"))
    client = Client()
    client.force_login(guest)

    assert_error(api(guest).get(f"/v1/workflows/{workflow.pk}/graph.svg"), 404)
    picture = f"/admin/operations/operation/{workflow.pk}/graph.svg"
    assert client.get(picture).status_code == 404
    assert Client().get(picture).status_code == 302
