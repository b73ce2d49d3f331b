"""Dense layers, convolutions and embeddings: what goes with a channel."""

from typing import Any

import keras
import numpy as np
import pytest

from engine.structured.groups import channels_of
from tests.engine.structured.masked import assert_exact, group_of

L = keras.layers


def behind(before: Any, *layers: Any, shape: tuple[int | None, ...] = (8, 8, 3)) -> Any:
    return keras.Sequential([keras.Input(shape), before, *layers, L.Flatten(), L.Dense(2, name="out")])


def conv(filters: int = 8, name: str = "before", **options: Any) -> Any:
    return L.Conv2D(filters, 3, name=name, **options)


@pytest.mark.parametrize(
    ("make", "filters"),
    [
        (lambda: L.Conv2D(6, 3, name="cut"), 3),
        (lambda: L.Conv2D(6, 3, use_bias=False, name="cut"), 3),
        (lambda: L.Conv2DTranspose(6, 3, name="cut"), 3),
        (lambda: L.SeparableConv2D(6, 3, depth_multiplier=2, name="cut"), 3),
        (lambda: L.Dense(6, activation="gelu", name="cut"), 3),
        (lambda: L.EinsumDense("abcd,de->abce", output_shape=(6, 6, 6), bias_axes="e", name="cut"), 3),
        (lambda: L.EinsumDense("...d,de->...e", output_shape=6, bias_axes="e", name="cut"), 3),
    ],
    ids=["conv", "no-bias", "transposed", "separable", "dense", "einsum", "einsum-dots"],
)
def test_a_kernel_loses_inputs_and_outputs(make: Any, filters: int) -> None:
    channels, kept, small = assert_exact(behind(conv(), make()))

    before, cut = group_of(channels, "before"), group_of(channels, "cut")
    assert "cut" in before.consumers
    assert kept[cut.channels].sum() == filters
    assert filters in small.get_layer("cut").weights[-1].shape


@pytest.mark.parametrize("rank", [1, 3])
def test_convolutions_of_other_ranks_do_the_same(rank: int) -> None:
    kinds = {1: (L.Conv1D, L.Conv1DTranspose, L.SeparableConv1D), 3: (L.Conv3D, L.Conv3DTranspose)}[rank]
    layers = [kind(4, 2) for kind in kinds]

    assert_exact(behind(layers[0], *layers[1:], L.Dense(3), shape=(4,) * rank + (2,)))


def test_a_depthwise_convolution_follows_what_it_reads() -> None:
    model = behind(conv(4), L.DepthwiseConv2D(3, depth_multiplier=2, name="deep"), L.BatchNormalization(name="norm"))

    _, _, small = assert_exact(model)

    assert small.get_layer("deep").kernel.shape == (3, 3, 2, 2)
    assert small.get_layer("norm").gamma.shape == (4,), "two for each channel that stays"


def test_channels_in_step_go_in_every_group_of_a_convolution() -> None:
    channels, _, small = assert_exact(behind(conv(8), L.Conv2D(8, 3, groups=2, name="grouped")))

    assert small.get_layer("grouped").kernel.shape == (3, 3, 2, 4)
    assert [len(group.channels) for group in channels.groups[:2]] == [4, 4], "one in each of the two groups"


def test_a_convolution_with_a_group_a_channel_loses_groups() -> None:
    _, _, small = assert_exact(behind(conv(4), L.Conv2D(8, 3, groups=4, name="grouped")))

    assert (small.get_layer("grouped").groups, small.get_layer("grouped").filters) == (2, 4)


def test_a_convolution_with_groups_on_the_input_of_the_model_keeps_as_many_in_each() -> None:
    channels, _, small = assert_exact(behind(L.Conv2D(8, 3, groups=2, name="cut"), shape=(6, 6, 4)))

    assert len(channels.groups[0].channels) == 4
    assert small.get_layer("cut").kernel.shape == (3, 3, 2, 4)


def test_a_convolution_with_a_group_an_input_stays() -> None:
    channels = channels_of(behind(L.Conv2D(8, 3, groups=4, name="held"), shape=(6, 6, 4)))

    assert channels.groups[0].frozen == ("its channels meet an axis of the model's input",)


