import keras

from engine.inspection.summary import summarise
from engine.models.prunable import prunable_kernels
from tests.engine.conftest import make_model


def names(model: keras.Model) -> list[str]:
    return [kernel.name for kernel in prunable_kernels(model)]


def test_all_kernels_but_the_output_layers_can_be_pruned() -> None:
    assert names(make_model()) == ["conv", "hidden"]


def test_the_output_layer_is_found_behind_activation_and_reshaping() -> None:
    inputs = keras.Input((6,))
    x = keras.layers.Dense(5, name="hidden")(inputs)
    x = keras.layers.Dense(4, name="logits")(x)
    model = keras.Model(inputs, keras.layers.Softmax()(keras.layers.Reshape((4,))(x)))

    assert names(model) == ["hidden"]


def test_every_branch_of_a_sum_makes_the_output() -> None:
    inputs = keras.Input((6,))
    hidden = keras.layers.Dense(6, name="hidden")(inputs)
    model = keras.Model(
        inputs, keras.layers.Dense(3, name="left")(hidden) + keras.layers.Dense(3, name="right")(hidden)
    )

    assert names(model) == ["hidden"]


def test_layers_of_nested_models_are_named_by_their_path() -> None:
    inner = keras.Sequential([keras.Input((6,)), keras.layers.Dense(5, name="a")], name="encoder")
    inputs = keras.Input((6,))
    model = keras.Model(inputs, keras.layers.Dense(2, name="a")(inner(inputs)))

    assert names(model) == ["encoder/a"]


def test_a_layer_that_is_called_twice_is_pruned_once() -> None:
    inputs = keras.Input((6,))
    shared = keras.layers.Dense(6, name="shared")
    model = keras.Model(inputs, keras.layers.Dense(2, name="out")(shared(shared(inputs))))

    assert names(model) == ["shared"]


def test_depthwise_kernels_and_normalisations_are_left_alone_and_the_summary_says_why() -> None:
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.DepthwiseConv2D(3, name="depthwise"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.SeparableConv2D(4, 3, name="separable"),
            keras.layers.GlobalAveragePooling2D(name="pool"),
            keras.layers.Dense(2, name="out"),
        ]
    )

    layers = {layer.name: layer for layer in summarise(model).layers}

    assert [name for name, layer in layers.items() if layer.prunable] == ["separable"]
    assert layers["separable"].kernel_shape == (1, 1, 3, 4)
    assert "depthwise" in (layers["depthwise"].reason or "")
    assert "BatchNormalization" in (layers["norm"].reason or "")
    assert "output" in (layers["out"].reason or "")
    assert layers["pool"].reason == "it has no weights"


def test_an_output_layer_is_spared_although_a_nested_softmax_comes_behind_it() -> None:
    inputs = keras.Input((4,))
    logits = keras.layers.Dense(2, name="logits")(keras.layers.Dense(8, name="hidden")(inputs))
    model = keras.Model(inputs, keras.Sequential([keras.Input((2,)), keras.layers.Softmax()])(logits))

    assert [kernel.name for kernel in prunable_kernels(model)] == ["hidden"]
