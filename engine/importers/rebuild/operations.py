"""TensorFlow functions that stand as layers in models of Keras 2 (TFOpLambda, SlicingOpLambda), as keras.operations."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import keras
from keras import ops

from engine.importers.rebuild.translate import Untranslatable

Call = Callable[..., Any]


def _reduce(function: Call) -> Call:
    return lambda input_tensor, axis=None, keepdims=False: function(input_tensor, axis=_axis(axis), keepdims=keepdims)


def _axis(axis: Any) -> Any:
    return tuple(axis) if isinstance(axis, list) else axis


def _softmax(logits: Any, axis: int = -1) -> Any:
    return ops.softmax(logits, axis=axis)


def _leaky(features: Any, alpha: float = 0.2) -> Any:
    return ops.leaky_relu(features, negative_slope=alpha)


def _l2_normalize(x: Any, axis: Any = None, epsilon: float = 1e-12) -> Any:
    squares = ops.sum(ops.square(x), axis=_axis(axis), keepdims=True)
    return x * ops.rsqrt(ops.maximum(squares, epsilon))


def _matmul(a: Any, b: Any, transpose_a: bool = False, transpose_b: bool = False) -> Any:
    return ops.matmul(ops.swapaxes(a, -1, -2) if transpose_a else a, ops.swapaxes(b, -1, -2) if transpose_b else b)


def _transpose(a: Any, perm: Any = None, conjugate: bool = False) -> Any:
    return ops.transpose(a, perm)


def _reshape(tensor: Any, shape: Any) -> Any:
    if not isinstance(shape, list) or not all(isinstance(size, int) for size in shape):
        raise Untranslatable("it reshapes to a shape that is computed")
    if list(shape[1:]).count(-1) == 0 and shape[0] == -1:
        return keras.layers.Reshape(shape[1:])(tensor)
    return ops.reshape(tensor, shape)


def _sliced(tensor: Any, slice_spec: Any) -> Any:
    return tensor[tuple(map(_slice, slice_spec)) if isinstance(slice_spec, list) else _slice(slice_spec)]


def _slice(spec: Any) -> Any:
    if spec is None or isinstance(spec, int):
        return spec
    if isinstance(spec, dict) and spec.get("class_name") == "__ellipsis__":
        return Ellipsis
    if isinstance(spec, dict) and set(spec) <= {"start", "stop", "step"}:
        bounds = [spec.get(key) for key in ("start", "stop", "step")]
        if all(bound is None or isinstance(bound, int) for bound in bounds):
            return slice(*bounds)
    raise Untranslatable(f"it slices by {str(spec)[:60]}")


def _gelu(features: Any, approximate: bool = False) -> Any:
    return ops.gelu(features, approximate=approximate)


OPERATIONS: Final[Mapping[str, Call]] = {
    "__operators__.add": lambda x, y: x + y,
    "__operators__.getitem": _sliced,
    "cast": lambda x, dtype: ops.cast(x, dtype),
    "clip_by_value": lambda t, clip_value_min, clip_value_max: ops.clip(t, clip_value_min, clip_value_max),
    "compat.v1.squeeze": lambda input, axis=None: ops.squeeze(input, axis=_axis(axis)),
    "compat.v1.transpose": _transpose,
    "concat": lambda values, axis: ops.concatenate(values, axis=axis),
    "expand_dims": lambda input, axis: ops.expand_dims(input, axis),
    "identity": lambda input: keras.layers.Identity()(input),
    "linalg.l2_normalize": _l2_normalize,
    "linalg.matmul": _matmul,
    "math.abs": lambda x: ops.absolute(x),
    "math.add": lambda x, y: x + y,
    "math.divide": lambda x, y: x / y,
    "math.exp": lambda x: ops.exp(x),
    "math.l2_normalize": _l2_normalize,
    "math.log": lambda x: ops.log(x),
    "math.maximum": lambda x, y: ops.maximum(x, y),
    "math.minimum": lambda x, y: ops.minimum(x, y),
    "math.multiply": lambda x, y: x * y,
    "math.negative": lambda x: -x,
    "math.pow": lambda x, y: x**y,
    "math.reduce_max": _reduce(ops.max),
    "math.reduce_mean": _reduce(ops.mean),
    "math.reduce_min": _reduce(ops.min),
    "math.reduce_sum": _reduce(ops.sum),
    "math.rsqrt": lambda x: ops.rsqrt(x),
    "math.sigmoid": lambda x: ops.sigmoid(x),
    "math.softplus": lambda features: ops.softplus(features),
    "math.sqrt": lambda x: ops.sqrt(x),
    "math.square": lambda x: ops.square(x),
    "math.subtract": lambda x, y: x - y,
    "math.tanh": lambda x: ops.tanh(x),
    "math.truediv": lambda x, y: x / y,
    "nn.elu": lambda features: ops.elu(features),
    "nn.gelu": _gelu,
    "nn.leaky_relu": _leaky,
    "nn.relu": lambda features: ops.relu(features),
    "nn.relu6": lambda features: ops.relu6(features),
    "nn.selu": lambda features: ops.selu(features),
    "nn.sigmoid": lambda x: ops.sigmoid(x),
    "nn.silu": lambda features: ops.silu(features),
    "nn.softmax": _softmax,
    "nn.softplus": lambda features: ops.softplus(features),
    "nn.swish": lambda features: ops.silu(features),
    "nn.tanh": lambda x: ops.tanh(x),
    "reshape": _reshape,
    "squeeze": lambda input, axis=None: ops.squeeze(input, axis=_axis(axis)),
    "stack": lambda values, axis=0: ops.stack(values, axis=axis),
    "tile": lambda input, multiples: ops.tile(input, multiples),
    "transpose": _transpose,
}
"""By the name that TensorFlow exports them under, with TensorFlow's names of arguments."""


def operation(function: Any) -> Call:
    """What computes this function on Keras tensors. Raises: Untranslatable: it is not in the table."""
    if not isinstance(function, str) or function not in OPERATIONS:
        raise Untranslatable(f"the TensorFlow function {str(function)[:60]!r} is not known")
    found = OPERATIONS[function]

    def call(*args: Any, **kwargs: Any) -> Any:
        if isinstance(kwargs.get("beta"), float) and kwargs["beta"] != 1.0:
            raise Untranslatable(f"beta={kwargs['beta']}")
        kwargs.pop("beta", None)
        try:
            return found(*args, **kwargs)
        except (TypeError, ValueError) as fault:
            raise Untranslatable(f"{function} is called with other arguments: {str(fault).strip()[:200]}") from fault

    return call
