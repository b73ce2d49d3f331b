"""Masks on a Keras model: variable constraints that the optimiser applies inside its own update.

After every update, whatever the optimiser, ``kernel = kernel * mask`` runs in the same compiled step; momentum
cannot revive a weight, there is no wrapper layer, and nothing needs stripping. Keras reads constraints when it
builds the training function, so ``Masks`` must be made before ``compile``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from engine.arrays import Array, Mask
from engine.checkpoint.sections import Section
from engine.models.layout import Layout
from engine.models.prunable import Kernel, other_weights, prunable_kernels


class _Masked(keras.constraints.Constraint):  # type: ignore[misc]
    """Applies the layer's own constraint, if any, and then the mask."""

    def __init__(self, mask: Any, own: Any | None) -> None:
        self._mask, self._own = mask, own

    def __call__(self, weights: Any) -> Any:
        return (weights if self._own is None else self._own(weights)) * keras.ops.cast(self._mask, weights.dtype)


class Masks:
    """One mask for each kernel and each bias. Masks last as long as the job, so no later training revives a weight."""

    @classmethod
    def of(cls, model: Any) -> "Masks":
        """Masks for the kernels of a model that can be pruned; zeros in its other weights are kept too."""
        return cls(prunable_kernels(model), other_weights(model))

    def __init__(self, kernels: Sequence[Kernel], others: Mapping[str, Any] | None = None) -> None:
        """Watch these kernels; zeros that they have already count as pruned.

        Args:
            kernels: what steps may prune.
            others: further variables by name, whose zeros are kept and whose other values no step prunes.
        """
        self._kernels = {kernel.name: kernel for kernel in kernels}
        self._masks: dict[str, Any] = {}
        self._bias_masks: dict[str, Any] = {}
        for name, kernel in self._kernels.items():
            self._masks[name] = _constrain(kernel.variable, _numpy(kernel.variable) != 0)
            if kernel.bias is not None:
                bias = _numpy(kernel.bias)  # the bias of a unit without weights is 0 when the unit is removed
                self._bias_masks[name] = _constrain(kernel.bias, kernel.alive(self.mask(name)) | (bias != 0))
        self._others = dict(others or {})
        self._kept: dict[str, Any] = {}
        """The masks of other variables that have zeros."""
        for name, variable in self._others.items():
            if not (there := _numpy(variable) != 0).all():
                self._kept[name] = _constrain(variable, there)

    @property
    def names(self) -> tuple[str, ...]:
        """The kernels, by the names of their layers."""
        return tuple(self._kernels)

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """The kernels that have masks."""
        return tuple(self._kernels.values())

    def layout(self, name: str) -> Layout:
        """Return the layout that maps a kernel to a matrix."""
        return self._kernels[name].layout

    def set(self, name: str, weights: Array) -> None:
        """Set new weights of a kernel; those that are zero, and those that were pruned, are pruned from now on."""
        self.replace(name, weights, self.mask(name) & (weights != 0))

    def replace(self, name: str, weights: Array, mask: Mask) -> None:
        """Set new weights and a new mask of a kernel; unlike ``set``, this can restore pruned weights."""
        self._masks[name].assign(mask.astype(np.float32))
        self._kernels[name].variable.assign(weights * mask)

    def zero_biases(self, name: str, remembered: Array | None = None) -> Array | None:
        """Set the biases of units without weights to zero and mask them: the unit is removed.

        Args:
            name: of the kernel.
            remembered: the earlier biases of units that may be restored.

        Returns:
            The bias of each unit, for removed units the last one; None when the layer has no bias.
        """
        bias = self._kernels[name].bias
        if bias is None:
            return None
        there, alive = _numpy(self._bias_masks[name]) != 0, self._kernels[name].alive(self.mask(name))
        values = _numpy(bias) if remembered is None else np.where(there, _numpy(bias), remembered)
        self._bias_masks[name].assign(alive.astype(np.float32))
        bias.assign(values * alive)
        return values

    def restore_zeros(self) -> None:
        """Set the zeros of weights that no step prunes again, after training that did not know of them."""
        for name, mask in self._kept.items():
            self._others[name].assign(self._others[name] * mask)

    def num_zeros(self) -> tuple[int, int]:
        """Zeros in all watched weights, those included that no step prunes, and how many weights there are."""
        masks = [*map(self.mask, self.names), *map(_numpy, self._kept.values())]
        zeros = sum(mask.size - int(np.count_nonzero(mask)) for mask in masks)
        dense = sum(int(np.prod(variable.shape)) for name, variable in self._others.items() if name not in self._kept)
        return zeros, dense + sum(mask.size for mask in masks)

    def is_trainable(self, name: str) -> bool:
        """Whether training changes a kernel."""
        return bool(self._kernels[name].variable.trainable)

    def weights(self, name: str) -> Array:
        """Return the current values of a kernel."""
        return _numpy(self._kernels[name].variable)

    def mask(self, name: str) -> Mask:
        """Return the mask of a kernel: True for weights that are kept."""
        return np.asarray(_numpy(self._masks[name]), dtype=np.bool_)

    def state_dict(self) -> Section:
        """Return all masks, of kernels and of biases."""
        kernels = {f"kernel/{name}": self.mask(name) for name in self._masks}
        biases = {f"bias/{name}": _numpy(mask) != 0 for name, mask in self._bias_masks.items()}
        return kernels | biases | {f"kept/{name}": _numpy(mask) != 0 for name, mask in self._kept.items()}

    def load_state_dict(self, section: Section) -> None:
        """Load the masks of a model with the same kernels. Weights do not change."""
        for name, mask in self._masks.items():
            mask.assign(section[f"kernel/{name}"].astype(np.float32))
        for name, mask in self._bias_masks.items():
            mask.assign(section[f"bias/{name}"].astype(np.float32))
        for name, variable in self._others.items():
            kept = section.get(f"kept/{name}")
            if name in self._kept:
                self._kept[name].assign(np.ones(variable.shape, np.float32) if kept is None else kept)
            elif kept is not None:
                self._kept[name] = _constrain(variable, kept)

    def sparsity(self, names: Sequence[str] | None = None) -> float:
        """Return the share of zeros over the named kernels together, or over all."""
        masks = [self.mask(name) for name in (self.names if names is None else names)]
        total = sum(mask.size for mask in masks)
        return 1.0 - sum(map(np.count_nonzero, masks)) / total if total else 0.0


def _constrain(variable: Any, kept: Mask) -> Any:
    mask = keras.Variable(kept.astype(np.float32), trainable=False, name="mask")
    variable.constraint = _Masked(mask, variable.constraint)
    return mask


def _numpy(variable: Any) -> Array:
    return np.asarray(keras.ops.convert_to_numpy(variable))
