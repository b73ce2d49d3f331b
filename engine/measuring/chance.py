"""Is the uploaded model any good on this data? If not, is it the scaling? Asked before anything is pruned."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from engine.arrays import Array
from engine.data.rows import Stored
from engine.data.split import Split
from engine.feed import SCALES, Feed
from engine.measuring.metrics import skill
from engine.objective import Objective
from jobspec.errors import BaselineAtChance, FieldError
from jobspec.spec import Scale

AT_CHANCE: Final = 0.1
"""Skill under which a model counts as guessing. Trained models, also on rare classes, lie far above."""

WORKS: Final = 0.3
"""Skill from which another scaling is worth suggesting."""

SLICE: Final = 1000


def check_baseline(predict: Callable[[Feed, Stored], Array], split: Split, feed: Feed, objective: Objective) -> None:
    """Refuse a baseline that only guesses, and name the scaling that would have worked.

    Args:
        predict: model outputs for stored samples under a feed.

    Raises:
        BaselineAtChance: with what to change, when another scaling lifts the model.
    """
    samples = split.take(np.arange(min(SLICE, len(split))))
    truths = objective.truths(samples.y)

    def skill_under(scale: Scale) -> float:
        return skill(truths, objective.predictions(predict(replace(feed, scale=scale), samples.x)))

    found = skill_under(feed.scale)
    if found >= AT_CHANCE:
        return
    others = {scale: skill_under(scale) for scale in SCALES if scale != feed.scale}
    working = sorted((scale for scale in others if others[scale] >= WORKS), key=lambda scale: -others[scale])
    tried = ", ".join(f"{scale!r} {others[scale]:.2f}" for scale in others)
    raise BaselineAtChance(
        f"On {len(samples)} held-out samples the uploaded model has a skill of {found:.2f} with scale {feed.scale!r} "
        f"(0 is guessing, 1 is perfect). Other scalings: {tried}. Was it trained on differently scaled inputs?",
        errors=[FieldError(field="data.scale", messages=(f"{feed.scale!r} leaves the model guessing",))],
        suggestions=[f'Set "data": {{"scale": "{scale}"}}: it gives {others[scale]:.2f}.' for scale in working]
        or [
            "No scaling that we know helps: check the order of the labels and how the training data were prepared.",
            'Set "on_chance_baseline": "continue" to compress the model all the same.',
        ],
    )
