"""Translate a Keras 3 model to an equivalent tf_keras model, and copy its trained weights back.

Toolkits that only know tf_keras (TFMOT) work on such a twin. The graph is walked call by call, layers are built
again from their settings, weights are copied, and both models are compared on random inputs before the twin is used.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import keras
import numpy as np

from engine.arrays import Array
from engine.bridge.layers import Untranslatable, layer_twin, operation_twin, weights_twin
from engine.models.prunable import places
from secateur.errors import BridgeRefused

AGREEMENT: Final = 1e-4
"""Largest difference of two outputs, relative to the largest output, that still counts as equal."""

UNKNOWN_SIZE: Final = 32
"""Size of axes of unknown length in the random inputs."""

Wrap = Callable[[Any, Any], Any]
"""From a layer and its unbuilt tf_keras counterpart to the object that the twin calls in its place."""


@dataclass(frozen=True)
class Twin:
    """A tf_keras model, and its layers by the names that the job spec gives to the originals."""

    model: Any
    layers: Mapping[str, Any]


def twin(model: Any, wrap: Wrap = lambda _, layer: layer) -> Twin:
    """Translate a functional or Sequential model, models inside it too; layers that are shared stay shared.

    Args:
        wrap: may put something around layers before they are called; ``Twin.layers`` has the layers inside.

    Raises:
        BridgeRefused: a layer or operation has no counterpart, or the outputs of the twin differ.
    """
    translation = _Translation(wrap)
    twin_model = translation.graph(model, prefix="")
    layers = {}
    for place in places(model):
        if id(place.layer) not in translation.inner:
            continue  # an input
        layers[place.name] = translation.inner[id(place.layer)]
        try:
            layers[place.name].set_weights(weights_twin(place.layer))
        except ValueError as fault:
            raise _refused(place.layer, place.name, f"its weights do not fit: {str(fault)[:200]}") from fault
    made = Twin(twin_model, layers)
    difference = largest_difference(model, made)
    if not difference <= AGREEMENT:
        raise BridgeRefused(
            f"The tf_keras twin of {model.name!r} is not equivalent: on random inputs the outputs differ by "
            f"{difference:.1e} of the largest, {AGREEMENT:.0e} is allowed.",
            suggestions=[NATIVE],
        )
    return made


NATIVE: Final = "Set toolkit to native, which prunes Keras 3 models as they are."


def largest_difference(model: Any, twin: Twin, *, seed: int = 0) -> float:
    """Return the largest difference between the outputs on random inputs, relative to the largest output.

    Infinite when an output is not finite, because such outputs cannot be compared.
    """
    inputs = random_inputs(model, seed)
    given = inputs[0] if len(inputs) == 1 else inputs
    ours = keras.tree.flatten(model(given, training=False))
    theirs = keras.tree.flatten(twin.model(given, training=False))
    return outputs_difference(ours, theirs)


def outputs_difference(ours: Sequence[Any], theirs: Sequence[Any]) -> float:
    """Return the largest difference of two lists of outputs, relative to the largest; infinite if one is not finite.

    >>> outputs_difference([np.array([1.0, 4.0])], [np.array([1.0, 3.0])])
    0.25
    """
    worst = 0.0
    for one, other in zip(ours, theirs, strict=True):
        expected, found = np.asarray(one, np.float64), np.asarray(other, np.float64)
        if not (np.isfinite(expected).all() and np.isfinite(found).all()):
            return float("inf")
        worst = max(worst, float(np.abs(expected - found).max() / max(np.abs(expected).max(), 1e-12)))
    return worst


def bring_back(twin: Twin, model: Any) -> None:
    """Copy all weights of a twin back to its Keras 3 model, layer by layer."""
    for place in places(model):
        if place.name in twin.layers and weights_twin(place.layer):
            place.layer.set_weights(twin.layers[place.name].get_weights())


def random_inputs(model: Any, seed: int, size: int = UNKNOWN_SIZE) -> list[Array]:
    """Return one array for each input: normally distributed, or zeros and ones for integer inputs such as tokens."""
    rng = np.random.default_rng(seed)
    counts = any(isinstance(place.layer, keras.layers.Embedding) for place in places(model))
    found: list[Array] = []
    for tensor in model.inputs:
        shape = (tensor.shape[0] or 2, *(known or size for known in tensor.shape[1:]))
        whole = counts or "int" in tensor.dtype
        found.append((rng.integers(0, 2, shape) if whole else rng.standard_normal(shape)).astype(tensor.dtype))
    return found


@dataclass
class _Translation:
    """One translation of a model, with the layers made so far, so that shared layers are made only once."""

    wrap: Wrap
    inner: dict[int, Any] = field(default_factory=dict)
    _called: dict[int, Any] = field(default_factory=dict)

    def graph(self, model: Any, prefix: str) -> Any:
        """Return the twin of one model; ``prefix`` is put before the names of its layers."""
        import tf_keras

        graph = getattr(model, "_functional", None) or model
        if not hasattr(graph, "_run_through_graph"):
            raise _refused(model, prefix.rstrip("/") or model.name, "it is no graph of layers")
        inputs = [
            tf_keras.Input(
                shape=tensor.shape[1:], batch_size=tensor.shape[0], dtype=tensor.dtype, name=_input_name(tensor)
            )
            for tensor in graph.inputs
        ]
        outputs = graph._run_through_graph(inputs, operation_fn=lambda op: self._call(op, prefix))
        structure = graph._inputs_struct
        given = inputs[0] if len(inputs) == 1 else keras.tree.pack_sequence_as(structure, inputs)
        return tf_keras.Model(given, outputs, name=model.name)

    def _call(self, operation: Any, prefix: str) -> Callable[..., Any]:
        name = f"{prefix}{operation.name}"
        if id(operation) not in self._called:
            self._called[id(operation)] = self._made(operation, name)
        called = self._called[id(operation)]

        def call(*args: Any, **kwargs: Any) -> Any:
            given = {key: value for key, value in kwargs.items() if value is not None}
            try:
                return called(*args, **given)
            except (TypeError, ValueError, NotImplementedError, AttributeError) as fault:
                raise _refused(operation, name, f"tf_keras cannot call it: {str(fault).strip()[:200]}") from fault

        return call

    def _made(self, operation: Any, name: str) -> Any:
        if isinstance(operation, keras.Model):
            return self.graph(operation, prefix=f"{name}/")
        try:
            if not isinstance(operation, keras.layers.Layer):
                return operation_twin(operation)
            self.inner[id(operation)] = layer_twin(operation)
        except Untranslatable as reason:
            raise _refused(operation, name, str(reason)) from reason
        return self.wrap(operation, self.inner[id(operation)])


def _input_name(tensor: Any) -> str:
    return str(tensor._keras_history.operation.name)


def _refused(operation: Any, name: str, reason: str) -> BridgeRefused:
    kind = type(operation).__name__
    return BridgeRefused(
        f"{name!r} ({kind}) cannot be made in tf_keras, which TFMOT needs: {reason}.", suggestions=[NATIVE]
    )
