from typing import Any

import keras
import numpy as np
import pytest

from engine.reconstruction.rows import (
    grouped,
    has_bias_per_unit,
    join_groups,
    num_positions,
    reason_not_a_matrix_product,
    rows,
    ungrouped,
    weights_of,
)

layers = keras.layers

KINDS = [
    pytest.param(lambda: layers.Dense(3), (5,), id="dense"),
    pytest.param(lambda: layers.Dense(3), (4, 5), id="dense over positions"),
    pytest.param(lambda: layers.EinsumDense("abc,cd->abd", (None, 3), bias_axes="d"), (4, 5), id="einsum"),
    pytest.param(lambda: layers.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="de"), (4, 5), id="einsum heads"),
    pytest.param(lambda: layers.EinsumDense("abde,dec->abc", (None, 3), bias_axes="c"), (4, 2, 5), id="einsum joins"),
    pytest.param(lambda: layers.EinsumDense("acb,cd->abd", (None, 3), bias_axes="d"), (5, 4), id="einsum turned"),
    pytest.param(lambda: layers.EinsumDense("...x,xy->...y", (3,), bias_axes="y"), (4, 5), id="einsum any rank"),
    pytest.param(lambda: layers.Conv1D(3, 4, strides=2), (9, 5), id="conv1d"),
    pytest.param(lambda: layers.Conv1D(3, 3, padding="same", dilation_rate=2), (9, 5), id="conv1d dilated"),
    pytest.param(lambda: layers.Conv1D(3, 3, padding="causal", dilation_rate=2), (9, 5), id="conv1d causal"),
    pytest.param(lambda: layers.Conv1D(4, 3, groups=2), (9, 6), id="conv1d grouped"),
    pytest.param(lambda: layers.Conv2D(3, (3, 2), padding="same"), (7, 6, 2), id="conv2d"),
    pytest.param(lambda: layers.Conv2D(3, 3, strides=2), (8, 8, 2), id="conv2d strided"),
    pytest.param(lambda: layers.Conv2D(3, 3, strides=2, padding="same"), (7, 8, 2), id="conv2d strided, same"),
    pytest.param(lambda: layers.Conv2D(6, 3, groups=3, dilation_rate=2), (8, 8, 6), id="conv2d grouped, dilated"),
    pytest.param(lambda: layers.Conv3D(3, 2, strides=(1, 2, 1), padding="same"), (4, 5, 3, 2), id="conv3d"),
    pytest.param(lambda: layers.DepthwiseConv1D(3, padding="same"), (9, 4), id="depthwise1d"),
    pytest.param(lambda: layers.DepthwiseConv2D(3, strides=2, padding="same"), (8, 8, 4), id="depthwise2d"),
    pytest.param(lambda: layers.DepthwiseConv2D(3, depth_multiplier=2), (6, 6, 4), id="depthwise2d multiplied"),
    pytest.param(lambda: layers.SeparableConv1D(3, 3, depth_multiplier=2), (9, 4), id="separable1d"),
    pytest.param(lambda: layers.SeparableConv2D(3, 3, strides=2, padding="same"), (8, 8, 4), id="separable2d"),
    pytest.param(lambda: layers.Conv1DTranspose(3, 3, strides=2), (6, 4), id="transposed1d"),
    pytest.param(lambda: layers.Conv2DTranspose(3, 3, strides=2, padding="same"), (4, 5, 2), id="transposed2d"),
    pytest.param(lambda: layers.Conv2DTranspose(3, 2, strides=3), (4, 5, 2), id="transposed2d with gaps"),
    pytest.param(lambda: layers.Conv2DTranspose(3, 3, dilation_rate=2), (4, 5, 2), id="transposed2d dilated"),
    pytest.param(
        lambda: layers.Conv2DTranspose(3, 3, strides=2, padding="same", output_padding=1),
        (4, 5, 2),
        id="transposed2d with output padding",
    ),
    pytest.param(lambda: layers.Conv3DTranspose(3, 2, strides=2, padding="same"), (2, 3, 2, 2), id="transposed3d"),
]


@pytest.mark.parametrize(("layer", "shape"), KINDS)
def test_rows_times_the_grouped_kernel_are_what_the_layer_computes(layer: Any, shape: tuple[int, ...]) -> None:
    """Rows in another order than the kernel's would solve for the wrong weights, and nobody would see why."""
    made, rng = layer(), np.random.default_rng(1)
    x = rng.normal(size=(2, *shape)).astype("f4")
    expected = np.asarray(made(x))
    made.bias.assign(rng.normal(size=made.bias.shape))
    kernel = grouped(made, np.asarray(weights_of(made)))
    picked = np.arange(2 * num_positions(made, x.shape))[::-2]

    computed = join_groups(rows(made, x, picked) @ kernel)

    assert reason_not_a_matrix_product(made) is None
    assert has_bias_per_unit(made)
    assert len(picked) * 2 * kernel.shape[0] * kernel.shape[2] == pytest.approx(expected.size, abs=expected.shape[-1])
    assert np.allclose(computed, expected.reshape(-1, computed.shape[1])[picked], atol=1e-5)
    assert (ungrouped(made, kernel) == np.asarray(weights_of(made))).all()


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        pytest.param(lambda: layers.Conv2D(3, 3, data_format="channels_first"), "channels first", id="channels first"),
        pytest.param(lambda: layers.EinsumDense("abc,bcd->abd", (4, 3)), "no plain matrix product", id="einsum"),
        pytest.param(lambda: layers.LSTM(3), "LSTM is no matrix product", id="recurrent"),
    ],
)
def test_other_layers_say_why_not(layer: Any, reason: str) -> None:
    assert reason in (reason_not_a_matrix_product(layer()) or "")


def test_a_bias_that_is_shared_by_units_is_not_solved() -> None:
    layer = layers.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="e")
    layer.build((None, 4, 5))

    assert not has_bias_per_unit(layer)
