"""A job under way, and its beginning: read model and data, and refuse what cannot work."""

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
from engine.models.prunable import prunable_kernels
from engine.objectives.objectives import Aim
from engine.parts import Inputs
from engine.pruning.masking import Masks
from engine.pruning.observe import Batch, Observer
from engine.reconstruction.batchnorm import MAX_BATCHES, reestimate_if_better
from engine.reconstruction.equations import Samples
from secateur.reports.report import GroupCut, TrainingPoint
from secateur.specs.spec import Recipe

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
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
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
