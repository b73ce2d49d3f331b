"""A job between two steps as a section of a checkpoint, and back."""

import logging
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

from engine.checkpoint.sections import Section, as_array, bytes_as_array, from_array
from engine.evaluation import exports
from engine.importers import load_model
from engine.models import model as models
from engine.models.prunable import prunable_kernels
from engine.pruning.masking import Masks
from engine.pruning.model_state import load_model_state, model_state
from engine.run.context import Job
from secateur.reports.report import GroupCut, TrainingPoint
from secateur.specs.channels import PruneChannels

_log = logging.getLogger(__name__)

STRUCTURE: Final = "structure"
"""The model's layers as a ``.keras`` file, when they are not those of the upload any more."""


def job_state(job: Job, *, structure: bool = False) -> Section:
    """What the steps of a job have changed so far.

    Args:
        structure: whether to tell the layers too, because steps have made others.
    """
    about = {
        "targets": job.targets,
        "num_groups": job.num_groups,
        "groups": [group.model_dump(mode="json") for group in job.groups.values()],
        "history": [point.model_dump(mode="json") for point in job.history],
        "notes": list(job.notes),
        "suggestions": list(job.suggestions),
    }
    result = {} if job.result is None else exports.state_dict(job.result)
    layers = {STRUCTURE: _layers_state(job.model)} if structure else {}
    return {"about": as_array(about), **model_state(job.model, job.masks), **result, **layers}


def load_job_state(section: Section, job: Job) -> None:
    """Put a job that has just been loaded, or whose model has the same layers, where the other one was."""
    if STRUCTURE in section:
        job.model = _layers(section[STRUCTURE])
        job.masks = Masks(prunable_kernels(job.model))
    load_model_state(section, job.model, job.masks)
    about = from_array(section["about"])
    job.targets, job.num_groups = about["targets"], about["num_groups"]
    job.groups = {group.name: group for group in map(GroupCut.model_validate, about["groups"])}
    job.history = list(map(TrainingPoint.model_validate, about["history"]))
    job.notes[:], job.suggestions = about["notes"], tuple(about["suggestions"])
    job.result = exports.from_state_dict(job.model, section) if "export" in section else None


def _layers_state(model: Any) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        models.save_model(model, path := Path(folder) / "model.keras")
        return bytes_as_array(path.read_bytes())


def _layers(content: Any) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        (path := Path(folder) / "model.keras").write_bytes(content.tobytes())
        return load_model.load_model(path)


FILES: Final = ("model.keras", "model.tflite", "sensitivity.json")
"""What steps leave in the output folder for later ones."""


def step_checkpoint(job: Job, number: int, out: Path) -> AbstractContextManager[None]:
    """While the block carries out a step, the job as it was before is what another process would begin with.

    Args:
        number: of the step, from 0.
    """
    reshaped = any(isinstance(step, PruneChannels) for step in job.recipe.steps[:number])

    def left() -> Section:
        found = [path for path in (out / name for name in FILES) if path.is_file()]
        return {f"file/{path.name}": bytes_as_array(path.read_bytes()) for path in found}

    return job.checkpoint.restart_point(
        "job", lambda: {"number": as_array(number), **job_state(job, structure=reshaped)}, live=left
    )


def resume_steps(job: Job, out: Path) -> int:
    """Put a job that was loaded where another process was in its steps. Returns how many were done there."""
    section = job.checkpoint.restore("job")
    if section is None:
        return 0
    load_job_state(section, job)
    for name in FILES:
        if f"file/{name}" in section:
            (out / name).write_bytes(section[f"file/{name}"].tobytes())
    number = int(from_array(section["number"]))
    _log.info("Going on in step %d of %d, where an earlier attempt was.", number + 1, len(job.recipe.steps) + 1)
    return number
