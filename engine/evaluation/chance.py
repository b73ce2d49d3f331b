"""Is the uploaded model as good on this data as it can be? Files do not record how inputs were scaled.

Asked before anything is pruned: other common scalings, and exchanged classes, are tried on held-out samples. What is
named is significantly better, by a sign test on the same samples, corrected for how many were tried.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from engine.arrays import Array
from engine.data.feed import Feed, Feeding
from engine.data.split import Dataset
from engine.evaluation.class_order import class_order, order_mismatch, unseen_classes
from engine.evaluation.scalings import Scaling, common
from engine.objectives.objective import Objective
from engine.parts import Inputs, Parts, arrays_of
from secateur.errors import BaselineAtChance, FieldError

AT_CHANCE: Final = 0.1
"""Skill under which a model counts as guessing. Trained models, also on rare classes, lie far above."""

WORKS: Final = 0.3
"""Skill from which another way is worth suggesting."""

GOOD: Final = 0.95
"""Skill from which no other way is looked for: there is next to nothing to gain."""

GAIN: Final = 0.02
"""How much more skill another way must give."""

LEVEL: Final = 0.001
"""Chance of naming any way at all where none is better."""

SLICE: Final = 1000
GLANCE: Final = 250
"""Held-out samples to try on: of a model that guesses, and of one that does not."""

LEARNT: Final = 2000
"""Training samples whose range, mean and deviation are looked at."""


@dataclass(frozen=True)
class Hint:
    """What would have been better, in words for the report."""

    note: str
    suggestions: tuple[str, ...]


@dataclass(frozen=True)
class _Way:
    """How the model does with samples prepared in one way; ``right`` is how good each prediction is."""

    scaling: Scaling | None
    exchanged: bool
    right: Array
    skill: float
    advised: str = ""
    """What to do so that samples come in this way."""

    @property
    def advice(self) -> str:
        parts = [self.advised] if self.advised else []
        if self.exchanged:
            parts.append("Exchange the two classes in the labels of every split (1 - y)")
        return ". ".join(parts)


def check_baseline(
    predict: Callable[[Inputs], Array], data: Dataset, feed: Feeding, objective: Objective, *, fail: bool
) -> Hint | None:
    """Refuse a baseline that only guesses, and find out whether another scaling would have been better.

    Args:
        predict: model outputs for inputs.
        fail: whether a baseline that guesses is refused.

    Returns:
        What to say to the user when another way is better; None when all is well.

    Raises:
        BaselineAtChance: with what to change, when another way lifts the model.
        ClassOrderMismatch: the labels number the classes in another order than the model.
    """
    samples = data.validation.first(SLICE)
    outputs = predict(feed(samples.x[:]))
    found = _way(None, False, outputs, objective.of(samples.y), objective)
    unseen = _check_classes(objective, objective.of(samples.y), outputs, data.classes, fail=fail)
    guesses = found.skill < AT_CHANCE
    if found.skill >= GOOD:
        return unseen
    if not guesses:
        samples = samples.first(GLANCE)
        found = replace(found, right=found.right[:GLANCE])
    ways = _others(predict, samples.x[:], objective.of(samples.y), data.train.first(LEARNT).x[:], feed, objective)
    better = _better(ways, found)
    told = tuple(f"{way.advice}: {_compared(way, found, objective)}." for way in better)
    if guesses and fail:
        raise _at_chance(found, len(samples), len(ways), told, feed, objective)
    if not better:
        return unseen
    return Hint(
        f"On {len(samples):,} held-out samples the uploaded model would do better with other inputs: "
        f"{better[0].advice}, {_compared(better[0], found, objective)}.",
        told,
    )


def _check_classes(
    objective: Objective, labels: Array, outputs: Array, names: Sequence[str], *, fail: bool
) -> Hint | None:
    """Refuse labels in another order than the model's classes, and name the classes that the model never finds."""
    if objective.task != "multiclass":
        return None
    truths, decided = objective.truths(labels).ravel(), objective.decided(outputs).ravel()
    order = class_order(truths, decided, objective.num_units)
    if order is not None:
        mismatch = order_mismatch(order, truths, decided, names)
        if fail:
            raise mismatch
        return Hint(mismatch.detail, mismatch.suggestions[:1])
    unseen = unseen_classes(truths, decided, names)
    if not unseen:
        return None
    listed = ", ".join(map(repr, unseen[:5])) + (", ..." if len(unseen) > 5 else "")
    return Hint(
        f"The uploaded model finds no held-out sample of class {listed}.",
        ("Check the order of the classes and how these samples were made: the model finds none of them.",),
    )


