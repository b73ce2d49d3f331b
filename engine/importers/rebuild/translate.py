"""Single layers of Keras 2 as Keras 3 has them: classes, settings, activations.

A layer becomes a chain of one or two layers that compute the same. Nothing here looks at a graph.
"""

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

import keras

from screening.models.keras_builtins import builtins

Settings = dict[str, Any]


class Untranslatable(Exception):
    """Why one layer has no faithful counterpart in Keras 3, in words."""


CLASSES: Final[Mapping[str, str]] = {"CuDNNLSTM": "LSTM", "CuDNNGRU": "GRU", "ThresholdedReLU": "ReLU"}
"""Classes that Keras 3 has under another name."""

RENAMED: Final[Mapping[tuple[str, str], str]] = {
    ("LeakyReLU", "alpha"): "negative_slope",
    ("ThresholdedReLU", "theta"): "threshold",
}
"""Settings that Keras 3 calls otherwise, by class and key."""

WITHOUT_MEANING: Final = frozenset(
    (
        "autocast",
        "batch_input_shape",
        "batch_size",
        "force_generator",
        "fused",
        "implementation",
        "input_dtype",
        "input_length",
        "input_shape",
        "key_shape",
        "query_shape",
        "ragged",
        "rng_type",
        "shared_object_id",
        "sparse",
        "unit_forget_bias",
        "value_shape",
        "virtual_batch_size",
    )
)
"""Settings that say nothing of what a trained layer computes."""

NEUTRAL: Final[Mapping[str, tuple[Any, ...]]] = {
    "groups": (1,),
    "time_major": (False,),
    "renorm": (False,),
    "softmax_robust_masking": (False,),
    "adjustment": (None,),
    "input_dim": (None,),
    "sparse": (False,),
}
"""Values of settings that Keras 3 lacks at which nothing is lost."""

ACTIVATIONS: Final[Mapping[str, str]] = {"swish": "silu", "hard_swish": "hard_silu"}
OLD_SLOPE: Final = 1.2
"""Keras 1 and 2: hard_sigmoid(x) = clip(x/5 + 1/2); Keras 3: clip(x/6 + 1/2). So old(x) = new(1.2 x)."""

APPLICATIONS: Final[Mapping[str, str]] = {"LayerScale": "convnext", "CustomScaleLayer": "inception_resnet_v2"}
"""Layers that Keras keeps to one of its applications."""

CUSTOM: Final = "Custom>"
"""How tf_keras marks classes that are registered, some of its own among them."""

NESTED: Final = ("layer", "backward_layer", "cell", "cells")


def translated(class_name: str, config: Settings, inner: Callable[[Any], Any]) -> list[Any]:
    """Layers of Keras 3 that, one after the other, compute what the old layer does. They have no weights yet.

    Args:
        inner: makes the layer or model inside a wrapper from its class name and config.

    Raises:
        Untranslatable: there are none.
    """
    class_name = class_name.removeprefix(CUSTOM)
    if config.get("time_major"):
        raise Untranslatable("time_major=True has no counterpart")
    if class_name in ("CuDNNLSTM", "CuDNNGRU"):
        config = {"activation": "tanh", "recurrent_activation": "sigmoid", "reset_after": True} | config
        if class_name == "CuDNNLSTM":
            del config["reset_after"]
    if class_name == "StochasticDepth":
        class_name, config = "Identity", {"name": config.get("name")}  # it drops whole samples, in training only
    kind = _class(class_name)
    if class_name == "GRU" and "reset_after" not in config:
        config = config | {"reset_after": False}
    settings = _settings(class_name, kind, config, inner)
    try:
        layer = kind(**settings)
    except (TypeError, ValueError, KeyError, AttributeError) as fault:
        raise Untranslatable(f"Keras 3 refuses its settings: {str(fault).strip()[:200]}") from fault
    if class_name == "Activation" and settings.get("activation") == "hard_sigmoid":
        return [keras.layers.Rescaling(OLD_SLOPE, name=f"{layer.name}_slope"), layer]
    return [layer]


def _class(name: str) -> Any:
    if name in APPLICATIONS:
        return getattr(importlib.import_module(f"keras.src.applications.{APPLICATIONS[name]}"), name)
    wanted = CLASSES.get(name, name)
    if not builtins().has_class("keras.layers", wanted):
        raise Untranslatable("Keras 3 has no layer of that name")
    return getattr(keras.layers, wanted)


