"""Keras models in memory: made plain, copied, and written without optimiser state."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from engine.models.prunable import places


def float32_model(model: Any) -> Any:
    """The same network in float32 and with bare inputs and outputs: what LiteRT, masks and measurements need."""
    config = model.get_compile_config()
    if any(place.layer.compute_dtype != "float32" for place in places(model) if place.layer.weights):
        model = copy_of(model, clone_function=_in_float32, recursive=True)
        if config:
            model.compile_from_config(config)
    inner = getattr(model, "_functional", None) or model
    inputs, outputs = (getattr(inner, f"_{which}_struct", None) for which in ("inputs", "outputs"))
    if isinstance(outputs, dict) and len(model.outputs) == len(model.inputs) == 1:
        return keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    if _is_nested(inputs) or _is_nested(outputs):
        model = keras.Model(_bare(model.inputs), _bare(model.outputs), name=model.name)
        if config:
            model.compile_from_config(_listed_by(outputs, config) if isinstance(outputs, dict) else config)
    return model


def _listed_by(outputs: Mapping[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """A compile config by the keys of a dict of outputs, for a model that gives them as a list in their order."""
    names = sorted(outputs)
    found = {
        key: [value.get(name) for name in names] if isinstance(value, dict) and set(value) <= set(names) else value
        for key, value in config.items()
    }
    return found | {"metrics": None, "weighted_metrics": None}


def _is_nested(structure: Any) -> bool:
    """Whether tensors are given or come by name, or in lists of lists."""
    if isinstance(structure, dict):
        return len(structure) > 1
    return isinstance(structure, list | tuple) and any(isinstance(each, dict | list | tuple) for each in structure)


def _bare(tensors: Sequence[Any]) -> Any:
    return tensors[0] if len(tensors) == 1 else list(tensors)


def copy_of(model: Any, **options: Any) -> Any:
    """A second model that computes the same and shares nothing.

    Args:
        options: of ``keras.models.clone_model``.
    """
    made = keras.models.clone_model(model, **options)
    made.set_weights(model.get_weights())
    return finalized(made)


def finalized(model: Any) -> Any:
    """The model itself, once it has been given weights."""
    for place in places(model):
        if isinstance(place.layer, keras.layers.Normalization):
            place.layer.finalize_state()  # it computes with copies of its weights, which set_weights leaves as they are
    return model


def _in_float32(layer: Any) -> Any:
    return type(layer).from_config(layer.get_config() | {"dtype": "float32"})


def save_model(model: Any, path: Path) -> None:
    """Write a ``.keras`` file with the compile config but without optimiser state, which would triple its size."""
    own = getattr(model, "optimizer", None)
    if own is None:
        model.save(path)
        return
    model.optimizer = type(own).from_config(own.get_config())
    try:
        model.save(path)
    finally:
        model.optimizer = own
