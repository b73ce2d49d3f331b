"""Which layers channels are known to pass, and what becomes of all others."""

import inspect
from typing import Any

import keras
import pytest

from engine.structured.groups import channels_of
from engine.structured.trace import RULES, trace
from tests.engine.structured.masked import assert_exact, group_of

L = keras.layers

HELD = [
    "AdditiveAttention",
    "Attention",
    "AugMix",
    "AutoContrast",
    "CategoryEncoding",
    "CenterCrop",
    "ContrastLimitedAdaptiveHistogramEqualization",
    "ConvLSTM1D",
    "ConvLSTM2D",
    "ConvLSTM3D",
    "CutMix",
    "Discretization",
    "Dot",
    "Equalization",
    "FlaxLayer",
    "GRUCell",
    "GroupedQueryAttention",
    "HashedCrossing",
    "Hashing",
    "IntegerLookup",
    "JaxLayer",
    "LSTMCell",
    "Lambda",
    "Layer",
    "MaxNumBoundingBoxes",
    "MelSpectrogram",
    "MixUp",
    "Pipeline",
    "RNN",
    "RandAugment",
    "RandomBrightness",
    "RandomColorDegeneration",
    "RandomColorJitter",
    "RandomContrast",
    "RandomCrop",
    "RandomElasticTransform",
    "RandomErasing",
    "RandomFlip",
    "RandomGaussianBlur",
    "RandomGrayscale",
    "RandomHue",
    "RandomInvert",
    "RandomPerspective",
    "RandomPosterization",
    "RandomRotation",
    "RandomSaturation",
    "RandomSharpness",
    "RandomShear",
    "RandomTranslation",
    "RandomZoom",
    "Resizing",
    "ReversibleEmbedding",
    "STFTSpectrogram",
    "SimpleRNNCell",
    "Solarization",
    "SpectralNormalization",
    "StackedRNNCells",
    "StringLookup",
    "TFSMLayer",
    "TextVectorization",
    "TorchModuleWrapper",
    "UnitNormalization",
    "Wrapper",
]
"""Layers that hold the channels that they read; without channels of their own, or not worth a rule so far."""

NEVER_CALLED = {"InputLayer"}


def layers_of_keras() -> set[str]:
    """The names of the classes, of which some have several."""
    found = (getattr(L, name) for name in dir(L))
    return {each.__name__ for each in found if inspect.isclass(each) and issubclass(each, L.Layer)}


def test_every_layer_of_keras_has_a_rule_or_is_known_to_have_none() -> None:
    """A Keras that brings a new layer, or takes one away, is noticed here."""
    assert layers_of_keras() == (layers_of_keras() & set(RULES)) | set(HELD) | NEVER_CALLED
    assert not set(RULES) & set(HELD)


def test_a_rule_of_an_operation_is_for_one_that_exists() -> None:
    """A name that is misspelt would hold channels for no reason."""
    operations = {name for module in vars(keras.src.ops).values() if inspect.ismodule(module) for name in vars(module)}
    applications = {"LayerScale", "CustomScaleLayer", "StochasticDepth"}

    assert set(RULES) - layers_of_keras() - operations - applications == set()


def shared(x: Any, y: Any) -> Any:
    """One dense layer reads two tensors."""
    layer = L.Dense(6, name="shared")
    return L.Concatenate()([layer(x), layer(y)])


def nested(name: str, *layers: Any, shape: tuple[int | None, ...] = (8,)) -> Any:
    return keras.Sequential([keras.Input(shape), *layers], name=name)


def two(join: Any) -> Any:
    inputs = keras.Input((3,))
    made = join(L.Dense(8, name="a")(inputs), L.Dense(8, name="b")(inputs))
    return keras.Model(inputs, L.Dense(2, name="out")(made))


def test_a_layer_that_is_called_twice_couples_what_it_reads() -> None:
    channels, _, _ = assert_exact(two(shared))

    group = group_of(channels, "a")
    assert set(group.layers) == {"a", "b"}
    both = group_of(channels, "shared")
    assert len(both.channels) == 6