def _others(
    predict: Callable[[Inputs], Array], x: Inputs, y: Array, train: Inputs, feed: Feeding, objective: Objective
) -> list[_Way]:
    """All other ways: scalings of each input, and of two classes the same with the classes exchanged."""
    ways = []
    if objective.has_two_classes:
        ways.append(_way(None, True, predict(feed(x)), y, objective))
    for scaling, inputs, advice in _scaled(x, train, feed):
        outputs = predict(inputs)
        found = [_way(scaling, False, outputs, y, objective)]
        if objective.has_two_classes:
            found.append(_way(scaling, True, outputs, y, objective))
        ways += [replace(way, advised=advice) for way in found]
    return ways


def _scaled(x: Inputs, train: Inputs, feed: Feeding) -> Iterator[tuple[Scaling, Inputs, str]]:
    """Samples with one input scaled in another way, all others as they are, and what to do for it."""
    names = x.names if isinstance(x, Parts) else ("",)
    for place, (name, each) in enumerate(zip(names, feed.each, strict=True)):
        if not each.dtype.startswith("float"):
            continue
        stored, others = arrays_of(x), dict(zip(names, (one.scale for one in feed.each), strict=True))
        others.pop(name)
        plain = replace(each, scale="none")
        for scaling in _worth_trying(stored[place][:8], arrays_of(train)[place], each):
            inputs = scaling(plain(stored[place]))
            if isinstance(x, Parts):
                fed = list(arrays_of(feed(x)))
                fed[place] = inputs
                yield scaling, Parts(x.names, tuple(fed)), scaling.advice_for(name, others)
            else:
                yield scaling, inputs, scaling.advice


def _worth_trying(first: Array, train: Array, feed: Feed) -> list[Scaling]:
    """The common scalings of an input but the one that it has."""
    plain = replace(feed, scale="none")
    inputs = plain(train)
    width = inputs.shape[-1] if inputs.shape == train.shape and inputs.ndim in (2, 4) else 1
    return [each for each in common(inputs, width=width) if not np.allclose(each(plain(first)), feed(first), rtol=1e-3)]


def _way(scaling: Scaling | None, exchanged: bool, outputs: Array, y: Array, objective: Objective) -> _Way:
    truths, decided = objective.truths(y), objective.decided(outputs)
    truths = 1 - truths if exchanged else truths
    return _Way(scaling, exchanged, objective.rightness(truths, decided), objective.skill(truths, decided))


def _better(ways: list[_Way], found: _Way) -> list[_Way]:
    """The best of those that are significantly better than what was asked for."""
    level = LEVEL / max(1, len(ways))
    winners = [
        way for way in ways if way.skill >= max(WORKS, found.skill + GAIN) and sign_test(way.right, found.right) < level
    ]
    winners.sort(key=lambda way: (-float(way.right.mean()), way.exchanged))
    return winners[:1]


def sign_test(ours: Array, theirs: Array) -> float:
    """Chance of so many wins among the samples on which two differ, were both equally good (exact, one-sided).

    >>> sign_test(np.array([1, 1, 1, 1, 0]), np.array([0, 0, 0, 1, 0]))
    0.125
    """
    wins, losses = int((ours > theirs).sum()), int((ours < theirs).sum())
    told = wins + losses
    total, term = 0, math.comb(told, wins)
    for count in range(wins, told + 1):
        total += term
        term = term * (told - count) // (count + 1)  # exact: the next binomial coefficient
    return float(total / 2**told)


def _compared(way: _Way, found: _Way, objective: Objective) -> str:
    name = objective.rightness_name
    ours, theirs = ((one.skill if name == "R2" else float(one.right.mean())) for one in (way, found))
    return f"{name} {ours:.3f} instead of {theirs:.3f}"


def _at_chance(
    found: _Way, count: int, tried: int, told: tuple[str, ...], feed: Feeding, objective: Objective
) -> BaselineAtChance:
    name = objective.rightness_name
    value = "" if name == "R2" else f" ({name} {float(found.right.mean()):.3f})"
    scales = {each.scale if isinstance(each.scale, str) else "that was given" for each in feed.each}
    scale = scales.pop() if len(scales) == 1 else "that was given"
    return BaselineAtChance(
        f"On {count:,} held-out samples the uploaded model has a skill of {found.skill:.2f}{value} with scale "
        f"{scale!r} (0 is guessing, 1 is perfect). {tried} other ways to prepare samples and labels were tried. "
        "Was it trained on differently scaled inputs?",
        errors=[FieldError(field="data.scale", messages=(f"{scale!r} leaves the model guessing",))],
        suggestions=told
        or [
            "No scaling that we know helps: check the order of the labels and how the training data were prepared.",
            'Set "on_chance_baseline": "continue" to compress the model all the same.',
        ],
    )
