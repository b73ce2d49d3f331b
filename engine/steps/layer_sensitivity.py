"""How much each layer takes: it alone is cut to every sparsity of a grid, and the model is measured.

Measured on held-out samples, with BatchNorm re-estimated as after a real cut. A measurement is known by a digest
of all that it depends on, so that a later job on the same model and data takes it up instead of repeating it.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import ValidationError

from engine.arrays import Array
from engine.data.rows import Samples, pieces, select, stored_parts
from engine.evaluation import measure as measuring
from engine.models.prunable import Kernel
from engine.objectives.objectives import judged_name
from engine.parts import arrays_of
from engine.reconstruction.batchnorm import Forward, batchnorm_layers, compiled, reestimate_if_better
from engine.run.context import Run
from engine.training.progress import Advance
from secateur.protocol.progress import ProducedFile
from secateur.reports.sensitivity import Curves
from secateur.specs.pruning import Prune
from secateur.specs.scale import Scale
from secateur.text import words

FILE: Final = ProducedFile(name="sensitivity.json", media_type="application/json")

BATCHES: Final = 10
"""Training batches that BatchNorm is re-estimated on: fewer than after a real cut, as there are many cuts here.

What more of them change in a score is less than chance does.
"""

MAX_BYTES: Final = 2**22
"""Of an earlier measurement; thousands of layers need less."""

Cut = Callable[[str, float], Array]
"""The kernel of a layer, in Keras' own shape, as it is after cutting that layer alone to a sparsity."""


def curves(
    run: Run,
    step: Prune,
    *,
    names: Sequence[str],
    cut: Cut,
    known: Iterable[Path] = (),
    keep: Callable[[Curves], None] = lambda found: None,
    on_advance: Callable[[Advance], None] = lambda at: None,
) -> Curves:
    """The sensitivity of these layers: what earlier jobs have measured is taken up, the rest is measured.

    Args:
        step: says how layers are cut, and ``sensitivity`` the grid and how many samples.
        known: ``sensitivity.json`` of earlier jobs, newest first; what does not fit, or is no such file, is ignored.
        keep: told what is known after each layer that was measured.
    """
    grid, key = step.sensitivity, digest(run, step)
    fitting = [
        found
        for found in map(_read, known)
        if found is not None and (found.key, found.sparsities) == (key, grid.sparsities)
    ]
    earlier = {name: scores for found in reversed(fitting) for name, scores in found.layers.items() if name in names}
    missing = [name for name in names if name not in earlier]
    if earlier:
        count = "all" if not missing else f"{len(earlier)} of {len(names)}"
        run.notes.append(f"Sensitivity: {count} layers were measured earlier, on the same model and data.")
    if not missing and fitting:
        return fitting[0].model_copy(update={"layers": {name: earlier[name] for name in names}})
    found = measure(
        run,
        names=missing,
        cut=cut,
        sparsities=grid.sparsities,
        samples=grid.samples,
        units=step.structure == "unit",
        key=key,
        keep=lambda found: keep(found.model_copy(update={"layers": {**earlier, **found.layers}})),
        on_advance=on_advance,
    )
    return found.model_copy(update={"layers": {name: {**earlier, **found.layers}[name] for name in names}})


def measure(
    run: Run,
    *,
    names: Sequence[str],
    cut: Cut,
    sparsities: Sequence[float],
    samples: int,
    units: bool,
    key: str,
    keep: Callable[[Curves], None] = lambda found: None,
    on_advance: Callable[[Advance], None] = lambda at: None,
) -> Curves:
    """Cut each of these layers alone to each sparsity, measure, and put it back.

    Args:
        samples: how many of the held-out samples to measure on, the first ones.
        units: whether a unit without weights loses its bias as well.
        key: goes into the result.
        keep: told what was found so far after each layer.
    """
    bench = Bench.of(run, samples)
    found = Curves(
        key=key,
        metric=run.objective.metric,
        higher_is_better=run.objective.higher_is_better,
        num_samples=len(bench.x),
        dense=run.objective.head.score(bench.y, _outputs(run, bench.x)),
        sparsities=tuple(sparsities),
        layers={},
    )
    kernels = {kernel.name: kernel for kernel in run.masks.kernels}
    began, total, scores = time.monotonic(), len(names) * len(sparsities), dict[str, list[float]]()
    for name in names:
        for sparsity in sparsities:
            weights = cut(name, sparsity)  # while the model is whole: criteria look at it
            with _cut(run.model, kernels[name], weights, units=units):
                scores.setdefault(name, []).append(bench.score())
            done = sum(map(len, scores.values()))
            left = (time.monotonic() - began) / done * (total - done)
            on_advance(Advance(done / total, left, message=f"{name} at {words.grid_point(sparsity)}"))
        found = found.model_copy(update={"layers": {**found.layers, name: tuple(scores[name])}})
        keep(found)
    return found


