"""The fine-tune step, and the training that other steps share."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from engine.run.context import Run
from engine.training.config import TrainingConfig
from engine.training.context import TrainingContext
from engine.training.distillation import Distillation
from engine.training.progress import Advance
from engine.training.train import make_optimizer, train
from secateur.specs.channels import PruneChannels
from secateur.specs.pruning import Prune, TrainedSchedule
from secateur.specs.spec import Step
from secateur.specs.training import Finetune
from secateur.validation.training import MIN_HELD_OUT

RETRAIN: Final = 0.1
"""Fine-tuning's learning rate as a share of the original's (Han 2015)."""


def trains(step: Step) -> bool:
    """Whether a step changes weights by training."""
    return isinstance(step, Finetune) or (isinstance(step, Prune | PruneChannels) and step.trains)


def finetune(run: Run, step: Finetune, name: str, on_advance: Callable[[Advance], None]) -> str:
    """Train with every zero held; with distillation, towards the outputs of the uploaded model too."""
    train_on(run, name, step, run.context.learning_rate * RETRAIN, on_advance)
    run.refresh_statistics()
    selected = next((point for point in reversed(run.history) if point.kept), run.history[-1])
    return f"validation {run.context.objective.metric.replace('_', ' ')} {selected.val_metric:.4f}"


def train_on(
    run: Run,
    name: str,
    settings: Finetune | TrainedSchedule,
    learning_rate: float,
    on_advance: Any,
    **updates: Any,
) -> None:
    """Train a job's model as a step asks, and add to the job's history and notes.

    Args:
        run: has the model, the data and the masks.
        name: of the step.
        settings: the step, or its schedule: epochs, learning rate, best epoch, distillation.
        learning_rate: the highest one, unless the settings have their own.
        on_advance: called with the progress.
        updates: ``cuts`` and ``cut`` of the training context.
    """
    config, distillation = TrainingConfig.of(settings, learning_rate), None
    if config.best_epoch and len(run.context.data.validation) < MIN_HELD_OUT:
        run.notes.append(
            f"{name}: the last epoch is kept, because {len(run.context.data.validation)} held-out samples "
            "are too few to select the best one."
        )
        config = replace(config, best_epoch=False)
    run.notes.append(f"{name}: {config}.")
    if settings.distill is not None:
        assert run.context.teacher is not None, "computed when a step distils"
        distillation = Distillation(settings.distill, run.context.teacher, run.context.teacher_held_out)
        run.notes.append(f"{name}: distillation from the uploaded model, weight {settings.distill.weight:g}.")
    context = TrainingContext(
        step_name=name,
        model=run.model,
        data=run.context.data,
        feed=run.context.feed,
        objective=run.context.objective,
        masks=run.masks,
        config=config,
        training=run.context.recipe.training,
        optimizer=make_optimizer(run.model, run.context.recipe.training.optimizer, config.learning_rate),
        seed=run.context.recipe.seed,
        distillation=distillation,
        on_advance=on_advance,
        notes=run.notes,
        checkpoint=run.context.checkpoint,
        **updates,
    )
    run.history += train(context)
