"""Submitting a workflow in the console: checked and drawn first, then submitted."""

from __future__ import annotations

import base64
import copy
import json
import uuid
from html import unescape
from typing import Any

import pytest

from accounts.models import Role, RoleBinding, User, Workspace
from operations.models import Operation
from operations.views.workflows import EXAMPLE
from tests.factories import bind, make_user, make_workspace
from tests.operations.test_inventory_console import UNFIT
from tests.operations.test_operations_console import denials, html, logged_in

PAGE = "/admin/operations/operation/workflow/"


def changed(change: Any) -> str:
    body: Any = copy.deepcopy(EXAMPLE)
    change(body)
    return json.dumps(body)


def post(user: User, definition: str, **more: str) -> Any:
    return logged_in(user).post(PAGE, {"definition": definition, **more})


def test_the_graph_is_shown_before_anything_starts(operator: User, workspace: Workspace) -> None:
    answer = post(operator, json.dumps(EXAMPLE), preview="1")

    shown = answer.content.decode()
    drawn = base64.b64decode(shown.partition("image/svg+xml;base64,")[2].partition('"')[0]).decode()
    assert "web in production: 2 steps" in shown
    assert "machine" in drawn
    assert "runtime" in drawn
    assert not Operation.objects.exists()
    assert "&quot;machine&quot;" in shown  # what was typed is still there


def test_it_is_submitted_once(operator: User, workspace: Workspace) -> None:
    key = str(uuid.uuid4())

    first = post(operator, json.dumps(EXAMPLE), form_key=key, check_mode="on")
    second = post(operator, json.dumps(EXAMPLE), form_key=key, check_mode="on")

    workflow = Operation.objects.get(kind="workflow")
    assert first["Location"] == second["Location"]
    assert first["Location"] == f"/admin/operations/operation/{workflow.pk}/change/"
    assert workflow.check_mode
    assert workflow.subject == "web"
    assert workflow.steps.count() == 2


def test_the_chosen_workspace_goes_before_that_of_the_json(
    operator: User, workspace: Workspace
) -> None:
    make_workspace("staging")

    post(operator, json.dumps(EXAMPLE), workspace="staging")

    assert Operation.objects.get(kind="workflow").workspace_name == "staging"


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        ('{"name": }', "Line 1, column 10"),
        ("[]", "must be an object"),
        ("[" * 5000, "nested too deep"),
        (changed(lambda body: body.pop("name")), "name: This field is required."),
        (changed(lambda body: body.update(steps=[])), "a workflow needs at least one step"),
        (
            changed(lambda body: body["steps"][1]["params"].pop("name")),
            "step runtime, params.name: This field is required.",
        ),
        (
            changed(lambda body: body["steps"][0].update(kind="fly")),
            "step machine, kind: &quot;fly&quot; is not a valid choice.",
        ),
        (
            changed(lambda body: body["steps"][0].update(colour="red")),
            "step machine, colour: is no field of this request",
        ),
        (
            changed(lambda body: body["steps"][0].update(depends_on=["runtime"])),
            "the steps depend on each other: machine -&gt; runtime -&gt; machine",
        ),
        (
            changed(lambda body: body["steps"][1].update(depends_on=["nobody"])),
            "step &#x27;runtime&#x27; depends on &#x27;nobody&#x27;, which is no step",
        ),
        (changed(lambda body: body.update(workspace="nowhere")), "is no workspace"),
    ],
)
@pytest.mark.parametrize("button", ["preview", "submit"])
def test_what_is_wrong_is_named_by_step_and_field(
    operator: User, workspace: Workspace, definition: str, said: str, button: str
) -> None:
    answer = post(operator, definition, **{button: "1"})

    assert answer.status_code == 200
    assert said in answer.content.decode()
    assert not Operation.objects.exists()


@pytest.mark.parametrize("button", ["preview", "submit"])
@pytest.mark.parametrize(("unfit", "said"), UNFIT)
def test_a_step_that_cannot_be_kept_is_a_sentence_in_the_form(
    operator: User, workspace: Workspace, unfit: str, said: str, button: str
) -> None:
    there = changed(lambda body: body["steps"][1]["params"].update(settings="HERE"))
    definition = there.replace('"HERE"', unfit)

    answer = post(operator, definition, form_key="k", **{button: "1"})

    shown = unescape(answer.content.decode())
    assert answer.status_code == 200
    assert said.partition(", column")[0] in shown
    assert definition in shown
    assert not Operation.objects.exists()


@pytest.mark.parametrize("button", ["preview", "submit"])
@pytest.mark.parametrize("field", ["id", "kind"])
def test_half_a_character_in_a_step_is_a_sentence_in_the_form(
    operator: User, workspace: Workspace, field: str, button: str
) -> None:
    definition = changed(lambda body: body["steps"][0].update({field: "\ud800"}))

    answer = post(operator, definition, **{button: "1"})

    assert answer.status_code == 200
    assert "Line 1" in answer.content.decode()
    assert not Operation.objects.exists()


def test_a_workflow_is_no_way_around_the_permission_of_its_steps(workspace: Workspace) -> None:
    names = ["workflow_submit", "operation_read", "workspace_read"]
    user = make_user("wendy")
    RoleBinding.objects.create(
        user=user, role=Role.objects.create(name="Submitter", permissions=names)
    )

    for button in ("preview", "submit"):
        answer = post(user, json.dumps(EXAMPLE), **{button: "1"})
        assert answer.status_code == 403
        assert "permission server_create" in answer.content.decode()
    assert denials(user) == 2
    assert not Operation.objects.exists()


def test_only_workspaces_of_the_permission_are_offered(workspace: Workspace) -> None:
    make_workspace("other")
    user = make_user("una")
    bind(user, "Operator", workspace)

    shown = html(logged_in(user), PAGE)

    assert "production</option>" in shown
    assert "other</option>" not in shown


def test_who_may_not_submit_is_refused_and_remembered(viewer: User, workspace: Workspace) -> None:
    assert logged_in(viewer).get(PAGE).status_code == 403
    assert post(viewer, json.dumps(EXAMPLE)).status_code == 403
    assert denials(viewer) == 2
    assert not Operation.objects.exists()
