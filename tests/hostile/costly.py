"""Small files whose check would cost too much: each must be refused before the cost.

``where`` tells who refuses it: the gateway by the config or footer alone, or the check by the shapes of a model without
arrays.
"""

import io
import json
from functools import cache
from typing import Any, Final

from tests.badfiles import BadUpload, hdf5_file, keras_file, layer, old_dense, sequential
from tests.hostile.costly_data import DATA
from tests.hostile.files import EVERYTHING, HOSTILE

COST: Final = "upload_too_costly"


def tensor(name: str, number: int = 0, shape: tuple[int | None, ...] = (None, 4)) -> dict[str, Any]:
    """The output of one call of a layer, as Keras 3 writes it."""
    config = {"shape": list(shape), "dtype": "float32", "keras_history": [name, number, 0]}
    return {"class_name": "__keras_tensor__", "config": config}


def called_on(made: dict[str, Any], *names: tuple[str, int]) -> dict[str, Any]:
    """A layer with a node for each output that it is called on."""
    nodes = [{"args": [tensor(*name)], "kwargs": {}} for name in names]
    return made | {"name": made["config"]["name"], "inbound_nodes": nodes}


def functional(name: str, *layers: dict[str, Any], output: tuple[str, int], shape: tuple[int, ...] = (4,)) -> Any:
    """A functional model of layers that have their nodes."""
    source = layer("InputLayer", name="in", batch_shape=[None, *shape]) | {"name": "in", "inbound_nodes": []}
    listed = {"layers": [source, *layers], "input_layers": [["in", 0, 0]], "output_layers": [[*output, 0]]}
    return {
        "module": "keras.src.models.functional",
        "class_name": "Functional",
        "config": {"name": name, "trainable": True, **listed},
        "registered_name": "Functional",
    }


def chain(made: dict[str, Any], length: int) -> dict[str, Any]:
    """A layer that is called on its own output again and again."""
    name = made["config"]["name"]
    return called_on(made, ("in", 0), *((name, number) for number in range(length - 1)))


def nested(depth: int, calls: int) -> Any:
    """Models in one another, each called so many times by the one around it."""
    inner: Any = layer("Activation", name="l0", activation="relu")
    for level in range(depth):
        inner = functional(f"l{level + 1}", chain(inner, calls), output=(f"l{level}", calls - 1))
    return inner


def reversed_chain(length: int) -> Any:
    """Layers in an order in which each round of Keras can call only the last of those that are left."""
    made = [
        called_on(layer("Activation", name=f"a{n}", activation="relu"), ("in" if n == 0 else f"a{n - 1}", 0))
        for n in range(length)
    ]
    return functional("f", *reversed(made), output=(f"a{length - 1}", 0))


def old_nodes(count: int) -> dict[str, Any]:
    """A layer of a Keras 2 model that is called so many times."""
    nodes = [[["in" if n == 0 else "a", max(0, n - 1), 0, {}]] for n in range(count)]
    layers = [
        {"class_name": "InputLayer", "name": "in", "config": {"name": "in", "batch_input_shape": [None, 4]}},
        {"class_name": "Dropout", "name": "a", "config": {"name": "a", "rate": 0.5}, "inbound_nodes": nodes},
    ]
    ends = {"input_layers": [["in", 0, 0]], "output_layers": [["a", count - 1, 0]]}
    return {"class_name": "Functional", "config": {"name": "old", "layers": layers, **ends}}


@cache
def empty_weights() -> bytes:
    """A file of weights without any."""
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_group("layers")
    return buffer.getvalue()


def with_strangers() -> Any:
    """A model with a layer that is built while it is read, and never called."""
    model = functional("f", called_on(layer("ReLU", name="r"), ("in", 0)), output=("r", 0))
    stranger = layer("Dense", name="d", units=100) | {"build_config": {"input_shape": [None, 10**7]}}
    model["config"]["layers"].append(stranger | {"name": "d", "inbound_nodes": []})
    return model


def trained_with(metric: dict[str, Any]) -> bytes:
    """A model of Keras 2 that was compiled with a metric."""
    import h5py

    buffer = io.BytesIO(hdf5_file())
    with h5py.File(buffer, "r+") as file:
        compiled = {"optimizer_config": {"class_name": "SGD", "config": {}}, "loss": "mse", "metrics": [metric]}
        file.attrs["training_config"] = json.dumps(compiled)
    return buffer.getvalue()


def deep_dense(units: int, count: int) -> dict[str, Any]:
    """A network of Keras 2 whose kernels have the square of the units."""
    model = old_dense(units=units)
    layers = [{"class_name": "Dense", "config": {"name": f"d{n}", "units": units}} for n in range(count)]
    model["config"]["layers"] += layers
    return model


def stacked(class_name: str, *, units: int, count: int) -> dict[str, Any]:
    """A Sequential model of layers of one class."""
    return sequential(*(layer(class_name, units=units, name=f"d{number}") for number in range(count)))


def _keras(id: str, config: Any, code: str = COST) -> BadUpload:
    return BadUpload(id, "model", "model.keras", lambda: keras_file(config), code)


def _checked(id: str, config: Any, code: str = COST) -> BadUpload:
    return BadUpload(id, "model", "model.keras", lambda: keras_file(config, weights=empty_weights()), code, "check")


