"""TFMOT's own gradual pruning, on a tf_keras twin: its wrappers, schedules and callback, at planned steps.

TFMOT changes masks at every ``frequency``-th training step. Unless the last change falls on the end of the ramp, it
prunes less than the target, and nothing in a short training; so begin, end and frequency are planned here. A layer that
TFMOT refuses stays dense and is named in a note. Constraints hold the zeros of earlier steps.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import keras
import numpy as np

from engine.arrays import Array, Mask
from engine.bridge.twin import NATIVE, Twin, bring_back, twin
from engine.models.prunable import SEPARABLE, prunable_kernels
from engine.pruning.mask import keep_largest
from engine.pruning.schedule import MAX_UPDATES
from engine.run.context import Run
from engine.tfmot.twin_training import optimizer_twin, train_twin
from engine.training.config import TrainingConfig
from engine.training.context import TrainingContext, num_steps
from engine.training.progress import Advance
from engine.training.train import check_finite, make_optimizer
from secateur.errors import FieldError, LayerNotPrunable, NothingToPrune, Unavailable
from secateur.specs.pruning import Constant, Polynomial, Prune
from secateur.specs.training import Optimizer

INSTALL: Final = "pip install --no-deps --requirement no-deps.txt"


@dataclass(frozen=True)
class Window:
    """The training steps at which TFMOT changes masks: begin, begin + frequency, ..., end. Steps count from 1."""

    begin: int
    end: int
    frequency: int


def window(end: int, *, calls: int = 1) -> Window:
    """At most ``MAX_UPDATES`` evenly spaced changes, the last one at step ``end``.

    Args:
        calls: how often the model calls the layer; TFMOT counts each call as a step.

    >>> window(45), window(7), window(45, calls=2)
    (Window(begin=1, end=45, frequency=2), Window(begin=1, end=7, frequency=1), Window(begin=2, end=90, frequency=4))
    """
    frequency = -(-end // MAX_UPDATES)
    updates = -(-end // frequency)
    return Window((end - (updates - 1) * frequency) * calls, end * calls, frequency * calls)


def check(model: Any, step: Prune, *, optimizer: Optimizer | None = None, field: str = "layers") -> None:
    """Refuse a step that TFMOT cannot run on this model, before any training.

    Args:
        optimizer: ``training.optimizer`` of the recipe.
        field: the path of the step's ``layers`` in the request.

    Raises:
        BridgeRefused: the model has no tf_keras twin.
        LayerNotPrunable: the step names a layer that TFMOT refuses.
        NothingToPrune: TFMOT refuses every layer.
        Unavailable: TFMOT is not installed.
    """
    optimizer_twin(make_optimizer(model, optimizer, 1e-3))
    plan(model, step, field=field)


def plan(model: Any, step: Prune, *, field: str = "layers") -> tuple[dict[str, float], dict[str, str]]:
    """The sparsity of each layer that TFMOT prunes in a step, and the reasons why it leaves others dense.

    Raises:
        RequestError: see ``check``.
    """
    _toolkit()
    wanted = _wanted(step, [kernel.name for kernel in prunable_kernels(model)])
    dense = _left_dense(model, step, wanted)
    named = {name: why for name, why in dense.items() if name in step.layers}
    if named:
        raise LayerNotPrunable(
            f"TFMOT cannot prune {'; '.join(f'{name!r}: {why}' for name, why in named.items())}.",
            errors=[FieldError(field=field, messages=tuple(f"{name!r}: {why}" for name, why in named.items()))],
            suggestions=[f"Remove {', '.join(map(repr, named))} from layers.", NATIVE],
        )
    targets = {name: sparsity for name, sparsity in wanted.items() if name not in dense}
    if not targets:
        reasons = "; ".join(f"{name}: {why}" for name, why in dense.items())
        raise NothingToPrune(f"TFMOT cannot prune any layer of {model.name!r}. {reasons}".strip(), suggestions=[NATIVE])
    return targets, dense


def prune(run: Run, step: Prune, name: str, on_advance: Callable[[Advance], None]) -> dict[str, float]:
    """Train the model's twin with TFMOT's wrappers, then copy the weights and masks back to the model.

    Returns:
        The target sparsity of each pruned kernel.

    Raises:
        RequestError: see ``check``.
        TrainingDiverged: the loss became NaN or infinite.
    """
    schedule, size = step.schedule, run.context.recipe.training.batch_size
    assert isinstance(schedule, Constant | Polynomial), "the spec allows no other schedule"
    targets, dense = plan(run.model, step)
    total = num_steps(run.context.data, batch_size=size, epochs=schedule.epochs)
    pruned = twin(run.model, wrap=_wrapper(run, step, targets, total))
    config = TrainingConfig.of(schedule, run.context.learning_rate)
    run.notes.append(f"{name}: TFMOT on a tf_keras twin, {config}.")
    if dense:
        run.notes.append(f"Not pruned by TFMOT: {'; '.join(f'{layer} ({why})' for layer, why in dense.items())}.")
    context = TrainingContext(
        step_name=name,
        model=pruned.model,
        data=run.context.data,
        feed=run.context.feed,
        objective=run.context.objective.head,
        masks=run.masks,
        config=config,
        training=run.context.recipe.training,
        optimizer=make_optimizer(run.model, run.context.recipe.training.optimizer, config.learning_rate),
        seed=run.context.recipe.seed,
        on_advance=on_advance,
    )
    run.history += train_twin(
        context,
        callbacks=[_toolkit().UpdatePruningStep()],
        sparsity=lambda: _sparsity(pruned, run.masks.names),
    )
    bring_back(pruned, run.model)
    run.masks.restore_zeros()
    check_finite(run.model, name)
    for layer in run.masks.names:
        kernel = _kernel(pruned.layers[layer])
        if layer in targets and step.structure == "weight":  # TFMOT keeps every weight equal to its threshold
            kernel = kernel * keep_largest(np.abs(kernel), targets[layer], within=kernel != 0)
        run.masks.set(layer, kernel)
    return targets


def training_calls(model: Any) -> Counter[int]:
    """How often one training step calls each layer in training mode, by the id of the layer.

    A nested model that is called with ``training=False`` passes this on to its layers.
    """
    found: Counter[int] = Counter()
    graph = getattr(model, "_functional", None) or model
    for nodes in graph._nodes_by_depth.values():
        for node in nodes:
            if node.is_input or node.arguments.kwargs.get("training") is False:
                continue
            if isinstance(node.operation, keras.Model):
                found += training_calls(node.operation)
            else:
                found[id(node.operation)] += 1
    return found


def _toolkit() -> Any:
    """TFMOT's pruning module. Its import sets an environment variable that selects Keras 2; this restores it."""
    before = os.environ.get("TF_USE_LEGACY_KERAS")
    try:
        import tensorflow_model_optimization
    except ImportError as fault:
        raise Unavailable(
            "TFMOT is not installed on this machine.", suggestions=[f"Install it on the worker: {INSTALL}", NATIVE]
        ) from fault
    finally:
        os.environ.pop("TF_USE_LEGACY_KERAS", None)
        if before is not None:
            os.environ["TF_USE_LEGACY_KERAS"] = before
    return tensorflow_model_optimization.sparsity.keras


