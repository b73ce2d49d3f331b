"""Mixed precision while training: layers compute in 16 bits, weights and what optimisers and masks do stay float32.

Micikevicius et al. 2018, "Mixed Precision Training", arXiv:1710.03740.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from engine.objectives.objective import PASSING
from secateur.specs.training import Precision


@contextmanager
def precision_of(model: Any, precision: Precision) -> Iterator[None]:
    """Let the layers of a model compute in a precision, and in their own again afterwards.

    What makes the outputs stays float32, because small probabilities and the loss need it. Variables are float32
    all the time, so that nothing has to be copied back, and every mask and constraint works on what is stored.
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
    """What was traced computes in the precision that it was traced in."""
    for function in ("train_function", "test_function", "predict_function"):
        setattr(model, function, None)


def scaled(optimizer: Any, precision: Precision) -> Any:
    """An optimiser that keeps small gradients of float16 from becoming zero; bfloat16 has the range of float32."""
    return keras.optimizers.LossScaleOptimizer(optimizer) if precision == "mixed_float16" else optimizer


def _makes_outputs(model: Any) -> set[int]:
    """The layers from the last with weights to each output, by their identity."""
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
    """Of a layer; other operations have none."""
    return list(getattr(operation, "weights", ()))
