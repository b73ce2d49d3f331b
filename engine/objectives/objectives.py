"""Losses and metrics of a model with several outputs, of which one is evaluated.

Code that measures a model asks an ``AnyObjective`` for the objective of the evaluated output and for its part of the
outputs, so that it works for any number of outputs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np

from engine.arrays import Array
from engine.objectives.compiled import compiled_for, ends_in
from engine.objectives.objective import Objective, resolve
from engine.parts import Outputs, Parts
from secateur.reports.summaries import LabelKind
from secateur.specs import spec
from secateur.specs.metrics import Metric


@dataclass(frozen=True)
class Output:
    """One output of several."""

    name: str
    objective: Objective
    """Without labels only what its outputs amount to is asked of it."""
    weight: float | None
    """How much its loss counts; None without labels."""


@dataclass(frozen=True)
class Objectives:
    """Losses and metrics of a model with several outputs, in the order of the model."""

    outputs: tuple[Output, ...]
    judged: str
    """Name of the output whose metric counts."""

    @property
    def head(self) -> Objective:
        """The objective of the output that is judged."""
        return next(output.objective for output in self.outputs if output.name == self.judged)

    @property
    def all(self) -> tuple[Objective, ...]:
        """Of every output."""
        return tuple(output.objective for output in self.outputs)

    def of(self, values: Outputs) -> Array:
        """Of labels, or of what a model said, the part that is judged."""
        assert isinstance(values, Parts)
        return values.named(self.judged)

    @property
    def metric(self) -> Metric:
        """Of the output that is judged."""
        return self.head.metric

    @property
    def higher_is_better(self) -> bool:
        """Of that metric."""
        return self.head.higher_is_better

    @property
    def loss_name(self) -> str:
        """The losses of all outputs, by name and weight."""
        return ", ".join(
            f"{output.name}: {output.objective.loss_name} x {output.weight:g}"
            for output in self.outputs
            if output.weight is not None
        )

    @property
    def source(self) -> str:
        """Where the losses came from."""
        found = dict.fromkeys(output.objective.source for output in self.outputs if output.weight is not None)
        return "; ".join(found)

    def encode(self, labels: Outputs) -> Parts[Array]:
        """Labels in the forms that the losses take; zeros, which nobody reads, for outputs without labels."""
        assert isinstance(labels, Parts)
        found = [
            np.zeros((len(labels), 1), np.float32)
            if output.weight is None
            else output.objective.encode(labels.named(output.name))
            for output in self.outputs
        ]
        return Parts(tuple(output.name for output in self.outputs), tuple(found))

    def loss(self, labels: Outputs, outputs: Sequence[Any]) -> Any:
        """The weighted sum of the mean losses, of encoded labels and tensors."""
        assert isinstance(labels, Parts)
        return sum(
            output.weight * keras.ops.mean(output.objective.loss(truth, said))
            for output, truth, said in zip(self.outputs, labels.each, outputs, strict=True)
            if output.weight is not None
        )

    def compiling(self) -> dict[str, Any]:
        """What ``compile`` is told: a loss and a weight for each output that has labels."""
        losses = [None if output.weight is None else output.objective.loss for output in self.outputs]
        weights = [1.0 if output.weight is None else output.weight for output in self.outputs]
        return {"loss": losses, "loss_weights": weights}


class AnyObjective(Protocol):
    """What is wanted of a model: an ``Objective`` where it has one output, else ``Objectives``."""

    @property
    def head(self) -> Objective:
        """Of the output that is judged."""

    @property
    def all(self) -> tuple[Objective, ...]:
        """Of every output."""

    @property
    def metric(self) -> Metric:
        """Of the output that is judged."""

    @property
    def higher_is_better(self) -> bool:
        """Of that metric."""

    @property
    def loss_name(self) -> str:
        """What is minimised."""

    @property
    def source(self) -> str:
        """Where that came from, in words for the report."""

    @property
    def loss(self) -> Callable[[Any, Any], Any]:
        """Of encoded labels and tensors."""

    def of(self, values: Outputs) -> Array:
        """Of labels, or of what a model said, the part that is judged."""

    def encode(self, labels: Any) -> Any:
        """Labels in the form that the loss takes."""


def judged_name(aim: AnyObjective) -> str:
    """Of the output that is judged; empty where there is one."""
    return aim.judged if isinstance(aim, Objectives) else ""


def objective_of(
    model: Any,
    names: Sequence[str],
    kinds: Mapping[str, LabelKind],
    wanted: spec.Objective,
    labels: Outputs | None = None,
) -> AnyObjective:
    """What is wanted of a model.

    Args:
        names: of the model's outputs, in its order.
        model: the model.
        kinds: of the labels, by output; of the single output of a model under any name.
        wanted: what the spec asks for.
        labels: some labels as stored, from which outputs with positions learn their task.

    Raises:
        ObjectiveUnknown, LabelsMismatch: see ``resolve``.
    """
    if len(names) == 1:
        (kind,) = kinds.values()
        return resolve(model, kind, wanted.of(names[0], judged=True), labels=_of_output(labels, names[0]))
    judged = wanted.judged or next(name for name in names if name in kinds)
    found = []
    for place, name in enumerate(names):
        if name not in kinds:
            found.append(Output(name, _unlabelled(model, place), None))
            continue
        own = wanted.of(name, judged=name == judged)
        field = f"objective.outputs.{name}"
        objective = resolve(model, kinds[name], own, place=place, field=field, labels=_of_output(labels, name))
        weight = own.weight if isinstance(own, spec.OutputObjective) else None
        if weight is None:
            weight = compiled_for(model, "loss_weights", place)
        found.append(Output(name, objective, 1.0 if weight is None else float(weight)))
    return Objectives(tuple(found), judged)


def _of_output(labels: Outputs | None, name: str) -> Array | None:
    return labels.named(name) if isinstance(labels, Parts) else labels


def _unlabelled(model: Any, place: int) -> Objective:
    """Of an output that is neither trained nor judged: only whether it says the same as before can be told."""
    activation, shape = ends_in(model, place), model.outputs[place].shape
    told = {"softmax": "multiclass", "sigmoid": "multi_label"}.get(activation, "regression")
    task = told if len(shape) == 2 else "regression"
    metric: Metric = "accuracy" if task == "multiclass" else "f1" if task == "multi_label" else "mean_absolute_error"
    loss = keras.losses.MeanSquaredError()
    return Objective(task, "mean_squared_error", loss, metric, False, shape[-1] or 0, "no labels")  # type: ignore[arg-type]