def _wanted(step: Prune, names: Iterable[str]) -> dict[str, float]:
    everywhere = step.final_sparsity or 0.0
    wanted = {name: step.layers.get(name, everywhere) for name in names if name not in step.skip_layers}
    return {name: sparsity for name, sparsity in wanted.items() if sparsity > 0}


def _left_dense(model: Any, step: Prune, wanted: Mapping[str, float]) -> dict[str, str]:
    """The layers of the step that TFMOT leaves dense, with the reasons."""
    made, calls = twin(model), training_calls(model)
    return {
        kernel.name: why
        for kernel in prunable_kernels(model)
        if kernel.name in wanted and (why := _why_dense(made.layers[kernel.name], step, calls[id(kernel.place.layer)]))
    }


def _why_dense(layer: Any, step: Prune, calls: int) -> str | None:
    """Why TFMOT cannot prune a tf_keras layer as the step asks; None if it can."""
    kind = type(layer).__name__
    if not calls:
        return "it is only called with training=False, where TFMOT changes no mask"
    try:
        _toolkit().prune_low_magnitude(layer)
    except ValueError:
        return f"TFMOT does not know {kind} layers"
    shape = _kernel(layer).shape
    if step.structure == "block":
        if len(shape) != 2:
            return "blocks are for kernels of rank 2"
        if any(size % block or size == block for size, block in zip(reversed(shape), step.block_shape, strict=True)):
            return f"{step.block_shape[0]}x{step.block_shape[1]} blocks do not divide its {shape[1]}x{shape[0]} weights"
    if step.structure == "n_m":
        if len(shape) not in (2, 4) or "Transpose" in kind:
            return f"TFMOT has no n_m for {kind} layers along their inputs"
        if shape[-2] % step.n_m[1]:
            return f"its {shape[-2]} input features are no multiple of {step.n_m[1]}"
    return None


