"""The pruner of one prune step: scores, sparsities of layers, masks, and the values of pruned weights.

``Pruner`` combines the four axes of a step: a criterion scores weights, a distribution divides the sparsity among
layers, a structure selects the kept weights, and the caller's schedule sets the sparsity.
"""

import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from engine.arrays import Array
from engine.checkpoint.sections import Section, as_array, from_array
from engine.pruning.criterion import NEEDS, OF_UNITS, OF_WEIGHTS, SHARES, CriterionInputs
from engine.pruning.distribution import DISTRIBUTIONS, Layers, Ranked, uniform
from engine.pruning.masking import Masks
from engine.pruning.observe import Observer, mean_scores
from engine.pruning.structure import grouping_of, mask_function
from secateur.specs.pruning import Prune

Weights = Mapping[str, Array]
"""Kernels as matrices, by the names of their layers."""

Score = Callable[[Weights], dict[str, Array]]
"""From weights to scores of weights, shape (inputs, units), or of units, shape (1, units)."""

Distribute = Callable[[Layers, float], dict[str, float]]


class Pruner:
    """Prunes the kernels of a step at each update of its schedule, each time to a higher sparsity."""

    def __init__(self, masks: Masks, step: Prune, score: Score) -> None:
        """Record the current masks: weights that are already pruned stay pruned throughout this step."""
        self._masks, self._step, self._score = masks, step, score
        self.distribute: Distribute = DISTRIBUTIONS.get(step.distribution, uniform)
        self.keep, self._grouping = mask_function(step), grouping_of(step)
        self.among = tuple(name for name in masks.names if name not in {*step.skip_layers, *step.layers})
        """Kernels among which the distribution divides the sparsity."""
        self._fixed = {name: sparsity for name, sparsity in step.layers.items() if sparsity > 0}
        if step.criterion in SHARES:
            self._fixed = self._shares() | self._fixed
            self.among = ()
        self._within = {name: masks.mask(name) for name in self.names}
        recoverable = getattr(step.schedule, "recoverable", False)
        self._memory = {name: masks.weights(name) for name in self.names} if recoverable else None
        self._biases: dict[str, Array | None] = {}
        self.targets: dict[str, float] = {}
        """The sparsity of each kernel after the last update."""

    @property
    def names(self) -> tuple[str, ...]:
        """The kernels of this step, in the model's order."""
        return tuple(name for name in self._masks.names if name in self.among or name in self._fixed)

    @property
    def final(self) -> float:
        """The final sparsity of the step, over all kernels without a sparsity of their own."""
        if self._step.final_sparsity is not None:
            return self._step.final_sparsity
        sizes = {name: self._masks.mask(name).size for name in self.names}
        return sum(self._fixed[name] * size for name, size in sizes.items()) / sum(sizes.values())

    def to(self, sparsity: float) -> None:
        """Prune to a sparsity now; kernels with a sparsity of their own are pruned to the same share of it."""
        weights = self._candidates()
        scores = self._score(weights)
        self.targets = self._plan(scores, sparsity)
        for name, target in self.targets.items():
            layout = self._masks.layout(name)
            mask = self.keep(scores[name], target, layout.matrix(self._bound(name)))
            if self._memory is not None:
                self._memory[name] = layout.kernel(weights[name])
            self._masks.replace(name, layout.kernel(weights[name]), layout.kernel(mask))
            if self._step.structure == "unit":
                self._biases[name] = self._masks.zero_biases(name, self._biases.get(name))

    def state_dict(self) -> Section:
        """Return the state that updates have changed, except the masks."""
        arrays = {f"memory/{name}": weights for name, weights in (self._memory or {}).items()}
        biases = {f"bias/{name}": bias for name, bias in self._biases.items() if bias is not None}
        return {"targets": as_array(self.targets), **arrays, **biases}

    def load_state_dict(self, section: Section) -> None:
        """Continue like the saved pruner. Both must have started from the same masks."""
        self.targets = from_array(section["targets"])
        if self._memory is not None:
            self._memory = {name: section[f"memory/{name}"] for name in self._memory}
        self._biases = {name: section[f"bias/{name}"] for name in self.names if f"bias/{name}" in section}

    def plan(self) -> dict[str, float]:
        """Return the final sparsity of each kernel, by the current scores."""
        return self._plan(self._score(self._candidates()), self.final)

    def alone(self) -> Callable[[str, float], Array]:
        """Return a function that computes a pruned kernel, by name and sparsity, without changing the model.

        Criteria that need data are computed once, now, for all calls of the function.
        """
        score = self.score_layer()

        def pruned(name: str, sparsity: float) -> Array:
            layout, weights = self._masks.layout(name), self._masks.weights(name)
            scores = score(name, layout.matrix(weights))
            return weights * layout.kernel(self.keep(scores, sparsity, layout.matrix(self._masks.mask(name))))

        return pruned

    def score_layer(self) -> Callable[[str, Array], Array]:
        """Return a function that scores a kernel in reconstruction; scores that need data are computed once, now."""
        if self._step.criterion not in NEEDS:
            return lambda name, weights: _of_weights(self._score({name: weights})[name], weights)
        now = self._score(self._candidates())
        return lambda name, weights: _of_weights(now[name], weights)

    def _candidates(self) -> dict[str, Array]:
        """Return the weights to choose from: unpruned ones, and those that a recoverable step has pruned itself."""
        found = {}
        for name in self.names:
            weights = self._masks.weights(name)
            if self._memory is not None:
                weights = np.where(self._masks.mask(name), weights, self._memory[name]) * self._within[name]
            found[name] = self._masks.layout(name).matrix(weights)
        return found

    def _bound(self, name: str) -> Array:
        return self._masks.mask(name) if self._memory is None else self._within[name]

    def _plan(self, scores: Mapping[str, Array], sparsity: float) -> dict[str, float]:
        layers = {}
        for name in self.among:
            layout = self._masks.layout(name)
            within = layout.matrix(self._bound(name))
            pooled = self._grouping.pool(scores[name]) if scores[name].shape == within.shape else scores[name]
            pooled = pooled * (self._grouping.pool(within) > 0)
            layers[name] = Ranked(pooled, within.size // pooled.size, layout.shape)
        share = sparsity / self.final if self.final else 0.0
        shared = self.distribute(layers, sparsity) if layers else {}
        return shared | {name: final * share for name, final in self._fixed.items()}

    def _shares(self) -> dict[str, float]:
        share = SHARES[self._step.criterion]
        line = self._step.threshold if self._step.criterion == "threshold" else self._step.quality
        assert line is not None, "the spec requires it"
        return {name: share(self._masks.layout(name).matrix(self._masks.weights(name)), line) for name in self.among}


def groups_of(step: Prune, shape: tuple[int, int]) -> int:
    """Return the number of groups in a kernel of a matrix shape: the sparsity is accurate to half a group.

    >>> groups_of(Prune(structure="unit", sparsity=0.5), (100, 8))
    8
    """
    return shape[0] * shape[1] // grouping_of(step).size(shape)


def scorer(step: Prune, observer: Observer, *, seed: int) -> Score:
    """Return the step's criterion as a function of the weights; the observer supplies its other inputs."""
    units = step.structure == "unit" and step.criterion in OF_UNITS
    criterion = (OF_UNITS if units else OF_WEIGHTS)[step.criterion]
    need = NEEDS.get(step.criterion)

    def table(weights: Weights, **observed: Mapping[str, Array]) -> dict[str, Array]:
        found = {}
        for name, matrix in weights.items():
            beside: dict[str, Any] = {what: by_name[name] for what, by_name in observed.items()}
            scores = criterion(CriterionInputs(matrix, seed=seed + zlib.crc32(name.encode()), **beside))
            found[name] = scores[None] if units else scores
        return found

    def score(weights: Weights) -> dict[str, Array]:
        if need == "gradients":
            return mean_scores(table(weights, gradients=by_name) for by_name in observer.gradients(weights))
        if need == "input_norms":
            return table(weights, input_norms=observer.input_norms(weights))
        if need == "gamma":
            return table(weights, gamma=observer.gammas(weights))
        return table(weights)

    return score


def _of_weights(scores: Array, weights: Array) -> Array:
    """Divide scores of units evenly among their weights, so that the sums are unchanged."""
    return scores if scores.shape == weights.shape else np.broadcast_to(scores / len(weights), weights.shape)
