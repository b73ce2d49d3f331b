"""What a model is: inputs, outputs, layers and groups of channels, what they cost, and what pruning can cut."""

from typing import Any

from engine.models.costs import macs_by_layer, num_macs
from engine.models.following_batchnorm import batchnorm_behind, scales_units
from engine.models.graph import Graph, graph_of
from engine.models.layout import layout_of
from engine.models.prunable import kernel_of, output_layers, places, reason_to_skip
from engine.parts import output_names
from engine.structured.groups import channels_of
from engine.structured.savings import Costs, group_infos
from secateur.reports.summaries import LayerInfo, ModelSummary, TensorInfo


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
