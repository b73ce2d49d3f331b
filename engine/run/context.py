"""The run of a job: its model, data and settings, and the state that its steps change."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from engine.arrays import Array
from engine.checkpoint.sections import Checkpoint
from engine.data.feed import Feeding
from engine.data.rows import select
from engine.data.split import Dataset
from engine.evaluation import measure
from engine.export.export import Export
from engine.models.predict import BATCH
from engine.objectives.objectives import AnyObjective
from engine.parts import Inputs
from engine.pruning.masking import Masks
from engine.pruning.observe import Batch, Observer
from engine.reconstruction.batchnorm import MAX_BATCHES, reestimate_if_better
from engine.reconstruction.equations import Samples
from secateur.reports.report import GroupCut, Provenance, TrainingPoint
from secateur.specs.spec import Recipe

JUDGED = 2000
"""How many validation samples two states of a model are compared on."""

OBSERVED = 1024
"""How many training samples a data-driven criterion uses at each cut."""


RECONSTRUCTION_BATCH = 256
"""How many samples a reconstruction computes at a time."""


@dataclass(frozen=True)
class RunContext:
    """What the steps of a run share and never change."""

    recipe: Recipe
    data: Dataset
    feed: Feeding
    objective: AnyObjective
    provenance: Provenance
    learning_rate: float
    """The learning rate that the uploaded model was trained with, or a default."""
    teacher: Array | None = None
    """The outputs of the uploaded model for the training split, if a step distils from it."""
    teacher_held_out: Array | None = None
    """The outputs for the validation split."""
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    """Where the steps save their state, and restore it."""


@dataclass
class Run:
    """The run of a job: its context, and the state that its steps change, one step at a time."""

    context: RunContext
    model: Any
    masks: Masks
    notes: list[str]
    result: Export | None = None
    """The exported model, once a step or the end of the run has exported it."""
    targets: dict[str, float] = field(default_factory=dict)
    """The sparsity that the steps so far promise for each kernel."""
    num_groups: dict[str, int] = field(default_factory=dict)
    """The number of groups of weights, pruned together, that the last cut divided each kernel into."""
    groups: dict[str, GroupCut] = field(default_factory=dict)
    """The result for each coupling group, if a step pruned channels."""
    history: list[TrainingPoint] = field(default_factory=list)
    suggestions: tuple[str, ...] = ()
    """Suggestions for the user, collected during the run."""

    def with_recipe(self, recipe: Recipe) -> "Run":
        """The same run, model and masks included, with the steps of another recipe."""
        return replace(self, context=replace(self.context, recipe=recipe))

    def fork(self, recipe: Recipe, model: Any) -> "Run":
        """A run of other steps on the same data. It starts with this model and changes it."""
        return Run(
            replace(self.context, recipe=recipe),
            model,
            Masks.of(model),
            list(self.notes),
            suggestions=self.suggestions,
        )

    def calibration(self, num_samples: int) -> Inputs:
        """Inputs from the training split, selected by the seed."""
        return self.context.feed(self.context.data.train.x[self._picked(num_samples)])

    def training_inputs(self, num_samples: int, size: int) -> Iterator[Inputs]:
        """The same inputs in batches of ``size``."""
        picked = self._picked(num_samples)
        for start in range(0, len(picked), size):
            yield self.context.feed(self.context.data.train.x[picked[start : start + size]])

    def samples(self, wanted: int) -> Samples:
        """Unlabelled training inputs for a reconstruction, at most ``wanted``."""
        count = min(wanted, len(self.context.data.train))
        return Samples(lambda: self.training_inputs(count, RECONSTRUCTION_BATCH), count, self.context.recipe.seed)

    def shuffled(self, num_samples: int) -> Array:
        """Indices of training samples, in an order fixed by the seed."""
        return np.random.default_rng(self.context.recipe.seed).permutation(len(self.context.data.train))[:num_samples]

    def _picked(self, num_samples: int) -> Array:
        return np.sort(self.shuffled(num_samples))

    def observer(self) -> Observer:
        """Observes the kernels on ``OBSERVED`` training samples."""
        return Observer(self.model, self.masks.kernels, self.context.objective.loss, self.labelled_batches)

    def labelled_batches(self) -> Iterator[Batch]:
        """``OBSERVED`` training samples with their labels, as the loss takes them."""
        train, size = self.context.data.train, self.context.recipe.training.batch_size
        picked = self.shuffled(OBSERVED)
        for start in range(0, len(picked), size):
            part = np.sort(picked[start : start + size])
            yield self.context.feed(train.x[part]), self.context.objective.encode(train.y[part])

    def refresh_statistics(self) -> None:
        """Re-estimate BatchNorm statistics on training batches, unless the model gets worse on held-out samples."""
        held_out, size = self.context.data.validation.first(JUDGED), self.context.recipe.training.batch_size
        inputs = self.context.feed.batches(select(self.context.data.train.x, self.shuffled(MAX_BATCHES * size)), size)

        def quality() -> float:
            outputs = measure.outputs_of(self.model, self.context.feed, held_out.x)
            aim = self.context.objective
            return aim.head.score_to_maximize(aim.of(held_out.y), aim.of(outputs))

        reestimate_if_better(self.model, inputs, judge=quality)

    def probe(self) -> Inputs:
        """A few inputs to compare a file with its Keras model."""
        return self.context.feed(self.context.data.test.x[:BATCH])
