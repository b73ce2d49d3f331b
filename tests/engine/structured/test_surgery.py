"""The smaller model is a plain one: names, flags, configs, files, training, LiteRT."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from engine.export.litert import Runner, convert
from engine.structured.groups import channels_of
from engine.structured.surgery import shrink
from tests.engine.structured.masked import assert_exact, chosen, error, outputs_of, randomized

L = keras.layers


def network() -> Any:
    """Two inputs by name, two outputs by name, a shortcut, a nested model and a frozen layer; compiled."""
    image, size = keras.Input((6, 6, 3), name="image"), keras.Input((2,), name="size")
    stem = L.Conv2D(8, 3, padding="same", kernel_regularizer=keras.regularizers.L2(1e-3), name="stem")(image)
    block = keras.Sequential(
        [keras.Input((6, 6, 8)), L.DepthwiseConv2D(3, padding="same", name="deep"), L.BatchNormalization(name="norm")],
        name="block",
    )
    added = L.Add(name="add")([stem, block(stem)])
    hidden = L.Dense(6, activation="relu", kernel_initializer="he_normal", trainable=False, name="hidden")(size)
    both = L.Concatenate(name="both")([L.Flatten(name="flatten")(added), hidden])
    outputs = {"kind": L.Dense(3, name="kind")(both), "weight": L.Dense(1, name="weight")(both)}
    model = keras.Model({"image": image, "size": size}, outputs, name="network")
    model.compile(optimizer=keras.optimizers.SGD(0.01, momentum=0.5), loss={"kind": "mse", "weight": "mae"})
    return model


def halved(model: Any) -> Any:
    channels = channels_of(randomized(model))
    return shrink(channels, chosen(channels))


def samples(count: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {"image": rng.normal(size=(count, 6, 6, 3)), "size": rng.normal(size=(count, 2))}


def test_inputs_and_outputs_keep_names_structure_and_order() -> None:
    _, _, small = assert_exact(network())

    made = small(samples(2))
    assert {name: value.shape for name, value in made.items()} == {"kind": (2, 3), "weight": (2, 1)}
    assert [tensor.name for tensor in small.inputs] == ["image", "size"]


def test_layers_keep_their_names_flags_and_options() -> None:
    model = network()
    small = halved(model)

    assert small.name == "network"
    assert [layer.name for layer in small.layers] == [layer.name for layer in model.layers]
    assert [layer.name for layer in small.get_layer("block").layers] == ["deep", "norm"]
    assert not small.get_layer("hidden").trainable
    assert small.get_layer("stem").kernel_regularizer.l2 == model.get_layer("stem").kernel_regularizer.l2
    assert isinstance(small.get_layer("hidden").kernel_initializer, keras.initializers.HeNormal)


def test_the_smaller_model_is_compiled_like_the_old_one_and_trains() -> None:
    small = halved(network())
    targets = {"kind": np.zeros((8, 3)), "weight": np.zeros((8, 1))}

    before = small.evaluate(samples(8), targets, verbose=0)
    small.fit(samples(8), targets, epochs=3, verbose=0)

    assert float(small.optimizer.momentum) == 0.5
    assert np.sum(small.evaluate(samples(8), targets, verbose=0)) < np.sum(before)


def test_training_the_smaller_model_leaves_the_old_one_as_it_was() -> None:
    model = network()
    small = halved(model)
    weights, nodes = model.get_weights(), [len(layer._inbound_nodes) for layer in model.layers]

    small.fit(samples(8), {"kind": np.ones((8, 3)), "weight": np.ones((8, 1))}, verbose=0)

    assert all((a == b).all() for a, b in zip(weights, model.get_weights(), strict=True))
    assert nodes == [len(layer._inbound_nodes) for layer in model.layers]
    assert not {id(weight) for weight in small.weights} & {id(weight) for weight in model.weights}


def test_the_smaller_model_is_saved_and_loaded_without_any_code_of_ours(tmp_path: Path) -> None:
    small = halved(network())
    small.save(tmp_path / "small.keras")

    loaded = keras.saving.load_model(tmp_path / "small.keras", safe_mode=True)

    for name, value in small(samples(2)).items():
        np.testing.assert_array_equal(loaded(samples(2))[name], value)


@pytest.mark.parametrize(("scheme", "limit"), [("none", 1e-5), ("int8", 0.1)])
def test_the_smaller_model_converts_and_agrees(scheme: Any, limit: float) -> None:
    inputs = keras.Input((8, 8, 3))
    x = L.ReLU()(L.BatchNormalization()(L.Conv2D(16, 3, name="a")(inputs)))
    x = L.Add()([x, L.Conv2D(16, 1, name="b")(L.DepthwiseConv2D(3, padding="same")(x))])
    small = halved(keras.Model(inputs, L.Dense(5)(L.GlobalAveragePooling2D()(x))))
    pixels = np.random.default_rng(0).uniform(size=(24, 8, 8, 3)).astype(np.float32)

    runner = Runner(convert(small, scheme, calibration=pixels[:16]))

    assert error(outputs_of(small, [pixels[16:]]), [runner.predict([pixels[16:]])]) < limit


def test_layers_in_mixed_precision_stay_so() -> None:
    inputs = keras.Input((3,))
    made = L.Dense(8, dtype="mixed_float16", name="mixed")(inputs)
    small = halved(keras.Model(inputs, L.Dense(2, name="out")(made)))

    assert small.get_layer("mixed").compute_dtype == "float16"
    assert small.get_layer("mixed").units == 4


def test_a_model_of_units_heads_and_wrappers_is_saved_and_trains_too(tmp_path: Path) -> None:
    tokens = keras.Input((5,), dtype="int32")
    x = L.Bidirectional(L.LSTM(6, return_sequences=True))(L.Embedding(6, 8, mask_zero=True)(tokens))
    x = L.MultiHeadAttention(4, 2)(*[L.TimeDistributed(L.Dense(4))(x)] * 2)
    _, _, small = assert_exact(keras.Model(tokens, L.Dense(2)(L.GlobalAveragePooling1D()(x))))
    small.save(tmp_path / "small.keras")
    words = np.array([[1, 2, 0, 0, 0], [1, 2, 3, 4, 5]])

    loaded = keras.saving.load_model(tmp_path / "small.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded(words), small(words))
    small.compile(optimizer="sgd", loss="mse")
    small.fit(words, np.ones((2, 2)), verbose=0)


def test_a_sequential_model_stays_one() -> None:
    small = halved(keras.Sequential([keras.Input((3,)), L.Dense(8, name="a"), L.Dense(2, name="b")], name="s"))

    assert isinstance(small, keras.Sequential)
    assert (small.name, [layer.name for layer in small.layers]) == ("s", ["a", "b"])


def test_a_model_that_loses_nothing_computes_the_same() -> None:
    model = randomized(network())
    channels = channels_of(model)

    small = shrink(channels, channels.all_kept())

    assert error(outputs_of(model, list(samples(2).values())), outputs_of(small, list(samples(2).values()))) == 0


def test_an_initialiser_that_holds_an_array_does_not_ask_for_the_old_shape(tmp_path: Path) -> None:
    """Word vectors are often given to an Embedding as a constant."""
    inputs = keras.Input((5,), dtype="int32")
    table = keras.initializers.Constant(np.arange(80.0).reshape(10, 8))
    pooled = L.GlobalAveragePooling1D()(L.Embedding(10, 8, embeddings_initializer=table, name="words")(inputs))
    bias = keras.initializers.Constant(np.ones(6))
    model = keras.Model(inputs, L.Dense(2)(L.Dense(6, bias_initializer=bias, name="hidden")(pooled)))
    channels = channels_of(model)

    small = shrink(channels, chosen(channels))
    small.save(tmp_path / "small.keras")

    assert small.get_layer("words").output_dim == 4
    assert keras.saving.load_model(tmp_path / "small.keras").get_layer("hidden").units == 3


def test_code_in_a_graph_is_taken_over() -> None:
    inputs = keras.Input((3,))
    made = L.Lambda(lambda x: 2 * x, name="twice")(L.Dense(4, name="held")(L.Dense(8, name="free")(inputs)))

    channels, _, _ = assert_exact(keras.Model(inputs, L.Dense(2)(made)))

    assert [group.name for group in channels.groups if not group.frozen] == ["free"]


def test_an_input_that_few_models_have_keeps_its_kind() -> None:
    inputs = keras.Input(batch_shape=(4, 3), name="fixed")
    small = halved(keras.Model(inputs, L.Dense(2)(L.Dense(8)(inputs))))

    assert small.inputs[0].shape == (4, 3)


def test_nothing_is_emptied() -> None:
    channels = channels_of(keras.Sequential([keras.Input((3,)), L.Dense(4, name="emptied"), L.Dense(2)]))
    kept = channels.all_kept()
    kept[channels.groups[0].channels] = False

    with pytest.raises(ValueError, match="no channel would be left in emptied"):
        shrink(channels, kept)
