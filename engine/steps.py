"""The steps of a recipe: prune, fine-tune, quantise. Each changes the job and says in words what it reached."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from engine import measure
from engine.criterion import CRITERIA
from engine.distribution import DISTRIBUTIONS
from engine.job import Job
from engine.schedule import plan
from engine.train import Advance, make_optimizer, num_steps, train
from jobspec.spec import Finetune, Polynomial, Prune, Quantize

RETRAIN: Final = 0.1
"""Fine-tuning's learning rate as a share of the original's (Han 2015)."""


def prune(job: Job, step: Prune, name: str, on_advance: Callable[[Advance], None]) -> str:
    """Cut, at once or while training."""
    fixed = {layer: sparsity for layer, sparsity in step.layers.items() if sparsity > 0}
    spared = {*step.skip_layers, *step.layers}
    among = [layer for layer in job.masks.names if layer not in spared]

    def cut(sparsity: float) -> None:
        share = sparsity / step.sparsity
        job.targets |= job.masks.cut(
            sparsity,
            among=among,
            criterion=CRITERIA[step.criterion],
            distribution=DISTRIBUTIONS[step.distribution],
            fixed={layer: final * share for layer, final in fixed.items()},
        )

    if isinstance(step.schedule, Polynomial):
        schedule, batch_size = step.schedule, job.recipe.training.batch_size
        steps = num_steps(job.data, batch_size=batch_size, epochs=schedule.epochs)
        _train(
            job,
            name,
            epochs=schedule.epochs,
            learning_rate=schedule.learning_rate or job.learning_rate,
            on_advance=on_advance,
            cuts=plan(schedule, step.sparsity, num_steps=steps),
            cut=cut,
        )
    else:
        for planned in plan(step.schedule, step.sparsity, num_steps=0):
            cut(planned.sparsity)
    job.refresh_statistics()
    return f"{job.masks.sparsity():.1%} zeros"


def finetune(job: Job, step: Finetune, name: str, on_advance: Callable[[Advance], None]) -> str:
    """Train on with every zero held."""
    learning_rate = step.learning_rate or job.learning_rate * RETRAIN
    _train(job, name, epochs=step.epochs, learning_rate=learning_rate, on_advance=on_advance)
    job.refresh_statistics()
    return f"validation {job.objective.metric.replace('_', ' ')} {job.history[-1].val_metric:.4f}"


def quantize(job: Job, step: Quantize, folder: Path) -> str:
    """Export the model as it is now; ``measure`` looks at the files.

    Raises:
        ConversionFailed: LiteRT cannot express the model.
        ExportDisagrees: the float32 file does not compute what the model computes.
    """
    calibration = job.calibration(step.calibration_samples)
    job.result = measure.export("result", job.model, step.scheme, folder, calibration)
    if step.scheme == "none":
        measure.check_same(job.result, job.model, job.probe())
    return f"{step.scheme}, {job.result.sizes.tflite_bytes:,} bytes"


def _train(job: Job, name: str, *, epochs: int, learning_rate: float, on_advance: Any, **cutting: Any) -> None:
    job.history += train(
        job.model,
        job.data,
        job.feed,
        job.objective,
        job.masks,
        step_name=name,
        epochs=epochs,
        batch_size=job.recipe.training.batch_size,
        optimizer=make_optimizer(job.model, job.recipe.training.optimizer, learning_rate),
        seed=job.recipe.seed,
        on_advance=on_advance,
        **cutting,
    )
