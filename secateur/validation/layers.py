"""What every prune step asks of the layers that it names, whatever it cuts; and how it tells which do not fit."""

import difflib
from collections.abc import Iterable, Mapping, Sequence

from secateur.errors import CriterionUnserved, FieldError, LayerNotPrunable, StructureMismatch, UnknownLayer
from secateur.reports.summaries import ModelSummary


def check_known(names: Iterable[str], model: ModelSummary, *, field: str) -> None:
    """The model has layers of these names.

    Raises:
        UnknownLayer: with names that are similar.
    """
    known = list(dict.fromkeys([layer.name for layer in model.layers] + [n for g in model.groups for n in g.layers]))
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or known[:10]
            raise UnknownLayer(
                f"The model has no layer {name!r}.",
                errors=[FieldError(field=field, messages=(f"unknown layer {name!r}",))],
                suggestions=[f"Layers with a similar name: {', '.join(close)}."],
            )


def not_prunable(
    name: str, model: ModelSummary, reason: str, *, field: str, suggestions: Sequence[str] = ()
) -> LayerNotPrunable:
    """The error for a layer that the step names and that cannot be cut."""
    layer = model.layer(name)
    kind = f" ({layer.class_name})" if layer else ""
    return LayerNotPrunable(
        f"Layer {name!r}{kind} cannot be pruned: {reason}.",
        errors=[FieldError(field=field, messages=(f"{name!r}: {reason}",))],
        suggestions=[*suggestions, f"Take {name!r} out of layers."],
    )


def mismatch(
    error: type[StructureMismatch | CriterionUnserved],
    what: str,
    problems: Mapping[str, str],
    *,
    field: str,
    skip_layers: Iterable[str],
) -> StructureMismatch | CriterionUnserved:
    """The error for a choice that some layers cannot serve, with the ``skip_layers`` that would leave those out.

    Args:
        what: the choice, such as ``criterion bn_scale``.
        problems: what stands against it, by layer.
        skip_layers: what the step leaves alone already.
    """
    names = ", ".join(f'"{name}"' for name in (*skip_layers, *problems))
    return error(
        f"{what[0].upper()}{what[1:]} does not fit every layer. "
        + " ".join(f"{name}: {reason}." for name, reason in problems.items()),
        errors=[FieldError(field=field, messages=tuple(f"{name}: {reason}" for name, reason in problems.items()))],
        suggestions=[f'Leave these layers alone: "skip_layers": [{names}].', f"Choose another {what.split()[0]}."],
    )
