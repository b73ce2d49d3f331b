"""The steps of a recipe: prune, fine-tune, quantise. Each changes the job and says in words what it reached."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import keras

from engine import measure
from engine.criterion import CRITERIA
from engine.distribution import DISTRIBUTIONS
from engine.job import Job
from engine.masking import Method
from engine.reconstruct import Samples, reconstruct
from engine.schedule import plan
from engine.train import Advance, make_optimizer, num_steps, train
from jobspec.pruning import Polynomial, Prune
from jobspec.spec import Finetune, Quantize, Step

RETRAIN: Final = 0.1
"""Fine-tuning's learning rate as a share of the original's (Han 2015)."""

REPAIR_BATCH: Final = 256


def prune(job: Job, step: Prune, name: str, later: Sequence[Step], on_advance: Callable[[Advance], None]) -> str:
    """Cut: at once, at once with a repair, or little by little while training.

    Args:
        later: the steps that come after; a cut that no training follows is repaired by default.
    """
    fixed = {layer: sparsity for layer, sparsity in step.layers.items() if sparsity > 0}
    among = tuple(layer for layer in job.masks.names if layer not in {*step.skip_layers, *step.layers})
    method = Method(CRITERIA[step.criterion], DISTRIBUTIONS[step.distribution], among)

    def cut(sparsity: float) -> None:
        share = sparsity / step.sparsity
        partly = {layer: final * share for layer, final in fixed.items()}
        job.targets |= job.masks.cut(sparsity, method, fixed=partly)

    if isinstance(step.schedule, Polynomial):
        _train_and_cut(job, step.schedule, step.sparsity, name, cut, on_advance)
    elif step.reconstruct or (step.reconstruct is None and not any(map(trains, later))):
        targets = job.masks.plan(step.sparsity, method, fixed=fixed)
        _cut_and_repair(job, targets, step.reconstruct_samples)
        job.targets |= targets
    else:
        cut(step.sparsity)
    job.refresh_statistics()
    _note_risks(job, job.targets)
    return f"{job.masks.sparsity():.1%} zeros"


def trains(step: Step) -> bool:
    """Whether a step changes weights by training."""
    return isinstance(step, Finetune) or (isinstance(step, Prune) and isinstance(step.schedule, Polynomial))


def _train_and_cut(
    job: Job,
    schedule: Polynomial,
    sparsity: float,
    name: str,
    cut: Callable[[float], None],
    on_advance: Callable[[Advance], None],
) -> None:
    steps = num_steps(job.data, batch_size=job.recipe.training.batch_size, epochs=schedule.epochs)
    _train(
        job,
        name,
        epochs=schedule.epochs,
        learning_rate=schedule.learning_rate or job.learning_rate,
        on_advance=on_advance,
        cuts=plan(schedule, sparsity, num_steps=steps),
        cut=cut,
    )


def _cut_and_repair(job: Job, targets: Mapping[str, float], num_samples: int) -> None:
    dense = keras.models.clone_model(job.model)
    dense.set_weights(job.model.get_weights())
    inputs = job.calibration(num_samples)
    pieces = [inputs[start : start + REPAIR_BATCH] for start in range(0, len(inputs), REPAIR_BATCH)]
    samples = Samples(lambda: pieces, count=len(inputs), seed=job.recipe.seed)
    solved = reconstruct(job.model, dense, job.masks, targets, samples)
    job.notes.append(f"Solved again on {len(inputs):,} unlabelled inputs: {', '.join(solved) or 'no layer'}.")


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


def _note_risks(job: Job, targets: Mapping[str, float]) -> None:
    """Say what a user would want to know of a cut before wondering about its accuracy."""
    frozen = [name for name in targets if not job.masks.is_trainable(name)]
    if frozen:
        job.notes.append(f"Cut although frozen, so no training repairs them: {', '.join(frozen)}.")
    starved = [name for name in targets if job.masks.mask(name).sum() < job.masks.mask(name).shape[-1]]
    if starved:
        job.notes.append(f"Fewer weights left than units: {', '.join(starved)}. Give them less sparsity in layers.")


def _train(job: Job, name: str, *, epochs: int, learning_rate: float, on_advance: Any, **cutting: Any) -> None:
    job.notes.append(f"{name}: learning rate {learning_rate:g}.")
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
