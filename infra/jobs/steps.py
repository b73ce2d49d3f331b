"""The steps of a job, as its row stores them."""

from collections.abc import Iterable
from typing import Any, Final

from infra.db.tables import Job
from secateur.protocol.progress import StepProgress
from secateur.protocol.states import JobState, StepState

_ENDS: Final = {JobState.FAILED: StepState.FAILED, JobState.CANCELLED: StepState.CANCELLED}


def steps_of(job: Job) -> tuple[StepProgress, ...]:
    """Return the steps of a row as models."""
    return tuple(StepProgress.model_validate(step) for step in job.steps)


def running_step(job: Job) -> str | None:
    """Return the name of the step that is running; None if none is."""
    return next((step.name for step in steps_of(job) if step.state == StepState.RUNNING), None)


def ended_steps(steps: Iterable[StepProgress], state: JobState) -> tuple[StepProgress, ...]:
    """Return the steps of a job that ends in this state: the running step has failed, or was cancelled.

    >>> (step,) = ended_steps([StepProgress(name="prune", state=StepState.RUNNING)], JobState.CANCELLED)
    >>> step.state.value
    'cancelled'
    """
    if state not in _ENDS:
        return tuple(steps)
    end = {"state": _ENDS[state], "eta_seconds": None}
    return tuple(step.model_copy(update=end) if step.state == StepState.RUNNING else step for step in steps)


def dump(steps: Iterable[StepProgress]) -> list[dict[str, Any]]:
    """Return steps as a row stores them."""
    return [step.model_dump(mode="json") for step in steps]


def reset_steps(job: Job) -> list[dict[str, Any]]:
    """Return the steps for the next attempt.

    Steps that succeeded before the checkpoint, or a sweep's fan-out, stay done.
    """
    before = job.checkpoint_steps or (job.steps if job.kind == "sweep" else [])
    done = {step["name"]: step for step in before if step["state"] == StepState.SUCCEEDED}
    return [done.get(step["name"]) or StepProgress(name=step["name"]).model_dump(mode="json") for step in job.steps]
