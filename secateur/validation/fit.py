"""Does this spec fit this model and this data? Asked by the gateway before queueing, by the child before training.

Pure functions over summaries; each raises the error of the tree that names what to change.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from secateur.errors import SpecMismatch, TargetUnreachable
from secateur.reports.summaries import DatasetSummary, ModelSummary
from secateur.specs.channels import PruneChannels
from secateur.specs.pruning import Prune
from secateur.specs.search import SearchRecipe
from secateur.specs.sensitivity import SensitivityRecipe
from secateur.specs.spec import Recipe
from secateur.specs.sweep import SweepRecipe, Trial
from secateur.validation.channels import check_channels
from secateur.validation.conversion import check_convertible
from secateur.validation.outputs import check_outputs, check_single_output
from secateur.validation.pruning import check_prune
from secateur.validation.samples import check_samples, check_scale
from secateur.validation.training import check_held_out, check_training


def check_fit(
    spec: Recipe | SensitivityRecipe | SweepRecipe | SearchRecipe, model: ModelSummary, dataset: DatasetSummary
) -> None:
    """Refuse a spec that cannot work; of a sweep or a search, steps that cannot at any sparsity.

    Raises:
        UnknownLayer, LayerNotPrunable, NothingToPrune, StructureMismatch, CriterionUnserved: a prune step and the
            model disagree.
        HeldOutDataMissing: too few held-out samples for what is to be measured on them.
        ConversionFailed: LiteRT cannot express the model, or not in the scheme of a step.
        InputShapeMismatch, LabelsMismatch: the data and the model disagree.
    """
    match spec:
        case SensitivityRecipe():
            check_prune(spec.prune, model)
            check_held_out(dataset, spec.data)
        case SweepRecipe():
            for name in spec.methods:
                with _fields_of(name), suppress(TargetUnreachable):  # less may be in reach, which trials find out
                    _check_steps(spec.recipe_of(Trial(name, spec.sparsities[-1], spec.seed)), model, dataset)
        case SearchRecipe():
            with suppress(TargetUnreachable):
                _check_steps(spec.recipe_of(spec.highest), model, dataset)
        case Recipe():
            _check_steps(spec, model, dataset)
    check_convertible(spec, model)
    check_samples(model, dataset)
    check_scale(spec.data.scale or dataset.scale, model, dataset)
    check_outputs(spec.objective, model, dataset)


@contextmanager
def _fields_of(method: str) -> Iterator[None]:
    """Errors about a method's steps name the fields that its user wrote."""
    try:
        yield
    except SpecMismatch as fault:
        fault.errors = tuple(
            each.model_copy(update={"field": each.field.replace("steps.", f"methods.{method}.", 1)})
            for each in fault.errors
        )
        raise


def _check_steps(spec: Recipe, model: ModelSummary, dataset: DatasetSummary) -> None:
    check_training(spec, model, dataset)
    if len(model.outputs) > 1:
        check_single_output(spec, model)
    for index, step in enumerate(spec.steps):
        if isinstance(step, PruneChannels):
            check_channels(step, model, field=f"steps.{index}")
        if isinstance(step, Prune):
            check_prune(step, model, field=f"steps.{index}")
            if step.distribution == "sensitivity":
                check_held_out(dataset, spec.data)
