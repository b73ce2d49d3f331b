"""The steps of a job as its row holds them."""

from collections.abc import Iterable
from typing import Any

from infra.db.tables import Job
from secateur.protocol.progress import StepProgress
from secateur.protocol.states import StepState


def steps_of(job: Job) -> tuple[StepProgress, ...]:
    """The steps of a row, as models."""
    return tuple(StepProgress.model_validate(step) for step in job.steps)


def running_step(job: Job) -> str | None:
    """The name of the step that was under way."""
    return next((step.name for step in steps_of(job) if step.state == StepState.RUNNING), None)


def dump(steps: Iterable[StepProgress]) -> list[dict[str, Any]]:
    """Steps as a row holds them."""
    return [step.model_dump(mode="json") for step in steps]


def reset_steps(job: Job) -> list[dict[str, Any]]:
    """The steps of a job that begins again. Done stays what its checkpoint has behind it, or a sweep before trials."""
    before = job.checkpoint_steps or (job.steps if job.kind == "sweep" else [])
    done = {step["name"]: step for step in before if step["state"] == StepState.SUCCEEDED}
    return [done.get(step["name"]) or StepProgress(name=step["name"]).model_dump(mode="json") for step in job.steps]
