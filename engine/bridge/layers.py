"""Single layers and operations of Keras 3 as tf_keras has them: classes, config keys, activations, operators.

Nothing here looks at a graph. What has no faithful counterpart is said with ``Untranslatable``; ``bridge`` turns
that into an error that names the layer. ``tf_keras`` is imported by the functions that need it, never before.
"""

import importlib
import inspect
import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

import keras
import tensorflow as tf

from engine.arrays import Array

Call = Callable[..., Any]


class Untranslatable(Exception):
    """Why one layer or operation has no counterpart in tf_keras, in words."""


SAME_ACTIVATIONS: Final = frozenset(
    (
        "linear",
        "relu",
        "softmax",
        "elu",
        "selu",
        "softplus",
        "softsign",
        "tanh",
        "sigmoid",
        "exponential",
        "gelu",
        "mish",
    )
)
"""Activations that mean the same in both. ``hard_sigmoid`` does not: its slope differs."""

ACTIVATIONS: Final[Mapping[str, Call]] = {
    "silu": tf.nn.silu,
    "relu6": tf.nn.relu6,
    "leaky_relu": lambda x: tf.nn.leaky_relu(x, 0.2),
    "hard_sigmoid": lambda x: tf.nn.relu6(x + 3.0) / 6.0,
    "hard_silu": lambda x: x * tf.nn.relu6(x + 3.0) / 6.0,
    "hard_tanh": lambda x: tf.clip_by_value(x, -1.0, 1.0),
    "tanh_shrink": lambda x: x - tf.tanh(x),
    "log_softmax": tf.nn.log_softmax,
    "log_sigmoid": tf.math.log_sigmoid,
    "celu": lambda x: tf.maximum(x, 0.0) + tf.math.expm1(tf.minimum(x, 0.0)),
    "squareplus": lambda x: (x + tf.sqrt(tf.square(x) + 4.0)) / 2.0,
}
"""Activations that tf_keras lacks, or knows as something else."""

OPERATORS: Final[Mapping[str, Callable[[Any], Call]]] = {
    "Add": lambda _: operator.add,
    "Subtract": lambda _: operator.sub,
    "Multiply": lambda _: operator.mul,
    "Divide": lambda _: operator.truediv,
    "TrueDivide": lambda _: operator.truediv,
    "Power": lambda _: operator.pow,
    "Matmul": lambda _: operator.matmul,
    "Negative": lambda _: operator.neg,
    "GetItem": lambda _: operator.getitem,
    "NotEqual": lambda _: tf.not_equal,
    "Maximum": lambda _: tf.maximum,
    "Minimum": lambda _: tf.minimum,
    "Absolute": lambda _: tf.abs,
    "Square": lambda _: tf.square,
    "Sqrt": lambda _: tf.sqrt,
    "Rsqrt": lambda _: tf.math.rsqrt,
    "Exp": lambda _: tf.exp,
    "Log": lambda _: tf.math.log,
    "Tanh": lambda _: tf.tanh,
    "Relu": lambda _: tf.nn.relu,
    "Relu6": lambda _: tf.nn.relu6,
    "Sigmoid": lambda _: tf.sigmoid,
    "Silu": lambda _: tf.nn.silu,
    "Softplus": lambda _: tf.math.softplus,
    "HardSigmoid": lambda _: ACTIVATIONS["hard_sigmoid"],
    "HardSilu": lambda _: ACTIVATIONS["hard_silu"],
    "Softmax": lambda op: lambda x: tf.nn.softmax(x, axis=op.axis),
    "Gelu": lambda op: lambda x: tf.nn.gelu(x, approximate=op.approximate),
    "Mean": lambda op: lambda x: tf.reduce_mean(x, axis=op.axis, keepdims=op.keepdims),
    "Sum": lambda op: lambda x: tf.reduce_sum(x, axis=op.axis, keepdims=op.keepdims),
    "Max": lambda op: lambda x: tf.reduce_max(x, axis=op.axis, keepdims=op.keepdims),
    "Min": lambda op: lambda x: tf.reduce_min(x, axis=op.axis, keepdims=op.keepdims),
    "Reshape": lambda op: lambda x: tf.reshape(x, op.newshape),
    "Transpose": lambda op: lambda x: tf.transpose(x, op.axes),
    "ExpandDims": lambda op: lambda x: tf.expand_dims(x, op.axis),
    "Squeeze": lambda op: lambda x: tf.squeeze(x, op.axis),
    "Concatenate": lambda op: lambda xs: tf.concat(xs, op.axis),
    "Stack": lambda op: lambda xs: tf.stack(xs, op.axis),
    "Cast": lambda op: lambda x: tf.cast(x, op.dtype),
}
"""Operations of ``keras.ops`` with an obvious equivalent."""

RENAMED: Final[Mapping[tuple[str, str], str]] = {("LeakyReLU", "negative_slope"): "alpha"}
"""Config keys that have another name in tf_keras, by class and key."""

_GROUPS: Final[Mapping[str, str]] = {"_regularizer": "regularizers", "_constraint": "constraints"}


APPLICATIONS: Final[Mapping[str, str]] = {"LayerScale": "convnext", "CustomScaleLayer": "inception_resnet_v2"}
"""Layers that both packages define in the module of an application, by the name of the module."""


