"""Does a prune step that sets weights to zero fit this model? Asked with the rest of ``secateur.validation.fit``."""

from secateur.errors import CriterionUnserved, FieldError, NothingToPrune, StructureMismatch
from secateur.reports.summaries import LayerInfo, ModelSummary
from secateur.specs.pruning import Prune
from secateur.validation.layers import check_known, mismatch, not_prunable


def check_prune(step: Prune, model: ModelSummary, *, field: str = "") -> None:
    """Every layer that the step names exists and can be pruned, and something is left to prune.

    Args:
        field: where the step stands in the spec; nothing when its fields are the spec's own.

    Raises:
        UnknownLayer, LayerNotPrunable, NothingToPrune, StructureMismatch, CriterionUnserved: what does not fit.
    """
    inside = f"{field}." if field else ""
    check_known(step.layers, model, field=f"{inside}layers")
    check_known(step.skip_layers, model, field=f"{inside}skip_layers")
    for layer in model.layers:
        if layer.name in step.layers and not layer.prunable:
            raise not_prunable(layer.name, model, layer.reason or "it has no kernel", field=f"{inside}layers")
    if not cut_layers(step, model):
        reasons = "; ".join(f"{layer.name}: {layer.reason}" for layer in model.layers if layer.reason)
        raise NothingToPrune(
            f"After skip_layers no layer of {model.name!r} is left to prune. {reasons}".strip(),
            errors=[FieldError(field=field, messages=("no layer is left to prune",))] if field else (),
            suggestions=["Take a layer out of skip_layers, or leave out the prune step."],
        )
    check_structure(step, model, field=inside)
    check_criterion(step, model, field=inside)


def check_structure(step: Prune, model: ModelSummary, *, field: str) -> None:
    """Blocks and N:M groups must divide every kernel that the step cuts.

    Raises:
        StructureMismatch: naming each layer that they do not divide, and how to leave those out.
    """
    problems = {layer.name: reason for layer in cut_layers(step, model) if (reason := _why_not_divided(step, layer))}
    if problems:
        what, where = f"structure {step.structure}", f"{field}structure"
        raise mismatch(StructureMismatch, what, problems, field=where, skip_layers=step.skip_layers)


def check_criterion(step: Prune, model: ModelSummary, *, field: str) -> None:
    """What the criterion looks at beside the weights must be there.

    Raises:
        CriterionUnserved: naming each layer that lacks it, and how to leave those out.
    """
    if step.criterion == "bn_scale":
        reason = "no BatchNormalization with a scale stands right behind it"
        problems = {layer.name: reason for layer in cut_layers(step, model) if layer.scaled_by is None}
        if problems:
            what, where = "criterion bn_scale", f"{field}criterion"
            raise mismatch(CriterionUnserved, what, problems, field=where, skip_layers=step.skip_layers)


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
