"""Models of Keras 1 in the words of Keras 2: settings renamed by a table, weights of recurrent layers joined."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from engine.importers.refusals import untranslated
from engine.importers.saved import Named, Path

Settings = dict[str, Any]

CLASSES: Final[Mapping[str, str]] = {
    "AtrousConvolution1D": "Conv1D",
    "AtrousConvolution2D": "Conv2D",
    "Convolution1D": "Conv1D",
    "Convolution2D": "Conv2D",
    "Convolution3D": "Conv3D",
    "SeparableConvolution2D": "SeparableConv2D",
    "TimeDistributedDense": "Dense",
}
KEYS: Final[Mapping[str, str]] = {
    "W_constraint": "kernel_constraint",
    "W_regularizer": "kernel_regularizer",
    "U_regularizer": "recurrent_regularizer",
    "b_constraint": "bias_constraint",
    "b_regularizer": "bias_regularizer",
    "atrous_rate": "dilation_rate",
    "bias": "use_bias",
    "border_mode": "padding",
    "dim_ordering": "data_format",
    "dropout_U": "recurrent_dropout",
    "dropout_W": "dropout",
    "filter_length": "kernel_size",
    "inner_activation": "recurrent_activation",
    "length": "size",
    "nb_filter": "filters",
    "p": "rate",
    "pool_length": "pool_size",
    "sigma": "stddev",
    "stride": "strides",
    "subsample": "strides",
    "subsample_length": "strides",
}
"""Settings that every class of Keras 1 calls so."""

KEYS_BY_CLASS: Final[Mapping[str, Mapping[str, str]]] = {
    "Embedding": {"W_regularizer": "embeddings_regularizer", "W_constraint": "embeddings_constraint"},
}
UNITS: Final = frozenset(("Dense", "GRU", "LSTM", "SimpleRNN", "TimeDistributedDense"))
"""Classes whose ``output_dim`` became ``units``."""

WITHOUT_MEANING: Final = frozenset(("consume_less", "forget_bias_init", "init", "inner_init", "output_mask_type"))
MERGES: Final[Mapping[str, str]] = {
    "ave": "Average",
    "concat": "Concatenate",
    "cos": "Dot",
    "dot": "Dot",
    "max": "Maximum",
    "mul": "Multiply",
    "sum": "Add",
}
GATES: Final[Mapping[int, tuple[int, ...]]] = {12: (0, 2, 1, 3), 9: (0, 1, 2)}
"""Where the gates of an LSTM (i, c, f, o) and a GRU (z, r, h) of Keras 1 stand in the order that Keras 2 has."""


def modern(node: Any) -> Any:
    """The config of a model or layer in the words of Keras 2.

    Raises:
        ModelClassRefused: a setting has no counterpart; the layer is named.
    """
    config = node.get("config") if isinstance(node, dict) else None
    if isinstance(config, list):
        return node | {"config": [modern(layer) for layer in config]}
    if not isinstance(config, dict):
        return node
    if isinstance(config.get("layers"), list) and node.get("class_name") != "Merge":
        return node | {"config": config | {"layers": [modern(layer) for layer in config["layers"]]}}
    name, settings = str(config.get("name", "")), dict(config)
    if node.get("class_name") == "Merge":
        return node | _merge(name, settings)
    if isinstance(settings.get("layer"), dict):
        settings["layer"] = modern(settings["layer"])
    return node | _layer(str(node.get("class_name")), name, settings)


def _layer(class_name: str, name: str, config: Settings) -> Settings:
    renamed = {**KEYS, **KEYS_BY_CLASS.get(class_name, {})}
    made = {renamed.get(key, key): value for key, value in config.items() if key not in WITHOUT_MEANING}
    if class_name in UNITS and "output_dim" in made:
        made["units"] = made.pop("output_dim")
    if class_name != "Embedding":
        made.pop("input_dim", None)
    elif not made.get("dropout"):
        made.pop("dropout", None)
    sides = [made.pop(key) for key in ("kernel_dim1", "kernel_dim2", "kernel_dim3", "nb_row", "nb_col") if key in made]
    if sides:
        made["kernel_size"] = sides
    if made.get("data_format") == "th":
        raise untranslated(name, class_name, "its images have their channels first, which no CPU kernel takes")
    if "data_format" in made:
        made["data_format"] = "channels_last"
    if class_name == "BatchNormalization" and made.pop("mode", 0) != 0:
        raise untranslated(name, class_name, "only mode 0 is known")
    return {"class_name": CLASSES.get(class_name, class_name), "config": made}


def _merge(name: str, config: Settings) -> Settings:
    mode = str(config.get("mode"))
    if config.get("mode_type") not in (None, "raw") or mode not in MERGES or config.get("layers"):
        raise untranslated(name, "Merge", f"its mode {mode[:60]!r} is no plain one, or it holds layers itself")
    made: Settings = {"name": name}
    if mode == "concat":
        made["axis"] = config.get("concat_axis", -1)
    if mode in ("dot", "cos"):
        made |= {"axes": config.get("dot_axes", -1), "normalize": mode == "cos"}
    return {"class_name": MERGES[mode], "config": made}


def joined(weights: Mapping[Path, Sequence[Named]], *, theano: bool) -> dict[Path, tuple[Named, ...]]:
    """The arrays of Keras 1 as Keras 2 has them.

    Args:
        theano: its convolutions turn kernels by half a turn, which those of TensorFlow do not.
    """
    return {path: tuple(_joined(list(arrays), theano)) for path, arrays in weights.items()}


def _joined(arrays: list[Named], theano: bool) -> list[Named]:
    for count, order in GATES.items():
        if len(arrays) == count and _are_gates([named.array for named in arrays]):
            return _gates([named.array for named in arrays], order)
        if len(arrays) == 2 * count and _are_gates([named.array for named in arrays]):
            halves = (arrays[:count], arrays[count:])  # Bidirectional: forward, then backward
            return [named for half in halves for named in _gates([named.array for named in half], order)]
    return [Named("", _kernel(named.array, theano)) for named in arrays]


def _are_gates(arrays: list[Any]) -> bool:
    return all(kernel.ndim == 2 and bias.ndim == 1 for kernel, bias in zip(arrays[::3], arrays[2::3], strict=True))


def _gates(arrays: list[Any], order: tuple[int, ...]) -> list[Named]:
    return [
        Named(name, np.concatenate([arrays[3 * gate + place] for gate in order], axis=-1))
        for place, name in enumerate(("kernel", "recurrent_kernel", "bias"))
    ]


def _kernel(array: Any, theano: bool) -> Any:
    return np.flip(array, axis=tuple(range(array.ndim - 2))) if theano and array.ndim >= 4 else array
