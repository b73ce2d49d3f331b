"""What a model was compiled with, and the activation that it ends in."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import keras

from engine.parts import output_names
from secateur.specs import spec

LOSSES: Final[Mapping[spec.Loss, Callable[..., Any]]] = {
    "sparse_categorical_crossentropy": keras.losses.SparseCategoricalCrossentropy,
    "categorical_crossentropy": keras.losses.CategoricalCrossentropy,
    "binary_crossentropy": keras.losses.BinaryCrossentropy,
    "mean_squared_error": keras.losses.MeanSquaredError,
    "mean_absolute_error": keras.losses.MeanAbsoluteError,
}


PASSING: Final = (keras.layers.Reshape, keras.layers.Flatten, keras.layers.Dropout, keras.layers.Identity)
"""Layers that hand on what they are given."""


def compiled_for(model: Any, key: str, place: int) -> Any:
    """What the compile config has under a key for one output: of lists by its place, of dicts by its name."""
    stored, names = (model.get_compile_config() or {}).get(key), output_names(model)
    if isinstance(stored, list | tuple) and len(stored) == len(names):
        return stored[place]
    if isinstance(stored, dict) and set(stored) & set(names):
        return stored.get(names[place])
    return stored if len(names) == 1 or not isinstance(stored, list | tuple) else None


def compiled_loss(model: Any, place: int) -> tuple[spec.Loss | None, dict[str, Any] | None]:
    """Name and options of the loss that the model was compiled with, when it is one that we know."""
    stored = compiled_for(model, "loss", place)
    try:
        found: Any = keras.losses.get(stored) if isinstance(stored, (str, dict)) else None
    except (ValueError, TypeError):  # one that Keras has dropped
        return None, None
    for name, kind in LOSSES.items():
        if type(found) is kind:
            return name, dict(found.get_config())
        if getattr(found, "__name__", None) == name:
            return name, None
    return None, None


def ends_in(model: Any, place: int = 0) -> str:
    """The activation that an output comes from, such as softmax: looking back past what only reshapes."""
    tensor = model.outputs[place]
    while True:
        operation, node_index, tensor_index = tensor._keras_history
        if isinstance(operation, keras.Model):
            tensor = operation.outputs[tensor_index]
            continue
        activation = getattr(getattr(operation, "activation", None), "__name__", type(operation).__name__.lower())
        before = operation._inbound_nodes[node_index].input_tensors
        if not (isinstance(operation, PASSING) or (activation == "linear" and not operation.weights)) or not before:
            return str(activation)
        tensor = before[0]
