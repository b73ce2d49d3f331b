"""Names in the configs of Keras 1 and 2: classes that Keras 3 calls otherwise, and operations that stand as layers.

What is here is known to the reader that translates old models (``engine.reading``). Old configs often name no module,
so a name alone must be enough to know that nothing behind it runs code of the file or reads other files.
"""

import re
from typing import Any, Final

from screening.models.keras_builtins import builtins

KERAS_1_CLASSES: Final = frozenset(
    (
        "AtrousConvolution1D",
        "AtrousConvolution2D",
        "Convolution1D",
        "Convolution2D",
        "Convolution3D",
        "Deconvolution2D",
        "Merge",
        "SeparableConvolution2D",
        "TimeDistributedDense",
    )
)
"""Classes of Keras 1 that Keras 2 renamed."""

RETIRED_CLASSES: Final = frozenset(
    (
        "CuDNNGRU",
        "CuDNNLSTM",
        "CustomScaleLayer",
        "Functional",
        "LayerScale",
        "Model",
        "Sequential",
        "SlicingOpLambda",
        "StochasticDepth",
        "TFOpLambda",
        "ThresholdedReLU",
    )
)
"""Classes of Keras 2 that Keras 3 has under no public name."""

WRAPPER_CLASSES: Final = frozenset(
    ("LossFunctionWrapper", "MeanMetricWrapper", "Policy", "PolicyV1", "SumOverBatchSizeMetricWrapper", "TensorShape")
)
"""What surrounds losses, metrics, dtypes and shapes."""

PLAIN_VALUES: Final = frozenset(("__tuple__", "__ellipsis__", "__numpy__", "__tensor__", "ndarray", "_TensorProto"))

OPERATIONS: Final = frozenset(
    (
        "__operators__.add",
        "__operators__.getitem",
        "cast",
        "clip_by_value",
        "compat.v1.squeeze",
        "compat.v1.transpose",
        "concat",
        "expand_dims",
        "identity",
        "linalg.l2_normalize",
        "linalg.matmul",
        "math.abs",
        "math.add",
        "math.divide",
        "math.exp",
        "math.l2_normalize",
        "math.log",
        "math.maximum",
        "math.minimum",
        "math.multiply",
        "math.negative",
        "math.pow",
        "math.reduce_max",
        "math.reduce_mean",
        "math.reduce_min",
        "math.reduce_sum",
        "math.rsqrt",
        "math.sigmoid",
        "math.softplus",
        "math.sqrt",
        "math.square",
        "math.subtract",
        "math.tanh",
        "math.truediv",
        "nn.elu",
        "nn.gelu",
        "nn.leaky_relu",
        "nn.relu",
        "nn.relu6",
        "nn.selu",
        "nn.sigmoid",
        "nn.silu",
        "nn.softmax",
        "nn.softplus",
        "nn.swish",
        "nn.tanh",
        "reshape",
        "squeeze",
        "stack",
        "tile",
        "transpose",
    )
)
"""Functions of TensorFlow that a TFOpLambda or SlicingOpLambda may name; all of them only compute."""

_MODULE: Final = re.compile(
    r"((tensorflow\.|tensorflow\.python\.|tf_)?keras|tensorflow\.python\.ops)(\.\w+)*\Z|builtins\Z"
)
"""Keras under all its names, and where TensorFlow keeps initialisers."""

_CUSTOM: Final = "Custom>"


def is_known_class(module: str | None, name: str, registered: str | None) -> bool:
    """Whether an old config may name this class. ``Custom>Adam`` is how Keras 2 wrote its newer optimisers."""
    plain = name.removeprefix(_CUSTOM)
    if module is not None and not _MODULE.match(module):
        return False
    if registered not in (None, name, plain, _CUSTOM + plain):
        return False
    return plain in KERAS_1_CLASSES | RETIRED_CLASSES | WRAPPER_CLASSES or any(
        plain in names for known, names in builtins().classes.items() if not known.startswith("keras.src")
    )


def is_known_operation(node: dict[str, Any]) -> bool:
    """Whether the function that stands as a layer is one of ``OPERATIONS``."""
    inner = node.get("config")
    return isinstance(inner, dict) and inner.get("function") in OPERATIONS
