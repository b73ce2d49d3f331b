"""What pruning does to each class: an accuracy that holds can hide classes that were given up.

Hooker et al. 2019, "What Do Compressed Deep Neural Networks Forget?", arXiv:1911.05248.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from engine.arrays import Array
from engine.evaluation.chance import sign_test
from engine.objectives.objective import Objective
from secateur.reports.report import ClassRecall
from secateur.specs.spec import Recipe
from secateur.text import words
from secateur.validation.training import course_of

MOST: Final = 100
"""Classes, or labels, of which a report lists each."""

MUCH: Final = 0.05
"""How much more a class must lose than all together, as a share of its samples, to be named."""

LEVEL: Final = 0.01
"""Chance of naming any class where none lost more than noise."""

NAMED: Final = 3

RARE: Final = 0.05
"""Share of the samples under which a class is rare: an accuracy can be high without it."""

LONGEST: Final = 60
"""Characters of a class's name that reports show."""


def recalls(
    objective: Objective, labels: Array, before: Array, after: Array, *, names: Sequence[str] = ()
) -> tuple[ClassRecall, ...]:
    """Share of the samples of each class, or with each label, that the original and the result find.

    Args:
        before, after: outputs of the original and of the result, shape (n, units).
        names: of the classes, in their order, as a stranger wrote them.

    Returns:
        One a class that has samples; nothing for values, and for more than ``MOST`` classes.
    """
    if objective.task == "regression":
        return ()
    decided = (objective.truths(labels), objective.decided(before), objective.decided(after))
    members, found, kept = (_members(objective, each) for each in decided)
    if len(members) > MOST:
        return ()
    level = LEVEL / max(1, len(members))
    whole = _share(members, found) - _share(members, kept)
    return tuple(
        ClassRecall(
            name=str(number),
            called=words.one_line(names[number], most=LONGEST) if number < len(names) else None,
            num_samples=int(there.sum()),
            before=float(old[there].mean()),
            after=float(new[there].mean()),
            lost_much=bool(
                old[there].mean() - new[there].mean() >= whole + MUCH
                and (bool(objective.shape) or sign_test(old[there], new[there]) < level)
            ),
        )
        for number, (there, old, new) in enumerate(zip(members, found, kept, strict=True))
        if there.any()
    )


def _members(objective: Objective, decided: Array) -> Array:
    """Which samples are of each class, shape (classes, n)."""
    if objective.task == "multi_label":
        return np.asarray(decided.T > 0)
    count = max(2, objective.num_units)
    return np.asarray(decided.ravel()[None, :] == np.arange(count)[:, None])


def _share(members: Array, found: Array) -> float:
    return float((members & found).sum() / members.sum()) if members.any() else 0.0


def class_verdicts(classes: Sequence[ClassRecall]) -> Iterator[str]:
    """A sentence when classes lost much more than all together."""
    worst = sorted((each for each in classes if each.lost_much), key=lambda each: each.after - each.before)
    if worst:
        told = ", ".join(
            f"class {words.class_name(each)} {100 * each.before:.1f} to {100 * each.after:.1f} %"
            for each in worst[:NAMED]
        )
        more = f", and {len(worst) - NAMED} more" if len(worst) > NAMED else ""
        yield f"Classes: some lost much more than the whole; found of their samples: {told}{more}."


def rare_class_verdicts(classes: Sequence[ClassRecall]) -> Iterator[str]:
    """A sentence when the rarest class is rare, and the result finds fewer of its samples."""
    rarest = _rarest(classes)
    if rarest is not None and rarest.before - rarest.after >= MUCH:
        yield (
            f"Rare class: of class {words.class_name(rarest)}, {words.percent(_share_of(rarest, classes))} of the "
            f"samples, the result finds {100 * rarest.after:.1f} %; the original finds {100 * rarest.before:.1f} %."
        )


def imbalance(recipe: Recipe, objective: Objective, classes: Sequence[ClassRecall]) -> tuple[str, ...]:
    """Suggestions when a class is rare, and the metric or the training does not heed it."""
    rarest = _rarest(classes)
    if rarest is None or objective.task == "multi_label":
        return ()
    found = []
    share = words.percent(_share_of(rarest, classes))
    if objective.metric == "accuracy":
        found.append(
            f"Class {words.class_name(rarest)} has {share} of the samples, which accuracy hardly counts: "
            'set "objective": {"metric": "balanced_accuracy"}.'
        )
    trains = any(course_of(step) is not None for step in recipe.steps)
    if trains and recipe.training.class_weight is None and rarest.before - rarest.after >= MUCH:
        found.append('Train with "training": {"class_weight": "balanced"}, so that the rare class counts as much.')
    return tuple(found)


def _rarest(classes: Sequence[ClassRecall]) -> ClassRecall | None:
    """The class with the fewest samples, if it is rare."""
    rarest = min(classes, key=lambda each: each.num_samples, default=None)
    return rarest if rarest is not None and _share_of(rarest, classes) < min(RARE, 0.5 / len(classes)) else None


def _share_of(one: ClassRecall, classes: Sequence[ClassRecall]) -> float:
    return one.num_samples / sum(each.num_samples for each in classes)