@dataclass(frozen=True)
class Bench:
    """What a model under way is measured on."""

    run: Run
    x: Samples
    y: Array
    forward: Forward
    """Re-estimates BatchNorm: compiled once, for all the cuts."""

    @classmethod
    def of(cls, run: Run, samples: int) -> "Bench":
        """The first held-out samples."""
        held_out = run.data.validation.first(samples)
        return cls(run, held_out.x, run.objective.of(held_out.y), compiled(run.model))

    def score(self) -> float:
        """The metric, with BatchNorm re-estimated on training batches when that makes it better."""
        told: list[float] = []

        def goodness() -> float:
            told.append(self.run.objective.head.goodness(self.y, _outputs(self.run, self.x)))
            return told[-1]

        batches = self.run.feed.batches(_training_samples(self.run), self.run.recipe.training.batch_size)
        reestimate_if_better(self.run.model, batches, judge=goodness, forward=self.forward)
        best = max(told or [goodness()])
        return best if self.run.objective.higher_is_better else -best


def digest(run: Run, step: Prune) -> str:
    """Of all that a measurement depends on: the model as it is now, the data, and how layers are cut.

    Taken of contents, not of files, so that it also holds for a model that earlier steps have changed.
    """
    recipe, grid = run.recipe, step.sensitivity
    scales = [_scale(feed.scale) for feed in run.feed.each]
    choices = {
        "version": 1,
        "criterion": step.criterion,
        "structure": step.structure,
        "block_shape": step.block_shape if step.structure == "block" else None,
        "sparsities": grid.sparsities,
        "samples": grid.samples,
        "batches": (BATCHES, recipe.training.batch_size),
        "seed": recipe.seed,
        "scale": scales[0] if len(scales) == 1 else scales,
        "objective": (run.objective.loss_name, run.objective.metric, *filter(None, [judged_name(run.objective)])),
    }
    found = hashlib.sha256(json.dumps(choices, sort_keys=True).encode())
    found.update(run.model.to_json().encode())
    splits = (run.data.train, run.data.validation)
    for array in (
        *run.model.get_weights(),
        *(part for split in splits for part in (*stored_parts(split.x), *arrays_of(split.y))),
    ):
        found.update(f"{array.dtype}{array.shape}".encode())
        for _, piece in pieces(array) if array.shape else ((0, array),):
            found.update(np.ascontiguousarray(piece).data)
    return f"sha256:{found.hexdigest()}"


@contextmanager
def _cut(model: Any, kernel: Kernel, weights: Array, *, units: bool) -> Iterator[None]:
    """The model with one kernel exchanged; afterwards it is what it was, its BatchNorm statistics too."""
    changed = [kernel.variable, *([kernel.bias] if units and kernel.bias is not None else [])]
    before = [(variable, np.array(variable)) for variable in changed]
    norms = [(layer, layer.get_weights()) for layer in batchnorm_layers(model)]
    kernel.variable.assign(weights)
    for bias, values in before[1:]:
        bias.assign(values * kernel.alive(weights))
    try:
        yield
    finally:
        for variable, values in before:
            variable.assign(values)
        for layer, statistics in norms:
            layer.set_weights(statistics)


def _scale(scale: Scale) -> Any:
    return scale if isinstance(scale, str) else scale.model_dump(mode="json")


def _training_samples(run: Run) -> Samples:
    return select(run.data.train.x, run.shuffled(BATCHES * run.recipe.training.batch_size))


def _outputs(run: Run, x: Samples) -> Array:
    return run.objective.of(measuring.outputs_of(run.model, run.feed, x))


def _read(path: Path) -> Curves | None:
    try:
        return Curves.model_validate_json(path.read_bytes()) if path.stat().st_size <= MAX_BYTES else None
    except (OSError, ValidationError):
        return None
