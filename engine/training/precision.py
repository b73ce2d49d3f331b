"""Mixed precision in training: layers compute in 16 bits; weights, optimisers and masks stay float32.

Micikevicius et al. 2018, "Mixed Precision Training", arXiv:1710.03740.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from engine.objectives.compiled import PASSING
from secateur.specs.training import Precision


@contextmanager
def precision_of(model: Any, precision: Precision) -> Iterator[None]:
    """While the block runs, the layers of a model compute in another precision.

    The layers that produce the outputs stay float32, because small probabilities and the loss need it. Variables are
    always float32, so nothing has to be copied back, and masks and constraints work on the stored weights.
    """
    if precision == "float32":
        yield
        return
    exact = _makes_outputs(model)
    layers = [layer for layer in model._flatten_layers(include_self=False) if id(layer) not in exact]
    before = [(layer, layer.dtype_policy) for layer in layers]
    try:
        for layer, policy in before:
            if policy.name == "float32":
                layer.dtype_policy = keras.DTypePolicy(precision)
        _forget_functions(model)
        yield
    finally:
        for layer, policy in before:
            layer.dtype_policy = policy
        _forget_functions(model)


def _forget_functions(model: Any) -> None:
    """Discard the traced functions, which keep the precision that they were traced with."""
    for function in ("train_function", "test_function", "predict_function"):
        setattr(model, function, None)


def scaled(optimizer: Any, precision: Precision) -> Any:
    """An optimiser that scales the loss for float16, so that small gradients do not become zero."""
    return keras.optimizers.LossScaleOptimizer(optimizer) if precision == "mixed_float16" else optimizer


def _makes_outputs(model: Any) -> set[int]:
    """The ids of the layers from the last one with weights to each output."""
    found: set[int] = set()
    for tensor in model.outputs:
        while True:
            operation, node, _ = tensor._keras_history
            found.add(id(operation))
            if isinstance(operation, keras.Model):
                found |= _makes_outputs(operation)
            before = operation._inbound_nodes[node].input_tensors
            if len(before) != 1 or not (isinstance(operation, PASSING) or not _weights(operation)):
                break
            tensor = before[0]
    return found


def _weights(operation: Any) -> list[Any]:
    """The weights of a layer; other operations have none."""
    return list(getattr(operation, "weights", ()))
