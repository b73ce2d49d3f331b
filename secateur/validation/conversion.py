"""Can LiteRT express the model in the number formats of a spec? The check of the upload has tried it."""

from collections.abc import Iterable

from secateur.errors import ConversionFailed, FieldError
from secateur.reports.summaries import ModelSummary
from secateur.specs.search import SearchRecipe
from secateur.specs.sensitivity import SensitivityRecipe
from secateur.specs.spec import Quantize, Recipe, Step
from secateur.specs.sweep import SweepRecipe


def check_convertible(spec: Recipe | SensitivityRecipe | SweepRecipe | SearchRecipe, model: ModelSummary) -> None:
    """Refuse a model that has no float32 file, and a scheme that its check found impossible.

    Raises:
        ConversionFailed: with the reason.
    """
    if reason := model.not_convertible.get("none"):
        raise ConversionFailed(
            reason,
            errors=[FieldError(field="model_id", messages=("LiteRT has no file for this model",))],
            suggestions=["Replace the layer or operation that is named, and upload the model again."],
        )
    for field, step in _steps(spec):
        if isinstance(step, Quantize) and (reason := model.not_convertible.get(step.scheme)):
            raise ConversionFailed(
                f"LiteRT cannot express this model as {step.scheme}: {reason}.",
                errors=[FieldError(field=f"{field}.scheme", messages=(reason,))],
                suggestions=['Quantise with scheme "dynamic" or "float16".'],
            )


def _steps(spec: Recipe | SensitivityRecipe | SweepRecipe | SearchRecipe) -> Iterable[tuple[str, Step]]:
    if isinstance(spec, SweepRecipe):
        methods = spec.methods.items()
        return [(f"methods.{name}.{place}", step) for name, steps in methods for place, step in enumerate(steps)]
    if isinstance(spec, SensitivityRecipe):
        return []
    return [(f"steps.{place}", step) for place, step in enumerate(spec.steps)]
