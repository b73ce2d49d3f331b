"""What the curves of a sensitivity report mean, in plain words."""

from collections.abc import Iterator

from engine.objectives.metrics import wilson
from secateur.reports.sensitivity import Curves
from secateur.text import words


def verdicts(curves: Curves) -> tuple[str, ...]:
    """Sentences about the layers at both ends, about all of them together, and about chance."""
    return (*_ends(curves), _kept(curves), *_chance(curves))


def _ends(curves: Curves) -> Iterator[str]:
    order, deepest = curves.by_sensitivity(), curves.sparsities[-1]
    named = curves.metric.replace("_", " ")

    def told(name: str) -> str:
        cost = words.cost(curves.metric, curves.loss(name)[-1])
        return f"{name}: {cost} of {named} with {words.grid_point(deepest)} of its weights cut."

    yield f"The most sensitive layer is {told(order[0])}"
    if len(order) > 1:
        yield f"The least sensitive is {told(order[-1])}"


def _kept(curves: Curves) -> str:
    free = words.tolerance(curves.metric)
    deepest = curves.sparsities[-1]
    kept = [curves.keeps(name) for name in curves.layers]
    whole = sum(keeps == deepest for keeps in kept)
    none = sum(keeps is None for keeps in kept)
    said = f"Of {len(kept)} layers {whole or 'none'} can be cut to {words.grid_point(deepest)} for at most {free} each"
    return f"{said}; {none} cannot even be cut to {words.grid_point(curves.sparsities[0])}." if none else f"{said}."


def _chance(curves: Curves) -> Iterator[str]:
    if curves.metric not in ("accuracy", "top_5_accuracy", "exact_match"):
        return  # only of shares of samples this says how far chance goes
    around = wilson(round(curves.dense * curves.num_samples), curves.num_samples)
    half = 50 * (around.high - around.low)
    yield (
        f"On {words.count(curves.num_samples)} samples chance moves a score by about ±{half:.1f} points: smaller "
        "differences between layers mean little. Raise samples to narrow it."
    )
