"""A job under way, and its beginning: read model and data, and refuse what cannot work."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from engine import model as models
from engine.arrays import Array
from engine.data.formats import read
from engine.data.rows import select, stored_parts
from engine.data.split import Dataset, split
from engine.data.summary import summarise
from engine.distill import asks
from engine.feed import Feeding, feeding_of
from engine.measuring import measure
from engine.measuring.chance import check_baseline
from engine.notes import Notes
from engine.objectives import Aim, Objectives, aim_of
from engine.parts import Inputs
from engine.prunable import prunable_kernels
from engine.pruning.masking import Masks
from engine.pruning.observe import Batch, Observer
from engine.repair.batchnorm import MAX_BATCHES, reestimate_if_better
from engine.repair.equations import Samples
from engine.trail import Trail
from engine.train import starting_learning_rate
from jobspec.fit import check_fit
from jobspec.reading import Reading
from jobspec.report import GroupCut, TrainingPoint
from jobspec.search import SearchRecipe
from jobspec.sensitivity import SensitivityRecipe
from jobspec.spec import Recipe
from jobspec.sweep import SweepRecipe

JUDGED = 2000
"""Validation samples on which two states of a model are compared."""

OBSERVED = 1024
"""Training samples that a criterion which looks at data sees at each cut."""


REPAIR_BATCH = 256
"""Inputs that a repair computes at a time."""


@dataclass
class Job:
    """A job under way: what its steps share, and what they change."""

    recipe: Recipe
    model: Any
    data: Dataset
    feed: Feeding
    objective: Aim
    masks: Masks
    learning_rate: float
    notes: list[str]
    result: measure.Export | None = None
    targets: dict[str, float] = field(default_factory=dict)
    num_groups: dict[str, int] = field(default_factory=dict)
    """Into how many groups that go together the last cut divided each kernel."""
    groups: dict[str, GroupCut] = field(default_factory=dict)
    """What became of each group of channels, when a step cut any."""
    history: list[TrainingPoint] = field(default_factory=list)
    suggestions: tuple[str, ...] = ()
    """What the user may want to change, found out on the way."""
    teacher: Array | None = None
    """What the uploaded model says of each training sample, when a step learns from it."""
    teacher_held_out: Array | None = None
    """The same of each validation sample."""
    trail: Trail = field(default_factory=Trail)
    """Where the steps tell how far they are."""

    def again(self, recipe: Recipe, model: Any) -> "Job":
        """Another job on the same data, with steps of its own, that begins with this model and changes it."""
        return replace(
            self,
            recipe=recipe,
            model=model,
            masks=Masks(prunable_kernels(model)),
            notes=list(self.notes),
            result=None,
            targets={},
            num_groups={},
            groups={},
            history=[],
        )

    def calibration(self, num_samples: int) -> Inputs:
        """Inputs from the training split, picked by the seed."""
        return self.feed(self.data.train.x[self._picked(num_samples)])

    def training_inputs(self, num_samples: int, size: int) -> Iterator[Inputs]:
        """The same inputs, ``size`` at a time and never all at once."""
        picked = self._picked(num_samples)
        for start in range(0, len(picked), size):
            yield self.feed(self.data.train.x[picked[start : start + size]])

    def samples(self, wanted: int) -> Samples:
        """Unlabelled training inputs for a repair; all that there are when more are wanted."""
        count = min(wanted, len(self.data.train))
        return Samples(lambda: self.training_inputs(count, REPAIR_BATCH), count, self.recipe.seed)

    def shuffled(self, num_samples: int) -> Array:
        """Places of training samples, in an order that the seed fixes."""
        return np.random.default_rng(self.recipe.seed).permutation(len(self.data.train))[:num_samples]

    def _picked(self, num_samples: int) -> Array:
        return np.sort(self.shuffled(num_samples))

    def observer(self) -> Observer:
        """Watches the kernels at work on ``OBSERVED`` training samples."""
        return Observer(self.model, self.masks.kernels, self.objective.loss, self.labelled_batches)

    def labelled_batches(self) -> Iterator[Batch]:
        """``OBSERVED`` training samples with their labels, as the loss takes them."""
        train, size = self.data.train, self.recipe.training.batch_size
        picked = self.shuffled(OBSERVED)
        for start in range(0, len(picked), size):
            part = np.sort(picked[start : start + size])
            yield self.feed(train.x[part]), self.objective.encode(train.y[part])

    def refresh_statistics(self) -> None:
        """Re-estimate BatchNorm on training batches, unless that makes the model worse on held-out samples."""
        held_out, size = self.data.validation.first(JUDGED), self.recipe.training.batch_size
        inputs = self.feed.batches(select(self.data.train.x, self.shuffled(MAX_BATCHES * size)), size)

        def quality() -> float:
            outputs = measure.outputs_of(self.model, self.feed, held_out.x)
            aim = self.objective
            return aim.head.goodness(aim.of(held_out.y), aim.of(outputs))

        reestimate_if_better(self.model, inputs, judge=quality)

    def probe(self) -> Inputs:
        """A few inputs to compare a file with its Keras model."""
        return self.feed(self.data.test.x[: measure.BATCH])


def load(
    recipe: Recipe,
    *,
    model: Path,
    dataset: Path,
    reading: Reading,
    asked: Recipe | SensitivityRecipe | SweepRecipe | SearchRecipe | None = None,
) -> Job:
    """Read both files and refuse, before any training, what cannot work.

    Args:
        asked: what the user wrote, when the recipe was made of it: errors name its fields.

    Raises:
        RequestError: see ``compress``.
    """
    keras_model = models.load_model(model)
    summary = models.summarise(keras_model)
    contents = read(dataset, reading)
    check_fit(asked or recipe, summary, summarise(contents, reading))
    inputs, outputs = ([tensor.name for tensor in tensors] for tensors in (summary.inputs, summary.outputs))
    contents = contents.for_model(inputs, outputs)
    data = split(contents, validation_share=recipe.data.validation_share, seed=recipe.seed)
    feed = feeding_of(summary.inputs, recipe.data.scale or reading.scale)
    kinds = contents.label_kinds or {"": contents.label_kind}
    objective = aim_of(keras_model, outputs, kinds, recipe.objective)
    fail = recipe.on_chance_baseline == "fail"
    hint = check_baseline(
        lambda x: objective.of(measure.predict(keras_model, x)),
        data.judged(objective.of),
        feed,
        objective.head,
        fail=fail,
    )
    notes = Notes()
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
    return Job(
        recipe,
        keras_model,
        data,
        feed,
        objective,
        Masks(prunable_kernels(keras_model)),
        starting_learning_rate(keras_model, recipe.training.optimizer),
        notes,
        suggestions=hint.suggestions if hint else (),
        teacher=said[0] if said else None,
        teacher_held_out=said[1] if said else None,
    )


def _about(data: Dataset) -> list[str]:
    """What a reader of scores should know of the samples behind them."""
    notes = []
    if data.tested_on == "validation":
        notes.append("The data set has no test split: scores are those of its validation split.")
    if data.validation is data.train:
        notes.append(
            "No sample can be held out without a class losing its last: training is judged by what it is trained on."
        )
    elif data.held_out:
        notes.append(f"{len(data.validation):,} samples of the training split were held out for validation.")
    return notes


def _judged(objective: Objectives) -> str:
    silent = [output.name for output in objective.outputs if output.weight is None]
    told = f" Without labels, so neither trained nor judged: {', '.join(silent)}." if silent else ""
    return f"Of {len(objective.outputs)} outputs {objective.judged!r} is judged.{told}"