def test_words_have_fewer_features() -> None:
    tokens = keras.Input((5,), dtype="int32")

    _, _, small = assert_exact(keras.Model(tokens, L.Dense(2)(L.Embedding(5, 8, name="words")(tokens))))

    assert small.get_layer("words").output_dim == 4


def test_channels_along_other_axes_pass_a_dense_layer() -> None:
    """As in a mixer, where tokens are mixed on a turned tensor."""
    tokens = keras.Input((6, 3))
    x = L.Dense(8, name="width")(tokens)
    y = L.Permute((2, 1))(L.Dense(6, name="back")(L.Dense(10, name="mix")(L.Permute((2, 1))(x))))

    channels, _, _ = assert_exact(keras.Model(tokens, L.Dense(2, name="out")(L.Add()([x, y]))))

    assert {group.name: bool(group.frozen) for group in channels.groups} == {
        "width": False,
        "mix": False,
        "back": True,
        "out": True,
    }


def test_sums_that_are_no_matrix_products_hold_what_goes_in() -> None:
    model = behind(conv(4), L.EinsumDense("abcd,de->abe", output_shape=(6, 5), name="sums"))

    group = group_of(channels_of(model), "before")

    assert group.frozen == ("sums sums along axes that its kernel does not have",)


def test_convolutions_in_the_other_data_format_are_labelled_along_their_axis() -> None:
    """TensorFlow on a CPU builds them, and cannot run them."""
    model = keras.Sequential([keras.Input((3, 8, 8))])
    for layer in (
        conv(8, data_format="channels_first"),
        L.BatchNormalization(axis=1),
        L.DepthwiseConv2D(3, data_format="channels_first"),
        L.GlobalAveragePooling2D(data_format="channels_first"),
        L.Dense(2, name="out"),
    ):
        model.add(layer)

    group = group_of(channels_of(model), "before")

    assert (len(group.channels), group.frozen, group.tags, group.consumers) == (8, (), ("first",), ("out",))


def test_a_low_rank_adapter_is_held_with_its_layer() -> None:
    layer = L.Dense(6, name="held")
    model = behind(conv(4), layer)
    layer.enable_lora(2)

    channels = channels_of(model)

    assert all("weights that Keras does not know" in channels.group(name).frozen[0] for name in ("before", "held"))


@pytest.mark.parametrize(
    "activation", ["softmax", "log_softmax", lambda x: x / 2, L.PReLU()], ids=["softmax", "log", "own", "layer"]
)
def test_channels_that_may_see_each_other_in_an_activation_stay(activation: Any) -> None:
    model = behind(conv(4, activation=activation))

    group = group_of(channels_of(model), "before")

    assert "may mix channels" in group.frozen[0]


def test_an_activation_of_nobodys_may_see_channels_along_any_axis() -> None:
    tokens = keras.Input((6, 3))
    turned = L.Permute((2, 1))(L.Dense(8, name="held")(tokens))
    made = L.Dense(4, activation=lambda x: x - keras.ops.mean(x, axis=1, keepdims=True))(turned)

    model = keras.Model(tokens, L.Dense(2)(keras.ops.max(made, axis=-1)))

    group = group_of(channels_of(model), "held")

    assert any("may mix channels" in reason for reason in group.frozen)


def test_numbers_of_a_model_fit_by_hand() -> None:
    """Two units, of which the second goes: 3 x 1 stays of 3 x 1 + 5 x 2."""
    from engine.structured.surgery import shrink

    model = keras.Sequential([keras.Input((1,)), L.Dense(2, name="cut"), L.Dense(1, name="out")])
    model.set_weights([np.array([[1.0, 2.0]]), np.zeros(2), np.array([[3.0], [5.0]]), np.zeros(1)])
    channels = channels_of(model)
    kept = channels.all_kept()
    kept[channels.groups[0].channels[1]] = False

    small = shrink(channels, kept)

    assert float(small(np.ones((1, 1)))[0, 0]) == 3.0