def _wrapper(run: Run, step: Prune, targets: Mapping[str, float], total: int) -> Callable[[Any, Any], Any]:
    """Returns a function that constrains layers to the zeros they have, and wraps those that TFMOT prunes."""
    toolkit, calls = _toolkit(), training_calls(run.model)
    kernels = {id(kernel.place.layer): kernel for kernel in run.masks.kernels}
    pattern: dict[str, Any] = {}
    if step.structure == "block":  # the spec has (units, inputs), a Dense kernel of Keras is (inputs, units)
        pattern["block_size"] = tuple(reversed(step.block_shape))
    if step.structure == "n_m":  # the spec says how many weights stay, TFMOT how many are removed
        pattern["sparsity_m_by_n"] = (step.n_m[1] - step.n_m[0], step.n_m[1])

    def wrap(layer: Any, made: Any) -> Any:
        kernel = kernels.get(id(layer))
        if kernel is None:
            return made
        attribute = "pointwise_constraint" if isinstance(layer, SEPARABLE) else "kernel_constraint"
        _hold(made, attribute, run.masks.mask(kernel.name))
        if kernel.bias is not None:  # removed units have neither weights nor a bias
            alive = kernel.alive(run.masks.mask(kernel.name))
            _hold(made, "bias_constraint", alive | (keras.ops.convert_to_numpy(kernel.bias) != 0))
        if kernel.name not in targets:
            return made
        schedule = _schedule(step.schedule, targets[kernel.name], total, calls[id(layer)])
        return toolkit.prune_low_magnitude(made, pruning_schedule=schedule, **pattern)

    return wrap


def _hold(made: Any, attribute: str, kept: Mask) -> None:
    """Constrain an unbuilt tf_keras layer to the zeros of a mask, in addition to its own constraint."""
    if not kept.all():
        own, mask = getattr(made, attribute), kept.astype(np.float32)
        setattr(made, attribute, lambda weights: (weights if own is None else own(weights)) * mask)


def _schedule(schedule: Any, sparsity: float, total: int, calls: int) -> Any:
    toolkit = _toolkit()
    if isinstance(schedule, Polynomial):
        ramp = window(max(1, round(schedule.ramp * total)), calls=calls)
        if ramp.begin < ramp.end:  # a ramp of one step is a single cut, for which TFMOT would divide by zero
            start = min(schedule.initial_sparsity, sparsity)
            return toolkit.PolynomialDecay(start, sparsity, ramp.begin, ramp.end, frequency=ramp.frequency)
    once = window(1, calls=calls)
    return toolkit.ConstantSparsity(sparsity, once.begin, once.end, once.frequency)


def _kernel(layer: Any) -> Array:
    variable = layer.pointwise_kernel if hasattr(layer, "pointwise_kernel") else layer.kernel
    return np.asarray(variable.numpy())


def _sparsity(pruned: Twin, names: Iterable[str]) -> float:
    kernels = [_kernel(pruned.layers[name]) for name in names]
    return 1.0 - sum(map(np.count_nonzero, kernels)) / sum(kernel.size for kernel in kernels)
