"""Do a prune step's structure and criterion fit this model? Asked with the rest of ``jobspec.fit``."""

from collections.abc import Iterable

from jobspec.errors import CriterionUnserved, FieldError, StructureMismatch
from jobspec.pruning import Prune
from jobspec.summaries import LayerInfo, ModelSummary


def check_structure(step: Prune, model: ModelSummary, *, field: str) -> None:
    """Blocks and N:M groups must divide every kernel that the step cuts.

    Raises:
        StructureMismatch: naming each layer that they do not divide, and how to leave those out.
    """
    problems = {layer.name: reason for layer in cut_layers(step, model) if (reason := _why_not_divided(step, layer))}
    if problems:
        _refuse(StructureMismatch, f"structure {step.structure}", problems, field=f"{field}structure", step=step)


def check_criterion(step: Prune, model: ModelSummary, *, field: str) -> None:
    """What the criterion looks at beside the weights must be there.

    Raises:
        CriterionUnserved: naming each layer that lacks it, and how to leave those out.
    """
    if step.criterion == "bn_scale":
        reason = "no BatchNormalization with a scale stands right behind it"
        problems = {layer.name: reason for layer in cut_layers(step, model) if layer.scaled_by is None}
        if problems:
            _refuse(CriterionUnserved, "criterion bn_scale", problems, field=f"{field}criterion", step=step)


def cut_layers(step: Prune, model: ModelSummary) -> list[LayerInfo]:
    """The layers that a prune step cuts."""
    return [
        layer
        for layer in model.layers
        if layer.prunable and layer.name not in step.skip_layers and step.layers.get(layer.name, 1.0) > 0
    ]


def _why_not_divided(step: Prune, layer: LayerInfo) -> str | None:
    shape = layer.kernel_shape or ()
    if step.structure == "block":
        if len(shape) != 2:
            return f"its kernel has rank {len(shape)}, and blocks are for the rank 2 of Dense"
        for what, size, block in zip(("units", "inputs"), reversed(shape), step.block_shape, strict=True):
            if size % block:
                return f"its {size} {what} do not divide by {block}"
    if step.structure == "n_m" and (layer.num_features or 0) % step.n_m[1]:
        return f"its {layer.num_features} input features do not divide by {step.n_m[1]}"
    return None


def _refuse(
    error: type[StructureMismatch | CriterionUnserved],
    what: str,
    problems: dict[str, str],
    *,
    field: str,
    step: Prune,
) -> None:
    names = _quoted([*step.skip_layers, *problems])
    raise error(
        f"{what[0].upper()}{what[1:]} does not fit every layer. "
        + " ".join(f"{name}: {reason}." for name, reason in problems.items()),
        errors=[FieldError(field=field, messages=tuple(f"{name}: {reason}" for name, reason in problems.items()))],
        suggestions=[f'Leave these layers alone: "skip_layers": [{names}].', f"Choose another {what.split()[0]}."],
    )


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
