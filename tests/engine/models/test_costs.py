"""The costs of layers against a count by TensorFlow, where it counts, and by hand, where it does not."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from engine.models.costs import macs_by_layer, num_macs, works_of
from engine.models.graph import graph_of

layers = keras.layers

PRODUCTS = ["Conv2D", "Conv2DBackpropInput", "DepthwiseConv2dNative", "MatMul", "BatchMatMulV2"]


def counted_by_tensorflow(model: Any) -> int:
    """Multiply-accumulates of the products in the frozen graph for one sample; TensorFlow counts two operations for
    each."""
    specs = [tf.TensorSpec((1, *tensor.shape[1:]), tensor.dtype) for tensor in model.inputs]
    function = tf.function(lambda *inputs: model(list(inputs) if len(inputs) > 1 else inputs[0]))
    frozen = convert_variables_to_constants_v2(function.get_concrete_function(*specs))
    profiler = tf.compat.v1.profiler
    options = profiler.ProfileOptionBuilder(profiler.ProfileOptionBuilder.float_operation())
    options = options.with_accounted_types(PRODUCTS).with_empty_output().build()
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(frozen.graph.as_graph_def(), name="")
        found = profiler.profile(graph, options=options, cmd="op")
    return int(found.total_float_ops) // 2


def model_of(*stack: Any, shape: tuple[int | None, ...] = (8, 8, 6)) -> Any:
    return keras.Sequential([keras.Input(shape), *stack])


PLAIN = {
    "dense": ((5,), layers.Dense(7)),
    "dense on positions": ((3, 5), layers.Dense(7)),
    "convolution": ((8, 8, 6), layers.Conv2D(4, 3)),
    "strided": ((9, 8, 6), layers.Conv2D(4, (3, 2), strides=2, padding="same")),
    "dilated": ((8, 8, 6), layers.Conv2D(4, 3, dilation_rate=2)),
    "along one axis": ((8, 6), layers.Conv1D(4, 3)),
    "depthwise": ((8, 8, 6), layers.DepthwiseConv2D(3, depth_multiplier=2)),
    "depthwise along one axis": ((8, 6), layers.DepthwiseConv1D(3)),
    "separable": ((8, 8, 6), layers.SeparableConv2D(4, 3, depth_multiplier=2, strides=2)),
    "transposed": ((4, 4, 6), layers.Conv2DTranspose(5, 3, strides=2, padding="same")),
    "transposed along one axis": ((4, 6), layers.Conv1DTranspose(5, 3, strides=2, padding="same")),
    "every step by itself": ((5, 8, 8, 2), layers.TimeDistributed(layers.Conv2D(3, 3))),
}


@pytest.mark.parametrize(("shape", "layer"), PLAIN.values(), ids=PLAIN)
def test_a_layer_costs_what_tensorflow_counts(shape: tuple[int, ...], layer: Any) -> None:
    model = model_of(layer, shape=shape)

    assert num_macs(model) == counted_by_tensorflow(model) > 0


def test_a_convolution_in_groups_costs_what_its_groups_cost_alone() -> None:
    """By hand: Keras compiles it into a function of its own, into which the count does not look."""
    grouped, alone = (
        model_of(layer, shape=(8, 8, 3 * n))
        for n, layer in ((2, layers.Conv2D(4, 3, groups=2)), (1, layers.Conv2D(2, 3)))
    )

    assert num_macs(grouped) == 2 * num_macs(alone) == 2 * 36 * 27 * 2


def test_a_whole_network_costs_what_tensorflow_counts() -> None:
    model = keras.applications.MobileNetV2(weights=None, input_shape=(32, 32, 3), classes=10)

    assert num_macs(model) == sum(macs_by_layer(model).values()) == counted_by_tensorflow(model)


def test_costs_follow_from_how_much_each_axis_keeps() -> None:
    """What planning builds on: the sizes of a smaller model put into the works of the large one."""
    large, small = (model_of(layers.Conv2D(c, 3), layers.Flatten(), layers.Dense(5)) for c in (8, 4))
    conv, _, dense = large.layers
    kept = {(id(conv.kernel), 3): 4, (id(dense._kernel), 0): dense._kernel.shape[0] // 2}

    macs = sum(
        work.times * np.prod([kept.get((id(variable), axis), variable.shape[axis]) for variable, axis in work.sizes])
        for work in works_of(graph_of(large))
    )

    assert macs == num_macs(small)


RECURRENT = {
    "LSTM": (layers.LSTM(3), 7 * 4 * (5 * 3 + 3 * 3)),
    "GRU": (layers.GRU(3), 7 * 3 * (5 * 3 + 3 * 3)),
    "SimpleRNN": (layers.SimpleRNN(3), 7 * (5 * 3 + 3 * 3)),
    "stacked cells": (layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)]), 7 * (4 * (15 + 9) + 3 * (6 + 4))),
    "both ways": (layers.Bidirectional(layers.LSTM(3)), 2 * 7 * 4 * (5 * 3 + 3 * 3)),
    "dense at each step": (layers.TimeDistributed(layers.Dense(3)), 7 * 5 * 3),
    "a model at each step": (layers.TimeDistributed(model_of(layers.Dense(2), layers.Dense(4), shape=(5,))), 7 * 18),
}


@pytest.mark.parametrize(("layer", "expected"), RECURRENT.values(), ids=RECURRENT)
def test_what_runs_along_time_costs_its_kernels_at_every_step(layer: Any, expected: int) -> None:
    assert num_macs(model_of(layer, shape=(7, 5))) == expected


def test_a_recurrent_convolution_costs_both_kernels_at_every_position_and_step() -> None:
    layer = layers.ConvLSTM2D(3, 3, padding="valid", return_sequences=True)

    assert num_macs(model_of(layer, shape=(5, 8, 8, 2))) == 5 * 6 * 6 * 9 * 4 * (2 * 3 + 3 * 3)


def test_attention_costs_four_projections_and_two_products_of_pairs() -> None:
    query, value = keras.Input((5, 8)), keras.Input((7, 6))
    made = layers.MultiHeadAttention(num_heads=2, key_dim=3, value_dim=4)(query, value)

    model = keras.Model([query, value], made)

    projections = 5 * 8 * 2 * 3 + 7 * 6 * 2 * 3 + 7 * 6 * 2 * 4 + 5 * 2 * 4 * 8
    assert num_macs(model) == projections + 5 * 7 * 2 * (3 + 4)


def test_attention_along_one_axis_of_two_pairs_only_positions_on_that_axis() -> None:
    inputs = keras.Input((3, 5, 8))
    made = layers.MultiHeadAttention(num_heads=2, key_dim=4, attention_axes=(2,))(inputs, inputs)

    model = keras.Model(inputs, made)

    assert num_macs(model) == 4 * 15 * 8 * 8 + 2 * 3 * 5 * 5 * 8


def test_queries_in_groups_share_keys_but_not_products() -> None:
    inputs = keras.Input((5, 8))
    made = layers.GroupQueryAttention(head_dim=2, num_query_heads=4, num_key_value_heads=2)(inputs, inputs)

    model = keras.Model(inputs, made)

    assert num_macs(model) == 5 * 8 * (8 + 4 + 4 + 8) + 2 * 5 * 5 * 8


def test_products_of_activations_alone_have_a_fixed_cost() -> None:
    a, b = keras.Input((5, 8)), keras.Input((7, 8))

    dot = keras.Model([a, b], layers.Dot(axes=2)([a, b]))
    attention = keras.Model([a, b], layers.Attention()([a, b]))

    assert num_macs(dot) == counted_by_tensorflow(dot) == 5 * 7 * 8
    assert num_macs(attention) == 2 * 5 * 7 * 8


def test_the_kernel_of_an_einsum_is_used_where_its_own_axes_do_not_reach() -> None:
    shared = layers.EinsumDense("abc,cd->abd", output_shape=(None, 4))
    own = layers.EinsumDense("abc,bcd->abd", output_shape=(5, 4))
    dots = layers.EinsumDense("...x,xy->...y", output_shape=4)

    assert [num_macs(model_of(layer, shape=(5, 3))) for layer in (shared, own, dots)] == [60, 60, 60]


def test_what_only_looks_at_elements_costs_nothing() -> None:
    body = [layers.Embedding(9, 4), layers.LayerNormalization(), layers.ReLU(), layers.MaxPooling1D()]

    assert num_macs(model_of(*body, shape=(6,))) == 0


def test_a_layer_costs_as_often_as_it_is_called_and_stands_under_the_name_of_the_job_spec() -> None:
    inner_in = keras.Input((6,))
    inner = keras.Model(inner_in, layers.Dense(6, name="inside")(inner_in), name="encoder")
    inputs = keras.Input((6,))
    outputs = layers.Dense(2, name="out")(inner(inner(inputs)))

    found = macs_by_layer(keras.Model(inputs, outputs))

    assert {name: macs for name, macs in found.items() if macs} == {"encoder/inside": 2 * 36, "out": 12}


def test_a_nested_model_of_any_size_costs_by_the_size_that_it_is_called_with() -> None:
    """Backbones are often built without a size: inside, no shape is known."""
    anything = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same")(anything)
    backbone = keras.Model(anything, layers.Conv2D(5, 1)(layers.ReLU()(x)))
    inputs = keras.Input((8, 8, 3))

    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(backbone(inputs)))

    assert num_macs(model) == counted_by_tensorflow(model) == 16 * (27 * 4 + 20)


def test_a_size_that_nobody_knows_counts_as_one() -> None:
    assert num_macs(model_of(layers.Conv1D(4, 3), shape=(None, 6))) == 3 * 6 * 4
