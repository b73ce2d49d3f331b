"""Keras model files: read with suspicion, told in a summary, written without optimiser state."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from engine.channels.groups import channels_of
from engine.channels.savings import Costs, group_infos
from engine.costs import macs_by_layer, num_macs
from engine.graph import Graph, graph_of
from engine.layout import layout_of
from engine.parts import output_names
from engine.prunable import kernel_of, output_layers, places, reason_to_skip
from engine.reading import read
from engine.reading.read import Loaded
from engine.repair.batchnorm import batchnorm_behind, scales_units
from jobspec.errors import ModelUnreadable, SecateurError
from jobspec.summaries import LayerInfo, ModelSummary, TensorInfo


def load_model(path: Path) -> Any:
    """Load a model file of any accepted format. Only ever called in a process that may be lost.

    Raises:
        UploadRefused: what the checks of the file found.
        ModelUnreadable: Keras cannot load the file, or its weights are not finite.
    """
    return load(path).model


def load(path: Path) -> Loaded:
    """The same, with the format of the file and the Keras that wrote it. Raises: as ``load_model``."""
    try:
        loaded = read.load(path)
    except SecateurError:
        raise
    except Exception as fault:  # Keras raises every kind for a damaged file
        reason = str(fault).strip().splitlines()[0][:300] if str(fault).strip() else type(fault).__name__
        raise ModelUnreadable(
            f"Keras {keras.__version__} cannot load the model: {reason}",
            suggestions=["Save it again with model.save('model.keras') and check that load_model takes it."],
        ) from fault
    model = loaded.model
    if not getattr(model, "outputs", None) or not getattr(model, "inputs", None):
        raise ModelUnreadable(
            "The model has no graph of layers from inputs to outputs.",
            suggestions=["Build it with keras.Sequential and an Input, or with the functional API, and save it again."],
        )
    for variable in model.weights:
        if not np.isfinite(keras.ops.convert_to_numpy(variable)).all():
            raise ModelUnreadable(
                f"Weight {variable.path!r} holds NaN or infinity.", suggestions=["Train the model again; it diverged."]
            )
    return replace(loaded, model=_plain(model))


def _plain(model: Any) -> Any:
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


def summarise(model: Any) -> ModelSummary:
    """What the model is: inputs, outputs, layers and groups of channels, what they cost, and what pruning can cut."""
    macs = macs_by_layer(model)
    outputs, graph = output_layers(model), graph_of(model)
    compiled = model.get_compile_config() or {}
    return ModelSummary(
        name=model.name,
        inputs=tuple(_tensor(tensor) for tensor in model.inputs),
        outputs=tuple(
            _tensor(tensor).model_copy(update={"name": name})
            for tensor, name in zip(model.outputs, output_names(model), strict=True)
        ),
        num_params=model.count_params(),
        num_macs=num_macs(model),
        layers=tuple(
            _layer(place.name, place.layer, outputs, graph, macs.get(place.name, 0)) for place in places(model)
        ),
        groups=group_infos(Costs.of(channels_of(model))),
        optimizer=_class_name(compiled.get("optimizer")),
        loss=_losses(compiled.get("loss")),
        metrics=tuple(filter(None, map(_class_name, _listed(compiled.get("metrics"))))),
    )


def _tensor(tensor: Any) -> TensorInfo:
    return TensorInfo(name=tensor.name, shape=tuple(tensor.shape), dtype=str(tensor.dtype))


def _layer(name: str, layer: Any, outputs: set[int], graph: Graph, num_macs: int) -> LayerInfo:
    kernel = kernel_of(layer)
    layout = None if kernel is None else layout_of(layer, kernel)
    norm = None if layout is None else batchnorm_behind(layer, graph)
    reason = reason_to_skip(layer, outputs)
    return LayerInfo(
        name=name,
        class_name=type(layer).__name__,
        num_params=layer.count_params(),
        num_macs=num_macs,
        kernel_shape=None if kernel is None else tuple(kernel.shape),
        num_features=None if layout is None else layout.num_features,
        scaled_by=norm.name
        if norm is not None and layout is not None and scales_units(norm, layer, layout.num_units)
        else None,
        prunable=reason is None,
        reason=reason,
    )


def _class_name(config: Any) -> str | None:
    """The name that a serialised loss, metric or optimiser goes by."""
    if isinstance(config, dict):
        return config.get("config") if isinstance(config.get("config"), str) else config.get("class_name")
    return config if isinstance(config, str) else None


def _losses(config: Any) -> str | None:
    """The loss, or those of all outputs that have one."""
    if isinstance(config, dict) and "class_name" not in config:
        config = list(config.values())
    return ", ".join(filter(None, map(_class_name, _listed(config)))) or None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