def _of_layers(*layers: dict[str, Any], shape: tuple[int | None, ...]) -> dict[str, Any]:
    model = sequential(*layers)
    model["config"]["layers"][0]["config"]["batch_shape"] = [None, *shape]
    return model


def _h5(id: str, config: dict[str, Any], code: str = COST) -> BadUpload:
    return BadUpload(id, "model", "model.h5", lambda: hdf5_file(config), code, "check")


def scores(length: int) -> dict[str, Any]:
    """Attention of a sequence to itself: its scores are a square that no output shows."""
    made = layer("Attention", name="a") | {"name": "a"}
    node = {"args": [[tensor("in", 0, (None, length, 4))] * 2], "kwargs": {}}
    return functional("f", made | {"inbound_nodes": [node]}, output=("a", 0), shape=(length, 4))  # type: ignore[no-any-return]


MODELS: Final = [
    _keras("calls-nested", nested(6, 30)),
    _keras("calls-nested-in-sequential", sequential(*(nested(3, 20) | {"name": f"n{n}"} for n in range(2)))),
    _keras("calls-in-time-distributed", sequential(layer("TimeDistributed", name="t", layer=nested(4, 20)))),
    _keras("calls-of-one-layer", functional("f", chain(layer("ReLU", name="r"), 20_000), output=("r", 19_999))),
    _keras("calls-in-reverse", reversed_chain(2_000)),
    _keras(
        "calls-without-tensors",
        functional(
            "f",
            layer("Full", module="keras.src.ops.numpy", name="z")
            | {"name": "z", "inbound_nodes": [{"args": [[10**6, 10**6], 1.0], "kwargs": {}}]},
            output=("z", 0),
        ),
        "model_unreadable",
    ),
    _keras("input-of-two-billion", _of_layers(layer("Flatten"), shape=(2 * 10**9,))),
    _keras("reshaped-to-two-billion", sequential(layer("Reshape", target_shape=[2 * 10**9]))),
    _keras("kernel-of-a-billion", sequential(layer("Conv1D", filters=8, kernel_size=[10**9])), "model_unreadable"),
    _keras("units-squared", stacked("LSTM", units=4_000, count=3), "model_unreadable"),
    _checked("dense-of-dense", stacked("Dense", units=600, count=9), "model_unreadable"),
    _checked(
        "attention-weights",
        functional(
            "f",
            layer("MultiHeadAttention", name="m", num_heads=24, key_dim=24)
            | {"name": "m", "inbound_nodes": [{"args": [tensor("in", 0, (None, 8, 4000))] * 2, "kwargs": {}}]},
            output=("m", 0),
            shape=(8, 4_000),
        ),
        "model_unreadable",
    ),
    _keras(
        "thresholds-of-a-metric",
        sequential(compile_config={"metrics": [layer("AUC", module="keras.metrics", num_thresholds=2 * 10**9)]}),
    ),
    _keras(
        "classes-of-a-metric",
        sequential(compile_config={"metrics": [layer("MeanIoU", module="keras.metrics", num_classes=10**6)]}),
    ),
    _checked("layer-that-is-not-called", with_strangers(), "model_unreadable"),
    _checked(
        "means-of-two-billion",
        sequential(layer("RepeatVector", n=2 * 10**9), layer("Normalization", axis=[1], mean=0.5, variance=1.0)),
    ),
    _checked("up-sampling", _of_layers(layer("UpSampling2D", size=[20_000, 20_000]), shape=(4, 4, 1))),
    _checked("up-sampling-of-any-size", _of_layers(layer("UpSampling2D", size=[2_000, 2_000]), shape=(None, None, 1))),
    _checked("padding", _of_layers(layer("ZeroPadding1D", padding=[0, 10**9]), shape=(4, 1))),
    _checked("repeated", sequential(layer("RepeatVector", n=10**9))),
    _checked(
        "up-and-down-in-time",
        _of_layers(
            layer(
                "TimeDistributed",
                name="t",
                layer=_of_layers(
                    layer("UpSampling2D", size=[20_000, 20_000]), layer("GlobalMaxPooling2D"), shape=(4, 4, 1)
                ),
            ),
            shape=(2, 4, 4, 1),
        ),
    ),
    _checked("attention-scores", scores(50_000)),
    _checked("unrolled", _of_layers(layer("LSTM", units=1, unroll=True), shape=(10**5, 1))),
    _checked("steps-in-time", _of_layers(layer("TimeDistributed", name="t", layer=layer("ReLU")), shape=(10**5, 1))),
    _h5("h5-calls-of-one-layer", old_nodes(20_000)),
    BadUpload(
        "h5-thresholds-of-a-metric",
        "model",
        "model.h5",
        lambda: trained_with({"class_name": "AUC", "config": {"num_thresholds": 2 * 10**9}}),
        COST,
        "check",
    ),
    _h5("h5-dense-of-dense", deep_dense(units=600, count=9), "model_unreadable"),
]
"""Models: calls in models in models, weights that no file holds, tensors of terabytes."""


COSTLY: Final = [*MODELS, *DATA]
ALL_HOSTILE: Final = [*HOSTILE, *COSTLY]
ALL: Final = [*EVERYTHING, *COSTLY]
