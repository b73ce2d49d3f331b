"""What a config declares, measured on a model without arrays before the model with arrays is built.

Keras can make variables whose values come later (``StatelessScope``). A model of them has exact shapes and takes no
memory, so that a config that asks for more weights than its file holds costs nothing.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import keras
import tensorflow as tf
from keras.src.backend.common import global_state

from engine.importers.refusals import unreadable
from engine.models.footprint import Footprint, footprint
from engine.models.rebuild import without_key
from screening.costs import bounds, too_costly

SPARE_VALUES: Final = 1 << 20
"""Weights that a model may declare beyond those of its file: what is missing is then named by the loader."""

COPIES: Final = 3
"""How often Keras may make a weight while it builds a layer: Bidirectional builds layers that it then copies.

Beside the weights of the model, all variables are counted: layers that a file lists are built even if nothing calls
them.
"""

PENDING: Final = "uninitialized_variables"


def check(make: Callable[[], Any], *, num_values: int) -> None:
    """Build a model without arrays and hold it against its file and the bounds.

    Args:
        make: builds the model from its config, without weights and without compiling it.
        num_values: how many numbers the arrays of the file have together.

    Raises:
        ModelUnreadable: the layers declare more weights than the file holds.
        UploadTooCostly: one sample takes too large tensors, too many calls or too much arithmetic.
    """
    with _without_arrays():
        model = make()
        made = _num_values(global_state.get_global_attribute(PENDING) or ())
        declared = max(_num_values(model.weights), made // COPIES)
        if declared > num_values + SPARE_VALUES:
            raise unreadable(
                f"The layers of the model declare {declared} weights, but the file holds only {num_values} numbers."
            )
        if getattr(model, "inputs", None):
            _check_footprint(footprint(model))


def _num_values(variables: Iterable[Any]) -> int:
    return sum(math.prod(map(int, variable.shape)) for variable in variables)


def without_compiling(config: Any) -> Any:
    """A config of Keras 3 whose models are not compiled: optimisers make variables that have values at once."""
    return without_key(config, "compile_config")


@contextmanager
def _without_arrays() -> Iterator[None]:
    """Variables get no values, and what layers compute while they are built becomes a graph that is not run."""
    pending = list(global_state.get_global_attribute(PENDING) or ())
    global_state.set_global_attribute(PENDING, [])
    try:
        with keras.StatelessScope(initialize_variables=False), tf.Graph().as_default():
            yield
    finally:
        global_state.set_global_attribute(PENDING, pending)


def _check_footprint(found: Footprint) -> None:
    limits = bounds()
    if found.largest_bytes > limits.activation_bytes:
        raise too_costly(
            f"Layer {found.largest_layer[:80]!r} makes a tensor of shape {found.largest_shape}, {found.largest_bytes} "
            f"bytes for one sample as float32; at most {limits.activation_bytes} are accepted.",
            "SECATEUR_MAX_ACTIVATION_BYTES",
            "Use smaller inputs, fewer channels, or less up-sampling.",
        )
    if found.num_steps > limits.layer_calls:
        raise too_costly(
            f"One run of the model calls its layers {found.num_steps} times, with a call for each time step of "
            f"TimeDistributed and of unrolled recurrent layers; at most {limits.layer_calls} calls are accepted.",
            "SECATEUR_MAX_LAYER_CALLS",
            "Set unroll=False, use shorter sequences, or put a layer that takes whole sequences in place of "
            "TimeDistributed.",
        )
    if found.num_macs > limits.sample_macs:
        raise too_costly(
            f"One sample takes {found.num_macs} multiply-accumulates; at most {limits.sample_macs} are accepted.",
            "SECATEUR_MAX_SAMPLE_MACS",
            "Use smaller inputs or fewer channels.",
        )
