"""The sensitivity of each layer: it alone is pruned to every sparsity of a grid, and the model is measured.

The model is measured on held-out samples, with BatchNorm re-estimated as after a real cut. A measurement is identified
by a digest of everything that it depends on, so that later jobs on the same model and data reuse it.
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
"""Training batches that BatchNorm is re-estimated on: fewer than after a real cut, because there are many cuts.

More batches change a score less than chance does.
"""

MAX_BYTES: Final = 2**22
"""The largest accepted file of an earlier measurement; thousands of layers need less."""

PruneLayer = Callable[[str, float], Array]
"""Returns the kernel of a layer, in the shape of Keras, after pruning that layer alone to a sparsity."""


def curves(
    run: Run,
    step: Prune,
    *,
    names: Sequence[str],
    cut: PruneLayer,
    known: Iterable[Path] = (),
    keep: Callable[[Curves], None] = lambda found: None,
    on_advance: Callable[[Advance], None] = lambda at: None,
) -> Curves:
    """The sensitivity of these layers: measurements of earlier jobs are reused, the others are made now.

    Args:
        run: has the model and the data.
        step: how layers are pruned; its ``sensitivity`` has the grid and the number of samples.
        names: of the layers.
        cut: prunes one layer.
        known: ``sensitivity.json`` of earlier jobs, newest first; files that do not fit are ignored.
        keep: called with all known curves after each measured layer.
        on_advance: called with the progress.
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
    cut: PruneLayer,
    sparsities: Sequence[float],
    samples: int,
    units: bool,
    key: str,
    keep: Callable[[Curves], None] = lambda found: None,
    on_advance: Callable[[Advance], None] = lambda at: None,
) -> Curves:
    """Prune each of these layers alone to each sparsity, measure the model, and restore the layer.

    Args:
        run: has the model and the data.
        names: of the layers.
        cut: prunes one layer.
        sparsities: the grid.
        samples: how many of the held-out samples to measure on; the first ones are used.
        units: whether a unit without weights also loses its bias.
        key: the digest to store in the result.
        keep: called with the curves so far after each layer.
        on_advance: called with the progress.
    """
    bench = Bench.of(run, samples)
    found = Curves(
        key=key,
        metric=run.context.objective.metric,
        higher_is_better=run.context.objective.higher_is_better,
        num_samples=len(bench.x),
        dense=run.context.objective.head.score(bench.y, _outputs(run, bench.x)),
        sparsities=tuple(sparsities),
        layers={},
    )
    kernels = {kernel.name: kernel for kernel in run.masks.kernels}
    began, total, scores = time.monotonic(), len(names) * len(sparsities), dict[str, list[float]]()
    for name in names:
        for sparsity in sparsities:
            weights = cut(name, sparsity)  # before the layer is changed: criteria use the model
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
    """The samples that a model is measured on."""

    run: Run
    x: Samples
    y: Array
    forward: Forward
    """Re-estimates BatchNorm; compiled once for all cuts."""

    @classmethod
    def of(cls, run: Run, samples: int) -> "Bench":
        """The first held-out samples."""
        held_out = run.context.data.validation.first(samples)
        return cls(run, held_out.x, run.context.objective.of(held_out.y), compiled(run.model))

    def score(self) -> float:
        """The metric, with BatchNorm re-estimated on training batches if that improves it."""
        scores: list[float] = []

        def score_to_maximize() -> float:
            scores.append(self.run.context.objective.head.score_to_maximize(self.y, _outputs(self.run, self.x)))
            return scores[-1]

        batches = self.run.context.feed.batches(
            _training_samples(self.run), self.run.context.recipe.training.batch_size
        )
        reestimate_if_better(self.run.model, batches, judge=score_to_maximize, forward=self.forward)
        best = max(scores or [score_to_maximize()])
        return best if self.run.context.objective.higher_is_better else -best


def digest(run: Run, step: Prune) -> str:
    """Digest of everything that a measurement depends on: the current model, the data, and how layers are pruned.

    It covers contents, not files, so it also identifies a model that earlier steps have changed.
    """
    recipe, objective, grid = run.context.recipe, run.context.objective, step.sensitivity
    scales = [_scale(feed.scale) for feed in run.context.feed.each]
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
        "objective": (objective.loss_name, objective.metric, *filter(None, [judged_name(objective)])),
    }
    found = hashlib.sha256(json.dumps(choices, sort_keys=True).encode())
    found.update(run.model.to_json().encode())
    splits = (run.context.data.train, run.context.data.validation)
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
    """While the block runs, the model has another kernel. Afterwards the kernel and BatchNorm are as before."""
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
    return select(run.context.data.train.x, run.shuffled(BATCHES * run.context.recipe.training.batch_size))


def _outputs(run: Run, x: Samples) -> Array:
    return run.context.objective.of(measuring.outputs_of(run.model, run.context.feed, x))


def _read(path: Path) -> Curves | None:
    try:
        return Curves.model_validate_json(path.read_bytes()) if path.stat().st_size <= MAX_BYTES else None
    except (OSError, ValidationError):
        return None
