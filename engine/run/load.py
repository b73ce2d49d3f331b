"""Load a job: read the model and the data, and refuse what cannot work before any training."""

from pathlib import Path

import numpy as np

from engine.checkpoint.sections import Checkpoint
from engine.data.feed import feeding_of
from engine.data.read import read
from engine.data.rows import stored_parts
from engine.data.split import Dataset, split
from engine.data.summary import summarise
from engine.evaluation import measure
from engine.evaluation.chance import check_baseline
from engine.importers import load_model
from engine.inspection import summary as model_summary
from engine.models.predict import predict
from engine.notes import Notes
from engine.objectives.objectives import Objectives, objective_of
from engine.pruning.masking import Masks
from engine.run.context import Run, RunContext
from engine.run.provenance import provenance
from engine.training.distillation import asks
from engine.training.train import starting_learning_rate
from secateur.specs.reading import Reading
from secateur.specs.search import SearchRecipe
from secateur.specs.sensitivity import SensitivityRecipe
from secateur.specs.spec import Recipe
from secateur.specs.sweep import SweepRecipe
from secateur.validation.fit import check_fit

BROUGHT = 0.01
"""Share of zeros in an uploaded model's kernels from which the report mentions them."""


def load(
    recipe: Recipe,
    *,
    model: Path,
    dataset: Path,
    reading: Reading,
    asked: Recipe | SensitivityRecipe | SweepRecipe | SearchRecipe | None = None,
    checkpoint: Checkpoint | None = None,
    job_id: str | None = None,
) -> Run:
    """Read both files and refuse, before any training, what cannot work.

    Args:
        recipe: the steps of the job and their settings.
        model: the uploaded model.
        dataset: the uploaded data set.
        reading: the declarations of the data set; ``recipe.data.scale`` overrides its scale.
        asked: the spec of the user if the recipe was derived from it; errors name its fields.
        checkpoint: where the steps save their state, and restore it.
        job_id: for the report; None outside the service.

    Raises:
        RequestError: see ``compress``.
    """
    loaded = load_model.load(model)
    keras_model = loaded.model
    summary = model_summary.summarise(keras_model)
    contents = read(dataset, reading)
    check_fit(asked or recipe, summary, summarise(contents, reading))
    inputs, outputs = ([tensor.name for tensor in tensors] for tensors in (summary.inputs, summary.outputs))
    contents = contents.for_model(inputs, outputs)
    data = split(contents, validation_share=recipe.data.validation_share, seed=recipe.seed)
    feed = feeding_of(summary.inputs, recipe.data.scale or reading.scale)
    kinds = contents.label_kinds or {"": contents.label_kind}
    objective = objective_of(keras_model, outputs, kinds, recipe.objective, data.test.y)
    fail = recipe.on_chance_baseline == "fail"
    hint = check_baseline(
        lambda x: objective.of(predict(keras_model, x)),
        data.judged(objective.of),
        feed,
        objective.head,
        fail=fail,
    )
    notes = Notes()
    notes += loaded.notes
    notes += [f"Loss {objective.loss_name}, {objective.source}.", *([hint.note] if hint else [])]
    if isinstance(objective, Objectives):
        notes.append(_judged(objective))
    notes += _about(data)
    for tensor, stored, each in zip(summary.inputs, stored_parts(data.train.x), feed.each, strict=True):
        if stored.shape[1:] != each.shape_of(stored):
            what = "Samples" if len(summary.inputs) == 1 else f"Samples of {tensor.name!r}"
            notes.append(f"{what} were reshaped from {stored.shape[1:]} to {each.shape_of(stored)}.")
    taught = [data.train, data.validation] if asks(recipe) else []
    said = [objective.of(measure.outputs_of(keras_model, feed, split.x)).astype(np.float32) for split in taught]
    context = RunContext(
        recipe,
        data,
        feed,
        objective,
        provenance(recipe, model=model, dataset=dataset, reading=reading, job_id=job_id),
        starting_learning_rate(keras_model, recipe.training.optimizer),
        teacher=said[0] if said else None,
        teacher_held_out=said[1] if said else None,
        checkpoint=checkpoint or Checkpoint(),
    )
    masks = Masks.of(keras_model)
    zeros, total = masks.num_zeros()
    if zeros > BROUGHT * total:
        notes.append(
            f"The uploaded model has {zeros:,} zeros in its kernels ({zeros / total:.0%}); every step keeps them."
        )
    return Run(context, keras_model, masks, notes, suggestions=hint.suggestions if hint else ())


def _about(data: Dataset) -> list[str]:
    """Notes about the samples behind the scores."""
    notes = []
    if data.tested_on == "validation":
        notes.append("The data set has no test split; scores are measured on its validation split.")
    if data.validation is data.train:
        notes.append(
            "No validation samples could be held out without losing a class; "
            "training is evaluated on the training data."
        )
    elif data.held_out:
        notes.append(f"{len(data.validation):,} samples of the training split were held out for validation.")
    return notes


def _judged(objective: Objectives) -> str:
    unlabelled = [output.name for output in objective.outputs if output.weight is None]
    ignored = (
        f" Neither trained nor judged, because they have no labels: {', '.join(unlabelled)}." if unlabelled else ""
    )
    return f"Of {len(objective.outputs)} outputs, {objective.judged!r} is judged.{ignored}"
