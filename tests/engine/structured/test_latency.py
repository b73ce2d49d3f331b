"""The table of latencies: its arithmetic from given times, and that it can be measured for every kind of layer."""

import itertools
from typing import Any

import keras
import numpy as np
import pytest

from engine.models.graph import graph_of
from engine.structured.latency import Corners, Entry, LatencyTable, Timings, measure
from engine.structured.layer_timing import full, rows_of

layers = keras.layers


def test_times_between_the_corners_follow_both_widths() -> None:
    corners = Corners((2, 8), (4, 16), ((1.0, 3.0), (2.0, 9.0)))

    assert [corners.milliseconds(*widths) for widths in ((2, 4), (2, 16), (8, 4), (8, 16))] == [1.0, 3.0, 2.0, 9.0]
    assert corners.milliseconds(5, 10) == (1 + 3 + 2 + 9) / 4


def test_a_width_that_does_not_vary_leaves_the_other() -> None:
    """A layer on three colours, and a depthwise kernel, which has one width only."""
    corners = Corners((3, 3), (1, 5), ((1.0, 5.0), (1.0, 5.0)))

    assert corners.milliseconds(3, 2) == 2.0


def test_no_layer_gives_time_back() -> None:
    """Chance may make the narrow layer much the faster one; beyond it the line would fall below nothing."""
    assert Corners((4, 8), (1, 1), ((0.0, 0.0), (8.0, 8.0))).milliseconds(1, 1) == 0.0


def half(variable: Any, axis: int) -> int:
    return full(variable, axis) // 2


@pytest.mark.parametrize(
    ("whole", "expected"),
    [(5.0, 5.0 - 4.0 + 2.0), (2.0, 1.0)],
    ids=["the rest stays", "layers that took longer alone than in the whole share it out"],
)
def test_a_smaller_model_takes_the_rest_and_what_its_layers_take(whole: float, expected: float) -> None:
    kernel = keras.Variable(keras.ops.zeros((8, 6)))
    entry = Entry(Corners((2, 8), (6, 6), ((1.0, 1.0), (4.0, 4.0))), (kernel, 0), (kernel, 1))
    table = LatencyTable(whole, (entry,))

    assert table.milliseconds(full) == whole
    assert table.milliseconds(half) == pytest.approx(expected)


@pytest.fixture(scope="module")
def model() -> Any:
    """Every kind with a row, two layers alike, and one kind without."""
    inputs = keras.Input((8, 8, 8))
    x = layers.Conv2D(8, 3, padding="same", name="one")(inputs)
    x = layers.Conv2D(8, 3, padding="same", name="two", kernel_initializer="he_normal")(x)
    x = layers.Conv2D(16, 1, groups=4, name="groups")(x)
    x = layers.Conv2D(32, 3, groups=16, name="alone")(x)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise")(x)
    x = layers.Conv2DTranspose(12, 2, name="transposed")(x)
    x = layers.SeparableConv2D(20, 3, name="separable")(x)
    x = layers.EinsumDense("bhwc,cd->bhwd", output_shape=(3, 3, 4), name="without")(x)
    return keras.Model(inputs, layers.Dense(10, name="dense")(layers.Flatten()(x)))


WIDTHS = [
    ((2, 8), (2, 8)),
    ((2, 8), (2, 8)),
    ((1, 2), (4, 16)),  # features of a group, filters of all
    ((8, 32), (1, 1)),  # a group for each feature: filters go two by two
    ((8, 32), (1, 1)),
    ((16, 64), (3, 12)),
    ((3, 12), (5, 20)),
    ((9, 36), (2, 10)),
]
"""Of each layer that has a row: a quarter of its input channels and all of them, and the same of its output."""


def test_every_kind_of_kernel_is_built_alone_at_full_and_a_quarter_of_its_widths(model: Any) -> None:
    """Without timing any: what is timed has the kernel that the narrower layer would have."""
    found = list(rows_of(graph_of(model)))

    for row, (inputs, outputs) in zip(found, WIDTHS, strict=True):
        assert full(*row.inputs) == inputs[1]
        for num_inputs, num_outputs in itertools.product(inputs, outputs):
            made = row.alone(num_inputs, num_outputs)
            (layer,) = made.layers
            kernels = {id(old): new for old, new in zip(row.layer.weights, layer.weights, strict=True)}
            for dim, size in ((row.inputs, num_inputs), (row.outputs, num_outputs)):
                assert dim is None or kernels[id(dim[0])].shape[dim[1]] == size
        assert [weight.shape for weight in layer.weights] == [weight.shape for weight in row.layer.weights]
    assert [row.signature for row in found].index(found[1].signature) == 0, "layers of one kind are timed once"
    assert len({row.signature for row in found}) == 7


@pytest.mark.slow
def test_every_kind_of_kernel_is_timed_at_full_and_a_quarter_of_its_widths(model: Any) -> None:
    shares: list[float] = []

    table = measure(model, "none", shares.append).table(model)

    assert table.milliseconds(full) == pytest.approx(table.whole)
    assert [(entry.corners.inputs, entry.corners.outputs) for entry in table.entries] == WIDTHS
    assert len(shares) == 7


def test_layers_of_one_kind_are_timed_once() -> None:
    inputs, shares = keras.Input((4, 4, 4)), list[float]()
    x = layers.Conv2D(4, 1, name="one")(inputs)
    x = layers.DepthwiseConv2D(2, name="depthwise")(layers.Conv2D(4, 1, name="two")(x))
    model = keras.Model(inputs, x)

    table = measure(model, "none", shares.append).table(model)

    assert table.milliseconds(full) == pytest.approx(table.whole)
    assert table.whole > 0
    widths = [(entry.corners.inputs, entry.corners.outputs) for entry in table.entries]
    assert widths == [((1, 4), (1, 4)), ((1, 4), (1, 4)), ((1, 4), (1, 1))]
    assert table.entries[0].corners is table.entries[1].corners
    assert shares == [0.5, 1.0]


def test_whole_numbers_are_timed_in_whole_numbers() -> None:
    model = keras.Sequential([keras.Input((3, 3, 2)), layers.DepthwiseConv2D(2), layers.Flatten()])

    table = measure(model, "int8").table(model)

    assert table.milliseconds(full) == pytest.approx(table.whole)
    assert len(table.entries) == 1


def test_a_layer_on_inputs_of_unknown_size_stays_as_it_is() -> None:
    model = keras.Sequential([keras.Input((None, 4)), layers.Conv1D(4, 1), layers.GlobalMaxPooling1D()])

    table = measure(model, "none").table(model)

    assert table.entries == ()
    assert table.milliseconds(half) == table.whole


def test_what_was_timed_makes_the_same_table_in_another_process() -> None:
    """To the last bit: a table that is a rounding away may cut another channel."""
    model = keras.Sequential([keras.Input((3, 3, 2)), layers.Conv2D(4, 2), layers.Flatten(), layers.Dense(2)])
    timings = Timings(0.1 + 0.2, (Corners((2, 2), (1, 4), ((1 / 3, 2 / 3), (1 / 3, 2 / 3))), None))

    told = {name: np.frombuffer(array.tobytes(), np.uint8) for name, array in timings.state_dict().items()}

    assert Timings.from_state_dict(told) == timings
    (entry,) = Timings.from_state_dict(told).table(model).entries
    assert entry == Entry(timings.kinds[0], (model.layers[0].kernel, 2), (model.layers[0].kernel, 3))
