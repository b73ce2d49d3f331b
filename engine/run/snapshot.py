"""The state of a job between two steps as a section of a checkpoint, and back."""

import logging
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

from engine.checkpoint.sections import Section, as_array, bytes_as_array, from_array
from engine.export import saved_export
from engine.importers import load_model
from engine.models import model as models
from engine.pruning.masking import Masks
from engine.pruning.model_state import load_model_state, model_state
from engine.run.context import Run
from secateur.reports.report import GroupCut, TrainingPoint
from secateur.specs.channels import PruneChannels

_log = logging.getLogger(__name__)

STRUCTURE: Final = "structure"
"""The model's layers as a ``.keras`` file, if they differ from those of the upload."""


def run_state(run: Run, *, structure: bool = False) -> Section:
    """Everything that the steps of a job have changed so far.

    Args:
        structure: whether to include the layers, because steps have changed them.
    """
    about = {
        "targets": run.targets,
        "num_groups": run.num_groups,
        "groups": [group.model_dump(mode="json") for group in run.groups.values()],
        "history": [point.model_dump(mode="json") for point in run.history],
        "notes": list(run.notes),
        "suggestions": list(run.suggestions),
    }
    result = {} if run.result is None else saved_export.state_dict(run.result)
    layers = {STRUCTURE: _layers_state(run.model)} if structure else {}
    return {"about": as_array(about), **model_state(run.model, run.masks), **result, **layers}


def load_run_state(section: Section, run: Run) -> None:
    """Load the state into a job that was just loaded, or whose model has the same layers."""
    if STRUCTURE in section:
        run.model = _layers(section[STRUCTURE])
        run.masks = Masks.of(run.model)
    load_model_state(section, run.model, run.masks)
    about = from_array(section["about"])
    run.targets, run.num_groups = about["targets"], about["num_groups"]
    run.groups = {group.name: group for group in map(GroupCut.model_validate, about["groups"])}
    run.history = list(map(TrainingPoint.model_validate, about["history"]))
    run.notes[:], run.suggestions = about["notes"], tuple(about["suggestions"])
    run.result = saved_export.from_state_dict(run.model, section) if "export" in section else None


def _layers_state(model: Any) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        models.save_model(model, path := Path(folder) / "model.keras")
        return bytes_as_array(path.read_bytes())


def _layers(content: Any) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        (path := Path(folder) / "model.keras").write_bytes(content.tobytes())
        return load_model.load_model(path)


FILES: Final = ("model.keras", "model.tflite", "sensitivity.json")
"""Files that steps write to the output folder for later steps."""


def step_checkpoint(run: Run, number: int, out: Path) -> AbstractContextManager[None]:
    """While the block runs a step, checkpoints hold the job as it was before the step.

    Args:
        number: of the step, from 0.
    """
    reshaped = any(isinstance(step, PruneChannels) for step in run.context.recipe.steps[:number])

    def files() -> Section:
        found = [path for path in (out / name for name in FILES) if path.is_file()]
        return {f"file/{path.name}": bytes_as_array(path.read_bytes()) for path in found}

    return run.context.checkpoint.restart_point(
        "job", lambda: {"number": as_array(number), **run_state(run, structure=reshaped)}, live=files
    )


def resume_steps(run: Run, out: Path) -> int:
    """Load the state of an earlier process into a loaded job. Returns how many steps that process had finished."""
    section = run.context.checkpoint.restore("job")
    if section is None:
        return 0
    load_run_state(section, run)
    for name in FILES:
        if f"file/{name}" in section:
            (out / name).write_bytes(section[f"file/{name}"].tobytes())
    number = int(from_array(section["number"]))
    total = len(run.context.recipe.steps) + 1
    _log.info("Resumed in step %d of %d from the checkpoint of an earlier attempt.", number + 1, total)
    return number
