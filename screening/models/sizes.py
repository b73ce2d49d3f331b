"""The sizes that a config declares, held against the file before Keras makes arrays of them.

These are lower bounds: how many channels reach a layer is not in its settings. The engine counts exactly, on a model
without arrays (``engine.importers.declared``).
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from screening.costs import bounds, few, too_costly
from secateur.errors import ModelUnreadable

MAX_RATIO: Final = 100
RATIO_FREE_VALUES: Final = 64 << 20
"""As many as ``engine.importers.formats.hdf5_limits`` lets packed arrays hold."""

SHAPES: Final = frozenset({"batch_shape", "batch_input_shape", "build_input_shape", "input_shape", "target_shape"})

Settings = Mapping[str, Any]


def _kernel(settings: Settings) -> int:
    return _product(settings.get("kernel_size")) * max(1, _number(settings.get("filters")))


def _gates(count: int) -> Callable[[Settings], int]:
    return lambda settings: count * _number(settings.get("units")) ** 2


VALUES: Final[Mapping[str, Callable[[Settings], int]]] = {
    "Dense": lambda settings: _number(settings.get("units")),
    "Embedding": lambda settings: _number(settings.get("input_dim")) * _number(settings.get("output_dim")),
    "GRU": _gates(3),
    "GRUCell": _gates(3),
    "LSTM": _gates(4),
    "LSTMCell": _gates(4),
    "MultiHeadAttention": lambda settings: _number(settings.get("num_heads")) * _number(settings.get("key_dim")),
    "SimpleRNN": _gates(1),
    "SimpleRNNCell": _gates(1),
}
"""How many weights a layer of a class has at least. Classes with a ``kernel_size`` count as convolutions."""


METRICS: Final[Mapping[str, Callable[[int], int]]] = {
    "num_classes": lambda count: 4 * count**2,
    "num_thresholds": lambda count: 1024 * count,
}
"""Bytes that metrics take for a number of their settings. Thresholds are numbers of Python, in several lists."""


def num_values(class_name: str, settings: Settings) -> int:
    """How many weights a layer declares at least.

    >>> num_values("Conv1D", {"filters": 8, "kernel_size": [1_000_000_000]})
    8000000000
    >>> num_values("LSTM", {"units": 10})
    400
    """
    if "Conv" in class_name and "kernel_size" in settings:
        return _kernel(settings)
    return VALUES[class_name](settings) if class_name in VALUES else 0


def check_weights(declared: int, *, num_weight_bytes: int) -> None:
    """Hold the weights of all layers together against the file of weights.

    Raises:
        ModelUnreadable: the file cannot hold them, however well it is packed.
    """
    if declared > max(RATIO_FREE_VALUES, MAX_RATIO * num_weight_bytes):
        raise ModelUnreadable(
            f"The layers declare {few(declared)} weights, but the file of weights has only {num_weight_bytes} bytes.",
            suggestions=['Save the model with Keras 3: model.save("model.keras").'],
        )


def check_shape(key: str, shape: Any, layer: str) -> None:
    """Hold a shape that a config declares against the largest tensor that is accepted.

    Args:
        key: the field that it stands in; of those of inputs the first size counts samples.
        shape: a list of sizes, None or -1 where they are free; anything else is left to Keras.

    Raises:
        UploadTooCostly: one sample would take more.
    """
    sizes = shape if key == "target_shape" or not isinstance(shape, list) else shape[1:]
    num_bytes = 4 * _product(sizes)
    if num_bytes > bounds().activation_bytes:
        raise too_costly(
            f"{layer} declares {key}={str(shape)[:80]}, {few(num_bytes)} bytes for one sample as float32; "
            f"at most {bounds().activation_bytes} are accepted.",
            "SECATEUR_MAX_ACTIVATION_BYTES",
            "Use smaller inputs or fewer channels.",
        )


def check_metrics(config: Any) -> None:
    """Hold what metrics count against the bounds: thresholds one by one, classes against classes.

    Args:
        config: how a model was compiled, of any Keras; everything in it is looked at.

    Raises:
        UploadTooCostly: a metric would make a table that is too large.
    """
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, dict):
            waiting.extend(value.values())
            for key in METRICS.keys() & value.keys():
                check_metric(key, value[key])


def check_metric(key: str, value: Any) -> None:
    """The same for one number of a config. Raises: UploadTooCostly."""
    num_bytes = METRICS[key](_number(value))
    if num_bytes > bounds().activation_bytes:
        raise too_costly(
            f"A metric declares {key}={few(_number(value))}, for which it takes {few(num_bytes)} bytes; at most "
            f"{bounds().activation_bytes} are accepted.",
            "SECATEUR_MAX_ACTIVATION_BYTES",
            "Save the model without its metrics: model.compile(optimizer, loss).",
        )


def _product(sizes: Any) -> int:
    listed: Iterable[Any] = sizes if isinstance(sizes, list) else (sizes,)
    return math.prod(max(1, _number(size)) for size in listed)


def _number(value: Any) -> int:
    return value if type(value) is int and value > 0 else 0
