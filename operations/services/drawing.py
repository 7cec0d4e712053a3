"""The picture of a workflow as the database has it now."""

from __future__ import annotations

from operations.graph import StepState, render
from operations.models import Operation
from operations.services.workflows import definition_of, runs_of
from operations.workflow import Run, latest_runs


def draw_workflow(workflow: Operation) -> str:
    """An SVG document. Costs one query, whatever the number of steps."""
    runs = runs_of(workflow)
    undone = {run.step_id: run for run in runs if run.is_rollback}
    states = {
        step_id: state_of(run, undone.get(step_id)) for step_id, run in latest_runs(runs).items()
    }
    return render(definition_of(workflow), workflow.status, states)


def state_of(run: Run, undo: Run | None) -> StepState:
    """A step that was undone is shown so; an undo that is under way or went wrong is told."""
    if undo is None:
        if run.status == "failed" and run.reason == "dependency_failed":
            return StepState("failed", run.attempt, "not started")
        return StepState(run.status, run.attempt)
    if undo.status == "completed":
        return StepState("rolled-back", run.attempt)
    detail = "being undone" if not undo.is_final else f"undo {undo.status}"
    return StepState(run.status, run.attempt, detail)