def _settings(class_name: str, kind: Any, config: Settings, inner: Callable[[Any], Any]) -> Settings:
    known = _parameters(kind)
    made: Settings = {}
    for key, value in config.items():
        if key in WITHOUT_MEANING or key.endswith("_initializer"):
            continue  # every weight is set
        name = RENAMED.get((class_name, key), key)
        if name in known or name in ("name", "trainable", "dtype"):
            made[name] = _value(class_name, key, value, inner)
        elif not (value is None or value is False or value in NEUTRAL.get(key, ())):
            raise Untranslatable(f"Keras 3 does not know its setting {key}={str(value)[:60]}")
    return made


def _parameters(kind: Any) -> set[str]:
    """What the constructors of a class and of its parents take by name."""
    return {
        name
        for parent in kind.__mro__[:-1]
        if "__init__" in vars(parent)
        for name, parameter in inspect.signature(parent.__init__).parameters.items()
        if name != "self" and parameter.kind is not parameter.VAR_KEYWORD
    }


def _value(class_name: str, key: str, value: Any, inner: Callable[[Any], Any]) -> Any:
    if key == "dtype":
        return dtype_of(value)
    if key == "name":
        return str(value).replace("/", "_")
    if key.endswith("activation"):
        return activation(value, inner)
    if key in NESTED and value is not None:
        return [inner(cell) for cell in value] if isinstance(value, list) else inner(value)
    if key.endswith("_regularizer"):
        return _builtin(value, "keras.regularizers", keras.regularizers)
    if key.endswith("_constraint"):
        return _builtin(value, "keras.constraints", keras.constraints)
    if key == "axis" and isinstance(value, list) and class_name == "BatchNormalization":
        if len(value) != 1:
            raise Untranslatable(f"it normalises over the axes {value} together")
        return value[0]
    return plain(value)


def plain(value: Any) -> Any:
    """A setting without the wraps that Keras 2 puts around arrays and tuples.

    >>> plain({"class_name": "__tuple__", "items": [None, 2]})
    [None, 2]
    >>> plain({"type": "ndarray", "value": 0.3})
    0.3
    """
    if isinstance(value, dict):
        if value.get("class_name") == "__tuple__":
            return [plain(item) for item in value.get("items", ())]
        if value.get("class_name") == "TensorShape":
            return plain(value.get("items", []))
        if value.get("class_name") in ("__numpy__", "__tensor__"):
            return plain(value.get("config", {}).get("value"))
        if value.get("type") == "ndarray":
            return plain(value.get("value"))
        if "class_name" in value:
            raise Untranslatable(f"one of its settings is a {str(value['class_name'])[:60]}")
    return [plain(item) for item in value] if isinstance(value, list) else value


def dtype_of(value: Any) -> str | None:
    """The name of a dtype or of a policy. Raises: Untranslatable: it is something else."""
    if isinstance(value, dict):
        value = value.get("config", {}).get("name") if isinstance(value.get("config"), dict) else None
    if value is None or value in ("infer", "_infer"):
        return None
    if not isinstance(value, str):
        raise Untranslatable(f"its dtype is {str(value)[:60]}")
    return value


def activation(value: Any, inner: Callable[[Any], Any]) -> Any:
    """The name of an activation in Keras 3, or the layer that is one. Raises: Untranslatable: there is none."""
    if isinstance(value, dict):
        if value.get("class_name") != "function":
            return inner(value)
        value = value.get("config")
    if value is None:
        return None
    name = ACTIVATIONS.get(value, value) if isinstance(value, str) else ""
    if not builtins().has_function("keras.activations", name):
        raise Untranslatable(f"Keras 3 has no activation {str(value)[:60]!r}")
    return name


def _builtin(value: Any, module: str, where: Any) -> Any:
    if value is None:
        return None
    name = value.get("class_name") if isinstance(value, dict) else value
    if not isinstance(name, str) or not builtins().has_class(module, name):
        raise Untranslatable(f"{str(value)[:60]} is not among {module}")
    settings = value.get("config") or {} if isinstance(value, dict) else {}
    found = getattr(where, name)
    try:
        return found(**{key: plain(item) for key, item in settings.items() if key in _parameters(found)})
    except (TypeError, ValueError) as fault:
        raise Untranslatable(f"{name} does not take {str(settings)[:60]}") from fault
