"""Fine-tune, and train as any step asks."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from engine.run.context import Job
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


def finetune(job: Job, step: Finetune, name: str, on_advance: Callable[[Advance], None]) -> str:
    """Train on with every zero held; when asked, by what the uploaded model says of the samples too."""
    train_on(job, name, step, job.learning_rate * RETRAIN, on_advance)
    job.refresh_statistics()
    held = next((point for point in reversed(job.history) if point.kept), job.history[-1])
    return f"validation {job.objective.metric.replace('_', ' ')} {held.val_metric:.4f}"


def train_on(
    job: Job, name: str, course: Finetune | TrainedSchedule, learning_rate: float, on_advance: Any, **cutting: Any
) -> None:
    """Train a job's model as a step asks, and add to the job's history and notes.

    Args:
        learning_rate: the highest, unless the step has its own.
    """
    config, distillation = TrainingConfig.of(course, learning_rate), None
    if config.best_epoch and len(job.data.validation) < MIN_HELD_OUT:
        job.notes.append(
            f"{name}: {len(job.data.validation)} held-out samples tell no epoch from another; the last counts."
        )
        config = replace(config, best_epoch=False)
    job.notes.append(f"{name}: {config}.")
    if course.distill is not None:
        assert job.teacher is not None, "kept when a step asks for it"
        distillation = Distillation(course.distill, job.teacher, job.teacher_held_out)
        job.notes.append(f"{name}: learns from the uploaded model, with a weight of {course.distill.weight:g}.")
    context = TrainingContext(
        step_name=name,
        model=job.model,
        data=job.data,
        feed=job.feed,
        objective=job.objective,
        masks=job.masks,
        config=config,
        training=job.recipe.training,
        optimizer=make_optimizer(job.model, job.recipe.training.optimizer, config.learning_rate),
        seed=job.recipe.seed,
        distillation=distillation,
        on_advance=on_advance,
        notes=job.notes,
        checkpoint=job.checkpoint,
        **cutting,
    )
    job.history += train(context)
