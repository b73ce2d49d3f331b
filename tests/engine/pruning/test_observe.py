"""Norms of inputs, recomputed by hand: each weight has the norm of what it is multiplied with, and of nothing else."""

from typing import Any

import keras
import numpy as np
import pytest

from engine.models.prunable import prunable_kernels
from engine.pruning.observe import Observer

layers = keras.layers


def norms_before(layer: Any, x: np.ndarray) -> np.ndarray:
    """Norms of a layer named ``seen`` that stands right at the model's inputs; batches of 2 and 3 samples."""
    inputs = keras.Input(x.shape[1:])
    model = keras.Model(inputs, layers.Dense(1, name="out")(layers.Flatten()(layer(inputs))))
    loss = keras.losses.MeanSquaredError()
    observer = Observer(model, prunable_kernels(model), loss, lambda: [(x[:2], x[:2]), (x[2:], x[2:])])
    return observer.input_norms(("seen",))["seen"]


def made(*shape: int) -> np.ndarray:
    """Five samples; every feature, wherever its axis is, has a size of its own."""
    x = np.random.default_rng(0).normal(size=(5, *shape))
    return (x * (1 + np.arange(np.prod(shape)).reshape(shape))).astype("f4")


def test_a_layer_that_mixes_tokens_has_a_norm_for_each_token() -> None:
    x = made(4, 3)
    layer = layers.EinsumDense("abc,bd->adc", output_shape=(6, 3), name="seen")

    norms = norms_before(layer, x)

    assert norms.shape == (4, 6)
    for token in range(4):
        assert norms[token] == pytest.approx(np.sqrt(np.square(x[:, token]).sum()), rel=1e-5)


def test_the_output_of_an_attention_has_a_norm_for_each_number_of_each_head() -> None:
    x = made(7, 2, 3)
    layer = layers.EinsumDense("abcd,cde->abe", output_shape=(7, 5), name="seen")

    norms = norms_before(layer, x)

    assert norms.shape == (6, 5)
    for head in range(2):
        for number in range(3):
            found = norms[head * 3 + number]
            assert found == pytest.approx(np.sqrt(np.square(x[:, :, head, number]).sum()), rel=1e-5)


def test_heads_whose_kernel_has_its_axes_in_another_order_than_the_input_keep_their_norms() -> None:
    x = made(7, 2, 3)
    layer = layers.EinsumDense("abcd,dce->abe", output_shape=(7, 5), name="seen")

    norms = norms_before(layer, x)

    assert norms[2 * 2 + 1] == pytest.approx(np.sqrt(np.square(x[:, :, 1, 2]).sum()), rel=1e-5)


def test_any_number_of_axes_before_those_of_the_equation_is_summed() -> None:
    x = made(4, 3)

    norms = norms_before(layers.EinsumDense("...x,xy->...y", output_shape=2, name="seen"), x)

    assert norms == pytest.approx(np.linalg.norm(x.reshape(-1, 3), axis=0)[:, None].repeat(2, axis=1), rel=1e-5)


def test_a_layer_that_is_no_plain_product_has_norms_by_unit() -> None:
    """Each head has a kernel of its own, and never sees the input of another."""
    x = made(2, 3)
    layer = layers.EinsumDense("abc,bcd->abd", output_shape=(2, 4), name="seen")

    norms = norms_before(layer, x).reshape(3, 2, 4)

    for head in range(2):
        expected = np.linalg.norm(x[:, head], axis=0)
        assert norms[:, head] == pytest.approx(expected[:, None].repeat(4, axis=1), rel=1e-5)


def test_a_unit_has_the_norms_of_the_channels_of_its_group_at_every_place_of_its_window() -> None:
    x = made(4, 4, 6)
    of_channels = np.linalg.norm(x.reshape(-1, 6), axis=0)

    norms = norms_before(layers.Conv2D(4, 2, groups=2, name="seen"), x)

    for place in range(4):
        first, second = norms[place * 3 : place * 3 + 3, :2], norms[place * 3 : place * 3 + 3, 2:]
        assert first == pytest.approx(of_channels[:3, None].repeat(2, axis=1), rel=1e-5)
        assert second == pytest.approx(of_channels[3:, None].repeat(2, axis=1), rel=1e-5)


def test_channels_may_come_first() -> None:
    x = made(3, 5, 5)
    layer = layers.Conv2D(2, 1, data_format="channels_first", name="seen")

    norms = norms_before(layer, x)

    expected = np.sqrt(np.square(x).sum(axis=(0, 2, 3)))
    assert norms == pytest.approx(expected[:, None].repeat(2, axis=1), rel=1e-5)
