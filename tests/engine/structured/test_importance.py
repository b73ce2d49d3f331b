"""What channels are worth by their weights: kernels by hand, and gradients against a difference."""

from typing import Any

import keras
import numpy as np
import pytest

from engine.structured.groups import Channels, Group, channels_of
from engine.structured.importance import by_weights, taylor
from tests.engine.structured.conftest import NETWORKS

layers = keras.layers


def by_hand() -> tuple[Channels, Group]:
    """Three channels: one layer makes them, a normalisation scales them, another layer reads them."""
    model = keras.Sequential(
        [
            keras.Input((2,)),
            layers.Dense(3, name="produces"),
            layers.BatchNormalization(name="norm"),
            layers.Dense(2, name="consumes"),
            layers.Dense(1, name="out"),
        ]
    )
    model.get_layer("produces").kernel.assign([[3.0, 0.0, 1.0], [4.0, 1.0, 1.0]])
    model.get_layer("norm").gamma.assign([1.0, -4.0, 1.0])
    model.get_layer("consumes").kernel.assign([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
    channels = channels_of(model)
    group = channels.group("produces")
    assert group is not None
    return channels, group


@pytest.mark.parametrize(
    ("criterion", "expected"),
    [
        pytest.param("l1_norm", np.array([7, 1, 2]) / (10 / 3), id="l1_norm: of what makes it"),
        pytest.param("l2_norm", np.array([5, 1, 2**0.5]) / ((6 + 2**0.5) / 3), id="l2_norm: of what makes it"),
        pytest.param("bn_scale", np.array([1, 4, 1]) / 2, id="bn_scale: the size of its scale, whatever the sign"),
        pytest.param(
            "magnitude",
            (np.array([5, 1, 2**0.5]) / ((6 + 2**0.5) / 3) + np.array([1, 2, 3]) / 2 + np.array([1, 4, 1]) / 2) / 3,
            id="magnitude: of what makes, reads and scales it, each relative to its layer",
        ),
        pytest.param(
            "fpgm",
            np.array([18**0.5 + 13**0.5, 18**0.5 + 1, 13**0.5 + 1]) / (2 * (18**0.5 + 13**0.5 + 1) / 3),
            id="fpgm: how far it is from the others",
        ),
    ],
)
def test_a_channel_is_worth_what_its_slices_say(criterion: Any, expected: np.ndarray) -> None:
    channels, group = by_hand()

    assert by_weights(channels, group, criterion, seed=0) == pytest.approx(expected)


def test_chance_depends_on_seed_and_group_alone() -> None:
    channels, group = by_hand()

    again, other = (by_weights(channels, group, "random", seed=seed) for seed in (3, 4))

    assert np.array_equal(again, by_weights(channels, group, "random", seed=3))
    assert not np.array_equal(again, other)


def test_layers_of_large_weights_do_not_decide_alone() -> None:
    """A shortcut's two layers count alike, though one of them has weights a thousand times as large."""
    model = NETWORKS["shortcut"]()
    channels = channels_of(model)
    group = channels.group("stem")
    assert group is not None
    before = by_weights(channels, group, "l1_norm", seed=0)

    model.get_layer("stem").kernel.assign(1000 * model.get_layer("stem").kernel)

    assert by_weights(channels, group, "l1_norm", seed=0) == pytest.approx(before, rel=1e-4)


def test_a_channel_behind_flatten_is_read_at_all_of_its_positions() -> None:
    """Of 3 x 3 positions with 6 channels each, channel 2 is rows 2, 8, 14 ... of the kernel that reads them."""
    model = NETWORKS["flatten"]()
    rows = np.zeros((54, 7), "f4")
    rows[2::6] = 1.0
    model.get_layer("two").kernel.assign(rows)
    model.get_layer("one").kernel.assign(np.ones((3, 3, 2, 6), "f4"))
    channels = channels_of(model)
    group = channels.group("one")
    assert group is not None

    scores = by_weights(channels, group, "magnitude", seed=0)

    assert scores == pytest.approx([0.5, 0.5, 0.5 + 6 / 2, 0.5, 0.5, 0.5])


@pytest.mark.parametrize("name", ["dense", "conv_norm", "grouped"])
def test_taylor_is_the_squared_slope_of_the_loss_as_a_filter_shrinks(name: str) -> None:
    """Of sum(w dL/dw), the definition of a derivative makes a check that knows no gradients."""
    keras.utils.set_random_seed(1)
    model = NETWORKS[name]()
    channels = channels_of(model)
    group = next(group for group in channels.groups if group.name == "two" or name == "dense")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(16, *model.inputs[0].shape[1:])).astype("f4")
    y = rng.integers(0, model.outputs[0].shape[-1], 16)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    found = taylor(channels, [group], loss, lambda: [(x, y)])[group.name]

    kernel = model.get_layer(group.layers[0]).kernel
    whole, step = np.array(kernel), 0.05
    (dim,) = (dim for dim in channels.members(group, "produces") if dim.variable is kernel)

    def loss_with(filter_: int, factor: float) -> float:
        kernel.assign(np.where(np.arange(whole.shape[-1]) == filter_, factor, 1.0) * whole)
        found = float(loss(y, model(x, training=False)))
        kernel.assign(whole)
        return found

    slopes = [(loss_with(f, 1 + step) - loss_with(f, 1 - step)) / (2 * step) for f in range(whole.shape[-1])]
    expected = np.bincount(channels.along(dim), np.square(slopes))[group.channels]
    assert found == pytest.approx(expected, rel=0.05, abs=1e-4 * max(found))


def test_taylor_adds_up_over_batches_and_is_zero_where_nothing_learns() -> None:
    model = NETWORKS["dense"]()
    model.get_layer("two").kernel.assign(np.zeros((8, 5), "f4"))
    channels = channels_of(model)
    x, y = np.ones((4, 6), "f4"), np.zeros(4, int)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    once = taylor(channels, channels.groups[:2], loss, lambda: [(x, y)])
    twice = taylor(channels, channels.groups[:2], loss, lambda: [(x, y), (x, y)])

    assert once["one"] == pytest.approx(np.zeros(8)), "nobody listens to it"
    assert twice["two"] == pytest.approx(2 * once["two"])


def test_taylor_knows_the_rows_of_an_embedding_that_no_sample_names() -> None:
    """TensorFlow gives the gradient of a table as those rows that were looked up."""
    tokens = keras.Input((3,), dtype="int32")
    x = layers.Embedding(9, 4, name="table")(tokens)
    channels = channels_of(keras.Model(tokens, layers.Dense(2)(layers.GlobalAveragePooling1D()(x))))
    group = channels.group("table")
    assert group is not None
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    found = taylor(channels, [group], loss, lambda: [(np.array([[1, 2, 1]]), np.array([0]))])["table"]

    assert found.shape == (4,)
    assert (found > 0).all()