def test_a_model_that_is_called_twice_couples_what_it_reads() -> None:
    inner = nested("inner", L.Dense(6, name="dense"))

    channels, _, small = assert_exact(two(lambda x, y: L.Add()([inner(x), inner(y)])))

    group = group_of(channels, "a")
    assert set(group.layers) == {"a", "b"}
    assert channels.group("inner/dense") is not None
    assert small.get_layer("inner").input_shape == (None, 4)


def test_models_in_models_are_opened() -> None:
    innermost = nested("innermost", L.Dense(6, name="dense"), L.BatchNormalization(), shape=(16,))
    inner = nested("inner", innermost, L.ReLU(), shape=(16,))

    channels, _, small = assert_exact(two(lambda x, y: inner(L.Concatenate()([x, y]))))

    group = group_of(channels, "inner/innermost/dense")
    assert group.consumers == ("out",)
    assert small.get_layer("inner").get_layer("innermost").get_layer("dense").units == 3


def test_a_model_of_several_inputs_and_outputs_is_opened() -> None:
    left, right = keras.Input((8,)), keras.Input((8,))
    inner = keras.Model([left, right], [L.Add()([left, right]), L.Dense(4, name="dense")(right)], name="inner")

    channels, _, _ = assert_exact(two(lambda x, y: L.Concatenate()(inner([x, y]))))

    group = group_of(channels, "a")
    assert (set(group.layers), group.tags) == ({"a", "b"}, ("shortcut",))


def test_a_model_called_on_channels_and_on_an_input_holds_them() -> None:
    """Its inputs have one size, and that of the outer model stays."""
    inputs = keras.Input((8,))
    inner = nested("inner", L.ReLU())
    made = L.Concatenate()([inner(inputs), inner(L.Dense(8, name="held")(inputs))])

    group = group_of(channels_of(keras.Model(inputs, L.Dense(2)(made))), "held")

    assert group.frozen


def test_outputs_in_the_middle_hold_their_channels() -> None:
    inputs = keras.Input((3,))
    middle = L.Dense(8, name="middle")(inputs)
    made = L.Dense(2, name="end")(L.Dense(8, name="free")(middle))

    channels, _, _ = assert_exact(keras.Model(inputs, [middle, made]))

    assert [group.name for group in channels.groups if not group.frozen] == ["free"]


def test_a_model_that_is_only_code_has_no_groups() -> None:
    class Code(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = L.Dense(2)

        def call(self, x: Any) -> Any:
            return self.dense(x)

    model = Code()
    model.build((None, 3))

    assert channels_of(model).groups == ()


def test_a_model_of_code_inside_a_graph_holds_what_it_reads() -> None:
    @keras.saving.register_keras_serializable("channels")
    class Code(keras.Model):
        def call(self, x: Any) -> Any:
            return x[:, ::-1]

    channels, _, _ = assert_exact(two(lambda x, y: L.Concatenate()([Code(name="code")(x), y])))

    held, free = group_of(channels, "a"), group_of(channels, "b")
    assert held.frozen == ("code (Code) has no rule for channels",)
    assert not free.frozen


def test_an_embedding_that_is_used_as_a_kernel_too_is_held() -> None:
    """Tied weights: the table is multiplied with the last activations."""
    tokens = keras.Input((5,), dtype="int32")
    table = L.Embedding(7, 8, name="words")
    x = table(tokens)
    made = keras.ops.matmul(L.Add()([x, L.Dense(8, name="dense")(x)]), keras.ops.transpose(table.embeddings))

    group = group_of(channels_of(keras.Model(tokens, made)), "words")

    assert group.frozen == ("matmul (Matmul) has no rule for channels",)


@pytest.mark.parametrize("shape", [(8,), (4, 8), (4, 4, 8)])
def test_a_tensor_has_axes_of_the_sizes_of_its_shape(shape: tuple[int, ...]) -> None:
    inputs = keras.Input((*shape[:-1], 3))
    traced = trace(keras.Model(inputs, L.Flatten()(L.Dense(8)(inputs))))

    for slot, axes in traced.axes.items():
        sizes = [axis.size if not isinstance(axis, str) else None for axis in axes]
        assert all(a in (None, b) for a, b in zip(sizes, traced.graph.shapes[slot], strict=True))
