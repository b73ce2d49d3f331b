"""Scores of every channel of a model by a step's criterion, with the data that the criterion needs."""

from collections.abc import Callable, Sequence

import numpy as np

from engine.arrays import Array
from engine.run.context import Run
from engine.structured.groups import Channels, Group
from engine.structured.importance import by_weights, taylor
from engine.structured.obs import consumers_of, obs, wanda
from secateur.specs.channels import PruneChannels


def scores_of(
    run: Run, channels: Channels, groups: Sequence[Group], step: PruneChannels, on_progress: Callable[[float], None]
) -> Array:
    """One score for each channel of the job's current model; channels outside the groups score 0.

    A criterion that scores channels by their consumers needs a consumer that can be reconstructed. A group without one
    is scored by ``magnitude``, and a note says so.

    Args:
        run: has the model, the data and the seed.
        channels: all channels of the model.
        groups: the coupling groups to score.
        step: has the criterion.
        on_progress: called with the share that is done.
    """
    if step.criterion in ("obs", "wanda"):
        return _by_consumers(run, channels, groups, step, on_progress)
    scores = np.zeros(channels.num_channels)
    found = (
        taylor(channels, groups, run.context.objective.loss, run.labelled_batches) if step.criterion == "taylor" else {}
    )
    for group in groups:
        own = found.get(group.name)
        scores[group.channels] = (
            by_weights(channels, group, step.criterion, seed=run.context.recipe.seed) if own is None else own
        )
    return scores


def _by_consumers(
    run: Run, channels: Channels, groups: Sequence[Group], step: PruneChannels, on_progress: Callable[[float], None]
) -> Array:
    consumers = consumers_of(channels, groups, run.samples(step.reconstruct_samples), on_progress)
    if step.criterion == "wanda":
        scores = wanda(consumers, channels.num_channels)
    else:
        scores = obs(consumers, groups, channels.num_channels, ceiling=_most(step))
    known = {consumer.name for consumer in consumers}
    for group in groups:
        if known.isdisjoint(group.consumers):
            scores[group.channels] = by_weights(channels, group, "magnitude", seed=run.context.recipe.seed)
            run.notes.append(
                f"{group.name}: channels chosen by magnitude, because no layer that reads them can be reconstructed."
            )
    return scores


def _most(step: PruneChannels) -> float:
    """The largest share of channels that any group may lose."""
    return max(step.ceiling, *step.layers.values(), 0.0)