def operation_twin(operation: Any) -> Call:
    """Return a function that computes a plain ``keras.ops`` operation on tf_keras tensors.

    Raises:
        Untranslatable: it has no obvious equivalent.
    """
    if type(operation).__module__.startswith("keras.src.ops.") and type(operation).__name__ in OPERATORS:
        return OPERATORS[type(operation).__name__](operation)
    raise Untranslatable("there is no obvious equivalent of this operation")


def layer_twin(layer: Any) -> Any:
    """A tf_keras layer of the same class, name and settings; it has no weights yet.

    Raises:
        Untranslatable: tf_keras lacks the class or one of its settings, or computes it on some machines only.
    """
    if (why := _needs_a_certain_machine(layer.get_config())) is not None:
        raise Untranslatable(f"tf_keras computes {why} on some machines only")
    kind = _class_twin(type(layer))
    try:
        return kind(**_config_twin(layer, kind))
    except (TypeError, ValueError, KeyError, AttributeError) as fault:
        raise Untranslatable(f"tf_keras refuses its settings: {str(fault).strip()[:200]}") from fault


def _needs_a_certain_machine(config: Mapping[str, Any]) -> str | None:
    """Return the setting of a layer that TensorFlow has no CPU kernel for without oneDNN, or None.

    Keras 3 models use this project's own implementation there.

    >>> _needs_a_certain_machine({"kernel_size": (3, 3), "depth_multiplier": 1, "strides": (2, 1)})
    'different strides of a depthwise convolution'
    """
    if config.get("data_format") == "channels_first" and not {"kernel_size", "pool_size"}.isdisjoint(config):
        return "channels before positions"
    if "output_padding" in config and max(config["dilation_rate"]) > 1:
        return "a dilated transposed convolution"
    if "depth_multiplier" in config and len(set(config["strides"])) > 1:
        return "different strides of a depthwise convolution"
    return None


def weights_twin(layer: Any) -> list[Array]:
    """Return the weights of the tf_keras layer; ``Normalization`` has its statistics in its settings instead."""
    return [] if isinstance(layer, keras.layers.Normalization) else list(layer.get_weights())


def _class_twin(kind: Any) -> Any:
    import tf_keras

    if not kind.__module__.startswith("keras."):
        raise Untranslatable("its class is not part of Keras")
    if kind.__name__ in APPLICATIONS:
        home = importlib.import_module(f"tf_keras.src.applications.{APPLICATIONS[kind.__name__]}")
        return getattr(home, kind.__name__)
    found = getattr(tf_keras.layers, kind.__name__, None)
    if found is None:
        raise Untranslatable("tf_keras has no layer of that class")
    return found


def _config_twin(layer: Any, kind: Any) -> dict[str, Any]:
    known = {"name", "trainable", "dtype"} | _parameters(kind)
    if isinstance(layer, keras.layers.RNN):
        known.add("zero_output_for_mask")  # accepted, but not by name
    translated: dict[str, Any] = {}
    for key, value in layer.get_config().items():
        if key.endswith("_initializer"):
            continue  # every weight is set
        name = RENAMED.get((type(layer).__name__, key), key)
        if name in known:
            translated[name] = _value_twin(layer, key, value)
        elif not _is_neutral(layer, key, value):
            raise Untranslatable(f"tf_keras does not know its setting {key}={value!r}")
    if isinstance(layer, keras.layers.Normalization):
        kept = [layer.mean.shape[axis] for axis in (layer.axis or ())]
        for name in ("mean", "variance"):
            translated[name] = keras.ops.convert_to_numpy(getattr(layer, name)).reshape(kept)
    return translated


def _parameters(kind: Any) -> set[str]:
    """Return the parameter names of the constructors of a class and of its parents."""
    return {
        name
        for parent in kind.__mro__[:-1]
        if "__init__" in vars(parent)
        for name, parameter in inspect.signature(parent.__init__).parameters.items()
        if name != "self" and parameter.kind is not parameter.VAR_KEYWORD
    }


def _is_neutral(layer: Any, key: str, value: Any) -> bool:
    """Whether a setting that tf_keras lacks has no effect."""
    if key in ("seed", "quantization_config") or value is None or value is False or value == "channels_last":
        return True
    default = inspect.signature(type(layer).__init__).parameters.get(key)
    return default is not None and bool(default.default == value)


def _value_twin(layer: Any, key: str, value: Any) -> Any:
    import tf_keras

    kind = type(layer).__name__
    if key == "dtype":
        return layer.dtype_policy.name
    if key.endswith("activation"):
        return _activation_twin(getattr(layer, key))
    if key in ("layer", "backward_layer") and isinstance(value, dict):
        return layer_twin(getattr(layer, "forward_layer" if (key, kind) == ("layer", "Bidirectional") else key))
    for ending, group in _GROUPS.items():
        if key.endswith(ending) and isinstance(value, dict):
            plain = {"class_name": value["class_name"], "config": value["config"]}
            return getattr(tf_keras, group).get(plain)
    return value


def _activation_twin(activation: Any) -> Any:
    if activation is None:
        return None
    if isinstance(activation, keras.layers.Layer):
        return layer_twin(activation)
    name = getattr(activation, "__name__", type(activation).__name__)
    if name in SAME_ACTIVATIONS:
        return name
    if name in ACTIVATIONS and activation is keras.activations.get(name):
        return ACTIVATIONS[name]
    raise Untranslatable(f"tf_keras has no activation {name!r}")
