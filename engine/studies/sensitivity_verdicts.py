"""The verdicts of a sensitivity report, as sentences."""

from collections.abc import Iterator

from engine.objectives.metrics import wilson
from secateur.reports.sensitivity import Curves
from secateur.text import words


def verdicts(curves: Curves) -> tuple[str, ...]:
    """Sentences about the most and least sensitive layers, about all layers, and about the influence of chance."""
    return (*_ends(curves), _kept(curves), *_chance(curves))


def _ends(curves: Curves) -> Iterator[str]:
    order, deepest = curves.by_sensitivity(), curves.sparsities[-1]
    named = curves.metric.replace("_", " ")

    def described(name: str) -> str:
        cost = words.cost(curves.metric, curves.loss(name)[-1])
        return f"{name}: {cost} of {named} with {words.grid_point(deepest)} of its weights pruned."

    yield f"The most sensitive layer is {described(order[0])}"
    if len(order) > 1:
        yield f"The least sensitive layer is {described(order[-1])}"


def _kept(curves: Curves) -> str:
    free = words.tolerance(curves.metric)
    deepest = curves.sparsities[-1]
    kept = [curves.keeps(name) for name in curves.layers]
    whole = sum(keeps == deepest for keeps in kept)
    none = sum(keeps is None for keeps in kept)
    count = f"{whole or 'none'} can be pruned to {words.grid_point(deepest)}"
    found = f"Of {len(kept)} layers, {count} at a cost of at most {free} each"
    return f"{found}; {none} cannot be pruned to {words.grid_point(curves.sparsities[0])}." if none else f"{found}."


def _chance(curves: Curves) -> Iterator[str]:
    if curves.metric not in ("accuracy", "top_5_accuracy", "exact_match"):
        return  # the interval holds for shares of samples only
    around = wilson(round(curves.dense * curves.num_samples), curves.num_samples)
    half = 50 * (around.high - around.low)
    yield (
        f"On {words.count(curves.num_samples)} samples, chance changes a score by about ±{half:.1f} points; smaller "
        "differences between layers are not significant. Raise samples to narrow this range."
    )
