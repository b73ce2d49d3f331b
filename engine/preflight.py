"""What only the loaded model can tell, asked of every step before the first of them changes anything."""

from engine.job import Job
from engine.pruning.cutting import choose
from engine.steps import unsolvable
from jobspec.errors import FieldError, NothingToReconstruct
from jobspec.pruning import Prune


def check_steps(job: Job) -> None:
    """Refuse steps that this model cannot serve.

    Raises:
        NothingToReconstruct: a repair was asked for, and no layer that the step cuts can be solved again.
        BridgeRefused, LayerNotPrunable, NothingToPrune: what TFMOT cannot do with this model.
    """
    for index, step in enumerate(job.recipe.steps):
        if not isinstance(step, Prune):
            continue
        if step.reconstruct:
            _check_reconstruct(job, step, field=f"steps.{index}.reconstruct")
        if step.toolkit == "tfmot":
            from engine import tfmot  # takes seconds, and turns tf.keras into Keras 2 for the whole process

            tfmot.check(job.model, step, optimizer=job.recipe.training.optimizer, field=f"steps.{index}.layers")


def _check_reconstruct(job: Job, step: Prune, *, field: str) -> None:
    names = choose(job, step).names
    reasons = unsolvable(job, names)
    if len(reasons) == len(names):
        raise NothingToReconstruct(
            "None of the layers that are cut can be solved again. "
            + " ".join(f"{name}: {reason}." for name, reason in reasons),
            errors=[FieldError(field=field, messages=tuple(f"{name}: {reason}" for name, reason in reasons))],
            suggestions=["Set reconstruct to false, or leave it out.", "Train in a later step: add finetune."],
        )
