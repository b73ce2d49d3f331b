"""The prune step: in one shot, with reconstruction, or gradually during training."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from engine.models.graph import graph_of
from engine.models.model import copy_of
from engine.pruning.distribution import by_sensitivity
from engine.pruning.pruner import Pruner, groups_of, scorer
from engine.pruning.schedule import plan
from engine.reconstruction.reconstruct import reconstruct
from engine.reconstruction.targets import reason_not_reconstructable
from engine.run.context import Run
from engine.steps.finetune import train_on, trains
from engine.training.context import num_steps
from engine.training.progress import Advance
from secateur.reports.sensitivity import Curves
from secateur.specs.pruning import OneShot, Prune
from secateur.specs.spec import Step


def prune(
    run: Run,
    step: Prune,
    name: str,
    later: Sequence[Step],
    on_advance: Callable[[Advance], None],
    curves: Callable[[Pruner], Curves],
) -> str:
    """Prune: in one shot, in one shot with reconstruction, or gradually during training.

    Args:
        run: has the model; its masks and targets change.
        step: the prune step.
        name: of the step, for events and notes.
        later: the steps after this one; by default a cut that no training follows is reconstructed.
        on_advance: called with the progress.
        curves: measures the sensitivity of each layer, for a distribution by sensitivity.
    """
    before = run.masks.sparsity()
    if step.toolkit == "tfmot":
        from engine.tfmot import gradual  # takes seconds, and turns tf.keras into Keras 2 for the whole process

        targets = gradual.prune(run, step, name, on_advance)
    else:
        targets = _prune(run, step, name, later, on_advance, curves)
    for layer, target in targets.items():
        if target >= run.targets.get(layer, 0.0):  # the zeros and the target of an earlier step stay
            run.targets[layer] = target
            run.num_groups[layer] = groups_of(step, run.masks.layout(layer).matrix_shape)
    run.refresh_statistics()
    _note_risks(run, targets)
    assert run.masks.sparsity() >= before, "pruned weights stay zero"
    return f"{run.masks.sparsity():.1%} zeros"


def choose(run: Run, step: Prune) -> Pruner:
    """The pruner of a prune step for the kernels of a job. A distribution by sensitivity is set later."""
    return Pruner(run.masks, step, scorer(step, run.observer(), seed=run.context.recipe.seed))


def _prune(
    run: Run, step: Prune, name: str, later: Sequence[Step], on_advance: Any, curves: Callable[[Pruner], Curves]
) -> dict[str, float]:
    pruner = choose(run, step)
    if step.distribution == "sensitivity":
        pruner.distribute = by_sensitivity(curves(pruner))
    if isinstance(step.schedule, OneShot):
        if reconstructs(step, later):
            return _cut_and_reconstruct(run, step, pruner, on_advance)
        pruner.to(pruner.final)
        return pruner.targets
    schedule, size = step.schedule, run.context.recipe.training.batch_size
    cuts = plan(
        schedule,
        pruner.final,
        num_steps=num_steps(run.context.data, batch_size=size, epochs=schedule.epochs),
        existing=run.masks.sparsity(pruner.names),
    )
    if (earlier := run.context.checkpoint.restore("cutting")) is not None:
        pruner.load_state_dict(earlier)
    with run.context.checkpoint.section("cutting", pruner.state_dict):
        train_on(run, name, schedule, run.context.learning_rate, on_advance, cuts=cuts, cut=pruner.to)
    return pruner.targets


def reconstructs(step: Prune, later: Sequence[Step]) -> bool:
    """Whether to reconstruct after the cut: if requested; by default if no training follows."""
    return step.reconstruct or (step.reconstruct is None and not step.trains and not any(map(trains, later)))


def _cut_and_reconstruct(run: Run, step: Prune, pruner: Pruner, on_advance: Any) -> dict[str, float]:
    dense = copy_of(run.model)
    began, targets = time.monotonic(), pruner.plan()
    samples = run.samples(step.reconstruct_samples)
    solved = reconstruct(
        run.model,
        dense,
        run.masks,
        targets,
        samples,
        keep=pruner.keep,
        score=None if step.criterion == "magnitude" else pruner.score_layer(),
        zero_bias=step.structure == "unit",
        on_progress=lambda share: on_advance(Advance(share, (time.monotonic() - began) * (1 - share) / share)),
    )
    layers = ", ".join(solved) or "none"
    run.notes.append(f"Weights reconstructed by least squares on {samples.count:,} unlabelled samples: {layers}.")
    run.notes += [f"Pruned but not reconstructed: {name} ({reason})." for name, reason in unsolvable(run, targets)]
    return targets


def unsolvable(run: Run, names: Iterable[str]) -> list[tuple[str, str]]:
    """The kernels that cannot be reconstructed, each with the reason."""
    layers = {kernel.name: kernel.place.layer for kernel in run.masks.kernels}
    graph = graph_of(run.model)
    reasons = [(name, reason_not_reconstructable(layers[name], graph)) for name in names]
    return [(name, reason) for name, reason in reasons if reason is not None]


def _note_risks(run: Run, targets: dict[str, float]) -> None:
    """Note what may explain a loss of accuracy: frozen layers, and layers with too few weights."""
    frozen = [name for name in targets if not run.masks.is_trainable(name)]
    if frozen:
        run.notes.append(f"Pruned although frozen; training does not adapt these layers: {', '.join(frozen)}.")
    starved = [name for name in targets if run.masks.mask(name).sum() < run.masks.mask(name).shape[-1]]
    if starved:
        run.notes.append(
            f"Fewer weights than units are left in {', '.join(starved)}. Set a lower sparsity for them in layers."
        )
