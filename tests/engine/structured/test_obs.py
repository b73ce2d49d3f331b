"""What the consumers of a channel lose, against the least squares that say it the long way."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pytest

from engine.reconstruction.equations import Samples
from engine.reconstruction.solve import RIDGE
from engine.structured.groups import Channels, Group, channels_of
from engine.structured.obs import Consumer, consumers_of, obs, wanda
from tests.engine.structured.conftest import NETWORKS, normal, rewrite, shaken

layers = keras.layers


def read(model: Any, samples: Samples | None = None) -> tuple[Channels, list[Group], list[Consumer]]:
    channels = channels_of(model)
    groups = [group for group in channels.groups if not group.frozen]
    given = samples or normal(*model.inputs[0].shape[1:])
    return channels, groups, consumers_of(channels, groups, given, lambda share: None)


def loss(consumers: Sequence[Consumer], gone: set[int]) -> float:
    """What is left unexplained by all consumers, each solved again without what is gone, relative to what it gives.

    The pull towards the weights that there were counts, as it does in the repair.
    """
    total = 0.0
    for consumer in consumers:
        equations = consumer.equations
        for gram, cross, weights, columns in zip(
            equations.gram, equations.cross, consumer.weights, consumer.channels, strict=True
        ):
            pull = np.diag(RIDGE * np.trace(gram) / len(gram) * (columns >= 0))
            stays = ~np.isin(columns, list(gone))
            matrix, wanted = gram + pull, cross + pull @ weights
            inner, right = matrix[np.ix_(stays, stays)], wanted[stays]
            total -= float(np.sum(right * np.linalg.solve(inner, right))) / consumer.energy
    return total


def costs_by_hand(consumers: Sequence[Consumer], group: Group, gone: set[int]) -> dict[int, float]:
    there = [int(channel) for channel in group.channels if channel not in gone]
    return {channel: loss(consumers, gone | {channel}) - loss(consumers, gone) for channel in there}


@pytest.mark.parametrize("name", ["dense", "conv_norm", "grouped", "separable", "depthwise", "concat", "flatten"])
def test_a_channel_costs_what_least_squares_without_it_lose(name: str) -> None:
    """Scores of what goes in the first stage are costs; those that outlive it have the cost on top of the last."""
    keras.utils.set_random_seed(2)
    channels, groups, consumers = read(shaken(NETWORKS[name]()))
    group = next(group for group in groups if not {"one", "left"}.isdisjoint(group.layers))

    scores = obs(consumers, [group], channels.num_channels, ceiling=0.01)[group.channels]

    expected = np.array(list(costs_by_hand(consumers, group, set()).values()))
    (first,) = np.flatnonzero(scores == scores.min())
    assert first == expected.argmin()
    assert scores[first] == pytest.approx(expected[first], rel=1e-3)
    assert np.delete(scores, first) - scores[first] == pytest.approx(np.delete(expected, first), rel=1e-3)


def test_what_is_left_is_solved_again_before_the_next_channel_is_chosen() -> None:
    """Ten channels: two go at first, then one; it is the cheapest of those that are left without the two."""
    keras.utils.set_random_seed(5)
    model = keras.Sequential([keras.Input((9,)), layers.Dense(10, "relu", name="one"), layers.Dense(4)])
    channels, (group,), consumers = read(shaken(model))

    scores = obs(consumers, [group], channels.num_channels, ceiling=0.25)[group.channels]

    first, second, third = group.channels[np.argsort(scores)[:3]]
    before = costs_by_hand(consumers, group, set())
    after = costs_by_hand(consumers, group, {first, second})
    assert sorted(before, key=before.__getitem__)[:2] == [first, second]
    assert min(after, key=after.__getitem__) == third


def test_a_channel_that_is_another_ones_double_goes_first_and_its_double_does_not_follow() -> None:
    keras.utils.set_random_seed(3)
    model = shaken(NETWORKS["conv_norm"]())
    rewrite(channels_of(model), "one", 5, like=2)
    channels, groups, consumers = read(model)

    scores = obs(consumers, groups, channels.num_channels, ceiling=0.5)[groups[0].channels]

    first, *others = np.argsort(scores)
    assert first in (2, 5)
    assert scores[first] < 0.25 * scores[others].min()
    assert {2, 5} - {int(first)} <= set(others[2:]), "alone it is worth as much as any"


def test_a_channel_that_is_the_sum_of_two_others_costs_next_to_nothing() -> None:
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((9,)), layers.Dense(6, name="one"), layers.Dense(4)])
    kernel = np.array(model.get_layer("one").kernel)
    kernel[:, 4] = kernel[:, 0] + kernel[:, 1]
    model.get_layer("one").kernel.assign(kernel)
    channels, (group,), consumers = read(model)

    scores = obs(consumers, [group], channels.num_channels, ceiling=0.5)[group.channels]

    first, *others = np.argsort(scores)
    assert first in (0, 1, 4)
    assert scores[first] < 0.25 * scores[others].min()


def test_a_constant_channel_costs_nothing_where_a_bias_can_take_its_place() -> None:
    keras.utils.set_random_seed(4)
    model = shaken(NETWORKS["dense"]())
    rewrite(channels_of(model), "one", 3, like=None)
    channels, (group, *_), consumers = read(model)

    scores = obs(consumers, [group], channels.num_channels, ceiling=0.2)[group.channels]

    assert scores.argmin() == 3
    assert scores[3] < 0.25 * np.delete(scores, 3).min()


def test_obs_ranks_all_channels_of_all_groups_and_rises_with_the_turn() -> None:
    """A second look may find that what is left costs less than what went; it is its turn later all the same."""
    channels, groups, consumers = read(shaken(NETWORKS["concat"]()))

    scores = obs(consumers, groups, channels.num_channels, ceiling=0.9)

    for group in groups:
        own = scores[group.channels]
        assert (own > 0).all()
        assert len(np.unique(own)) == len(own)


def test_wanda_is_weights_times_the_norm_of_what_they_read() -> None:
    """Two samples: the first channel gives 1 and 0, the second 2 and 0; what reads them has rows 3 + 1 and 1 + 1."""
    model = keras.Sequential([keras.Input((2,)), layers.Dense(2, name="one"), layers.Dense(2, name="two")])
    model.get_layer("one").kernel.assign([[1.0, 0.0], [0.0, 1.0]])
    model.get_layer("two").kernel.assign([[3.0, -1.0], [1.0, 1.0]])
    x = np.array([[1.0, 2.0], [0.0, 0.0]], "f4")
    channels, (group,), consumers = read(model, Samples(lambda: [x], 2, seed=0))

    scores = wanda(consumers, channels.num_channels)[group.channels]

    assert scores == pytest.approx([1.0, 1.0]), "4 x 1 and 2 x 2, relative to their mean"


@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_inputs_that_tell_nothing_give_scores_all_the_same(samples: int, value: float) -> None:
    """Dead channels, a constant picture, a single sample: singular equations are what a pull is for."""
    model = NETWORKS["conv_norm"]()
    x = np.full((samples, 6, 6, 3), value, "f4")
    channels, groups, consumers = read(model, Samples(lambda: [x], samples, seed=0))

    for scores in (obs(consumers, groups, channels.num_channels, ceiling=0.9), wanda(consumers, channels.num_channels)):
        assert np.isfinite(scores).all()
        assert (scores >= 0).all()
