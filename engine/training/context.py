"""What a training is given: the model, the data, the objective and the settings, in one value."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.checkpoint.sections import Checkpoint
from engine.data.feed import Feeding
from engine.data.split import Dataset
from engine.objectives.objectives import AnyObjective
from engine.pruning.masking import Masks
from engine.pruning.schedule import MaskUpdate
from engine.training.config import TrainingConfig
from engine.training.distillation import Distillation
from engine.training.progress import Advance
from secateur.specs.training import Training


def num_steps(dataset: Dataset, *, batch_size: int, epochs: int) -> int:
    """Training steps of that many epochs; the last batch of an epoch may be smaller."""
    return -(-len(dataset.train) // batch_size) * epochs


@dataclass(frozen=True)
class TrainingContext:
    """Everything that one training needs. The training changes the model, the masks and the optimiser in place.

    Args:
        step_name: the step of the recipe that trains; it names the points of the history.
        model: a model of Keras 3, or a tf_keras twin for ``train_twin``.
        data: the training and validation splits.
        feed: turns stored samples into inputs of the model.
        objective: encodes labels, and has the loss and the metric.
        masks: of the model's kernels; weights outside them stay zero.
        config: epochs, learning rates, early stopping and the selection of the best epoch.
        training: batch size, class weights, augmentation and precision.
        optimizer: a fresh optimiser of Keras 3, see ``make_optimizer``.
        seed: fixes the order of the samples and their augmentation.
        on_advance: called with the progress.
        cuts: the planned cuts; training steps count from 1, and 0 is before training.
        cut: called with the sparsity of each planned cut.
        distillation: the teacher to learn from besides the labels.
        notes: receives a sentence when the training stopped early or kept the weights of an earlier epoch.
        checkpoint: gets the state at the end of each epoch; a training that was saved in it is continued.
    """

    step_name: str
    model: Any
    data: Dataset
    feed: Feeding
    objective: AnyObjective
    masks: Masks
    config: TrainingConfig
    training: Training
    optimizer: Any
    seed: int
    on_advance: Callable[[Advance], None] = lambda at: None
    cuts: Sequence[MaskUpdate] = ()
    cut: Callable[[float], None] = lambda sparsity: None
    distillation: Distillation | None = None
    notes: list[str] = field(default_factory=list)
    checkpoint: Checkpoint = field(default_factory=Checkpoint)

    @property
    def num_steps(self) -> int:
        """Training steps of all epochs together."""
        return num_steps(self.data, batch_size=self.training.batch_size, epochs=self.config.epochs)
