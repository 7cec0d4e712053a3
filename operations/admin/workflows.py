"""Submitting a workflow from JSON, with a look at its graph first."""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from accounts.actor import Actor, actor_of
from accounts.models import User, Workspace
from accounts.permissions import require, visible_workspace
from operations.admin.acting import launch_by_form
from operations.admin.launching import DEEPEST, add_errors, json_object
from operations.admin.words import page_of
from operations.admin.workspaces import workspaces_for
from operations.graph import render
from operations.serializers import SubmitWorkflow
from operations.services import workflows
from operations.views.operations import permissions_of_steps
from operations.views.workflows import EXAMPLE
from operations.workflow import Definition
from provisioning.errors import Invalid, ProductError
from provisioning.exception_handler import record_refusal, validation_error

STEP_PATH = re.compile(r"steps\[(\d+)\]\.?")


class WorkflowForm(forms.Form):
    workspace = forms.ChoiceField(
        required=False, help_text="Where it runs. Left open: what the JSON says."
    )
    definition = forms.CharField(
        label="Workflow",
        strip=False,
        widget=forms.Textarea(attrs={"rows": 22, "class": "code", "spellcheck": "false"}),
        help_text="The body of POST /v1/workflows/submit: name and steps, each with id, kind, params and "
        "depends_on.",
    )
    check_mode = forms.BooleanField(
        required=False, label="Check only", help_text="Every step says what it would do."
    )

    def __init__(self, *args: Any, workspaces: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})
        field: Any = self.fields["workspace"]
        field.choices = [("", "as in the JSON"), *((name, name) for name in workspaces)]
        if len(workspaces) == 1:
            self.initial.setdefault("workspace", workspaces[0])

    def clean_definition(self) -> dict[str, Any]:
        wanted = "The JSON must be an object with name and steps."
        return json_object(self.cleaned_data["definition"], wanted)


@dataclass(frozen=True)
class Checked:
    """A workflow that may be submitted by who asks."""

    workspace: Workspace
    body: dict[str, Any]
    definition: Definition

    @property
    def picture(self) -> str:
        """Its graph as the source of an image."""
        svg = render(self.definition, "not submitted yet", {})
        return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


class WorkflowPages:
    """The page that submits one. Mixed into the admin of operations."""

    admin_site: Any
    opts: Any
    media: Any

    def workflow_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.workflow_view)
        return [path("workflow/", view, name="operations_operation_workflow")]

    def workflow_view(self, request: HttpRequest) -> HttpResponse:
        """GET the form; POST with `preview` checks and draws, else submits."""
        user = request.user
        if not (isinstance(user, User) and user.has_perm("workflow_submit")):
            raise PermissionDenied
        actor = actor_of(request)
        form = WorkflowForm(
            request.POST if request.method == "POST" else None,
            workspaces=workspaces_for(actor, "workflow_submit"),
        )
        checked: Checked | None = None
        status = 200
        if request.method == "POST" and form.is_valid():
            try:
                checked = check(form.cleaned_data, actor)
                if "preview" not in request.POST:
                    return HttpResponseRedirect(page_of(submit(request, checked, actor)))
            except ProductError as error:
                if error.status == 403:
                    record_refusal(request, error)
                    status = error.status
                add_errors(form, error)
        return TemplateResponse(
            request,
            "admin/operations/operation/workflow.html",
            {
                **self.admin_site.each_context(request),
                "title": "Submit a workflow",
                "opts": self.opts,
                "media": self.media,
                "form": form,
                "form_key": request.POST.get("form_key") or uuid.uuid4(),
                "checked": checked,
                "example": json.dumps(EXAMPLE, indent=2),
            },
            status=status,
        )


def check(values: Mapping[str, Any], actor: Actor) -> Checked:
    """As the API checks a body. Raises ProductError."""
    body = dict(values["definition"])
    if values["workspace"]:
        body["workspace"] = values["workspace"]
    if values["check_mode"]:
        body["check_mode"] = True
    serializer = SubmitWorkflow(data=body)
    try:
        serializer.is_valid(raise_exception=True)
    except RecursionError:
        raise Invalid(DEEPEST) from None
    except Exception as error:
        raise _as_invalid(error, body) from None
    clean = dict(serializer.validated_data)
    workspace = visible_workspace(actor, clean.pop("workspace"))
    for permission in ("workflow_submit", *permissions_of_steps(clean["steps"])):
        require(actor, permission, workspace)
    try:
        definition = workflows.check_definition(workspace.name, clean)
    except Invalid as error:
        raise in_definition([named(error.message, body)]) from None
    return Checked(workspace, clean, definition)


def submit(request: HttpRequest, checked: Checked, actor: Actor) -> Any:
    said = {"workspace": checked.workspace.name, **checked.body}
    return launch_by_form(
        request,
        said,
        lambda: workflows.submit_workflow(
            actor=actor, workspace=checked.workspace, body=checked.body
        ),
    )


def _as_invalid(error: Exception, body: Mapping[str, Any]) -> Invalid:
    found = validation_error(error)  # type: ignore[arg-type]  # is_valid raises no other
    sentences = [
        f"{named(field, body)}: {sentence}"
        for field, told in (found.details or {}).items()
        for sentence in told
    ]
    return in_definition(sentences)


def in_definition(sentences: list[str]) -> Invalid:
    refusal = Invalid(sentences[0])
    refusal.details = {"definition": sentences}
    return refusal


def named(text: str, body: Mapping[str, Any]) -> str:
    """`steps[1].params.name` -> `step runtime, params.name`, as far as that step tells its id."""
    steps = body.get("steps", body.get("operations"))

    def name_of(match: re.Match[str]) -> str:
        index = int(match[1])
        step = steps[index] if isinstance(steps, list) and index < len(steps) else None
        known = step.get("id") if isinstance(step, dict) else None
        return f"step {known or index + 1}, "

    return STEP_PATH.sub(name_of, text).rstrip(", ")
