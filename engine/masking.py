"""Masks on a living Keras model: variable constraints that the optimiser applies inside its own update.

After every update, whatever the optimiser, ``kernel = kernel * mask`` runs in the same compiled step; momentum
cannot revive a weight, there is no wrapper layer, and nothing needs stripping. Keras reads constraints when it
builds the training function, so ``Masks`` must be made before ``compile``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from engine.arrays import Array, Mask
from engine.distribution import Scores
from engine.mask import keep_largest
from engine.prunable import Kernel


@dataclass(frozen=True)
class Method:
    """How weights are chosen, and in which kernels."""

    criterion: Callable[[Array], Array]
    distribution: Callable[[Scores, float], dict[str, float]]
    among: tuple[str, ...]


class _Masked(keras.constraints.Constraint):  # type: ignore[misc]
    """The layer's own constraint, if it has one, and then the mask."""

    def __init__(self, mask: Any, own: Any | None) -> None:
        self._mask, self.own = mask, own

    def __call__(self, weights: Any) -> Any:
        return (weights if self.own is None else self.own(weights)) * keras.ops.cast(self._mask, weights.dtype)


class Masks:
    """One mask per kernel. They live as long as the job, so that no later training revives a weight."""

    def __init__(self, kernels: Sequence[Kernel]) -> None:
        """Watch these kernels; zeros that they have already count as cut."""
        self._kernels = {kernel.name: kernel.variable for kernel in kernels}
        self._masks: dict[str, Any] = {}
        for name, variable in self._kernels.items():
            kept = (keras.ops.convert_to_numpy(variable) != 0).astype(np.float32)
            self._masks[name] = keras.Variable(kept, trainable=False, name="mask")
            variable.constraint = _Masked(self._masks[name], variable.constraint)

    @property
    def names(self) -> tuple[str, ...]:
        """The kernels, by the names of their layers."""
        return tuple(self._kernels)

    def cut(self, sparsity: float, method: Method, *, fixed: Mapping[str, float] | None = None) -> dict[str, float]:
        """Cut to a sparsity now. What is cut already stays cut.

        Args:
            sparsity: of the kernels that ``method.among`` names, together.
            fixed: sparsity of single other kernels, by name.

        Returns:
            The sparsity that each kernel was to have.
        """
        wanted = self.plan(sparsity, method, fixed=fixed)
        for name, layer_sparsity in wanted.items():
            mask = keep_largest(method.criterion(self.weights(name)), layer_sparsity, within=self.mask(name))
            self.set(name, self.weights(name) * mask)
        return wanted

    def plan(self, sparsity: float, method: Method, *, fixed: Mapping[str, float] | None = None) -> dict[str, float]:
        """The sparsity that each kernel would be cut to; arguments as for ``cut``."""
        scores = {name: method.criterion(self.weights(name)) * self.mask(name) for name in method.among}
        return (method.distribution(scores, sparsity) if scores else {}) | dict(fixed or {})

    def set(self, name: str, weights: Array) -> None:
        """Give a kernel new weights; those that are zero, and those that were cut, are cut from now on."""
        mask = self.mask(name) & (weights != 0)
        self._masks[name].assign(mask.astype(np.float32))
        self._kernels[name].assign(weights * mask)

    def is_trainable(self, name: str) -> bool:
        """Whether training changes a kernel."""
        return bool(self._kernels[name].trainable)

    def weights(self, name: str) -> Array:
        """The kernel as it is now."""
        return np.asarray(keras.ops.convert_to_numpy(self._kernels[name]))

    def mask(self, name: str) -> Mask:
        """Which weights of a kernel stay."""
        return np.asarray(keras.ops.convert_to_numpy(self._masks[name]), dtype=np.bool_)

    def sparsity(self) -> float:
        """Share of zeros in all the kernels together."""
        sizes = [mask.size for mask in map(self.mask, self._masks)]
        kept = [np.count_nonzero(self.mask(name)) for name in self._masks]
        return 1.0 - sum(kept) / sum(sizes) if sizes else 0.0

    def release(self) -> None:
        """Give every kernel its own constraint back; the zeros stay."""
        for variable in self._kernels.values():
            if isinstance(variable.constraint, _Masked):
                variable.constraint = variable.constraint.own
