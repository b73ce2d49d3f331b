"""How much does each layer take? The spec of that measurement, the curves that it gives, and its report."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from jobspec.frozen import Frozen
from jobspec.metrics import Metric
from jobspec.pruning import THRESHOLDS, Criterion, LayerName, OneShot, Prune, Sensitivity, Size, Sparsity
from jobspec.report import Host
from jobspec.spec import Order, Recipe, Setup

GRID = Sensitivity()


class SensitivityRecipe(Setup):
    """Cut every layer alone to each sparsity of a grid, and measure. Nothing of the model is changed for good."""

    structure: Literal["weight", "unit", "block"] = Field(
        default="weight",
        description="What goes at once: single weights; units (columns of Dense, filters of Conv); blocks of "
        "block_shape in Dense kernels.",
    )
    block_shape: tuple[Size, Size] = Field(
        default=(1, 4), description="For structure block: units x inputs, as LiteRT stores Dense kernels."
    )
    criterion: Criterion = "magnitude"
    sparsities: Annotated[tuple[Sparsity, ...], Field(min_length=2, max_length=32)] = Field(
        default=GRID.sparsities, description="The grid, rising."
    )
    samples: int = Field(
        default=GRID.samples, ge=20, le=100_000, description="Held-out samples that each cut is measured on."
    )
    skip_layers: tuple[LayerName, ...] = Field(default=(), description="Layers not to measure, by Keras name.")

    @field_validator("criterion")
    @classmethod
    def _can_be_asked(cls, criterion: Criterion) -> Criterion:
        if criterion in THRESHOLDS:
            raise ValueError(f"criterion {criterion} decides itself how much goes; a grid needs one that only ranks")
        return criterion

    @model_validator(mode="after")
    def _agree(self) -> Self:
        try:
            _ = self.prune
        except ValidationError as fault:
            raise ValueError(str(fault.errors()[0]["ctx"]["error"])) from fault
        return self

    @property
    def prune(self) -> Prune:
        """The deepest of the cuts as a prune step: the same choices, checked by the same rules."""
        return Prune(
            structure=self.structure,
            block_shape=self.block_shape,
            criterion=self.criterion,
            sensitivity=Sensitivity(sparsities=self.sparsities, samples=self.samples),
            sparsity=self.sparsities[-1],
            schedule=OneShot(),
            skip_layers=self.skip_layers,
            reconstruct=False,
        )

    def as_recipe(self) -> Recipe:
        """What the engine loads for it: the same data, objective and seed, and the one prune step."""
        return Recipe(steps=(self.prune,), **{name: getattr(self, name) for name in Setup.model_fields})


class SensitivitySpec(Order, SensitivityRecipe):
    """A job of kind ``sensitivity``: one model, one data set, one grid."""

    kind: Literal["sensitivity"]

    def recipe(self) -> SensitivityRecipe:
        """This spec without what only the service needs."""
        return SensitivityRecipe.model_validate(self.model_dump(include=set(SensitivityRecipe.model_fields)))


class Curves(Frozen):
    """What was measured: the file ``sensitivity.json``, which a later job on the same model and data takes up."""

    schema_version: Literal[1] = 1
    key: str = Field(description="Digest of all that the numbers depend on. Equal keys: the same measurement.")
    metric: Metric
    higher_is_better: bool
    num_samples: int = Field(description="Held-out samples that every score is of.")
    dense: float = Field(description="The score before any cut.")
    sparsities: tuple[float, ...]
    layers: Mapping[str, tuple[float, ...]] = Field(
        description="Per layer, the score with it alone cut to each of the sparsities."
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if any(len(scores) != len(self.sparsities) for scores in self.layers.values()):
            raise ValueError("every layer needs a score for each of the sparsities")
        return self

    def loss(self, name: str) -> tuple[float, ...]:
        """What each cut of a layer costs, in the metric's unit; below zero where it helps.

        >>> Curves(key="", metric="accuracy", higher_is_better=True, num_samples=8, dense=0.75,
        ...        sparsities=(0.5, 0.9), layers={"a": (0.75, 0.25)}).loss("a")
        (0.0, 0.5)
        """
        sign = 1.0 if self.higher_is_better else -1.0
        return tuple(sign * (self.dense - score) for score in self.layers[name])

    @property
    def tolerance(self) -> float:
        """How much loss counts as none: a point of a share, a tenth of an error."""
        return 0.01 if self.higher_is_better else 0.1 * abs(self.dense)

    def keeps(self, name: str) -> float | None:
        """The highest sparsity of the grid that costs a layer no more than the tolerance; None when all cost more."""
        kept = [s for s, lost in zip(self.sparsities, self.loss(name), strict=True) if lost <= self.tolerance + 1e-9]
        return max(kept, default=None)

    def by_sensitivity(self) -> tuple[str, ...]:
        """The layers, the most sensitive first: by their loss summed over the grid."""
        return tuple(sorted(self.layers, key=lambda name: (-sum(self.loss(name)), name)))


class MeasuredLayer(Frozen):
    """One layer of the model; ``scores`` are empty for one that was left alone."""

    name: str
    class_name: str
    kernel_shape: tuple[int, ...] | None
    num_weights: int
    scores: tuple[float, ...] = ()
    keeps: float | None = Field(
        default=None,
        description="The highest sparsity of the grid at which this layer alone costs at most a point of a share, or "
        "a tenth of an error.",
    )
    reason: str | None = Field(default=None, description="Why the layer was left alone.")


class SensitivityReport(Frozen):
    """What a sensitivity job found out."""

    schema_version: Literal[1] = 1
    kind: Literal["sensitivity"] = "sensitivity"
    model_name: str
    metric_label: str = Field(description="What the metric is called in words.")
    spec: SensitivityRecipe
    curves: Curves
    layers: tuple[MeasuredLayer, ...]
    verdicts: tuple[str, ...] = Field(description="What the numbers mean, in plain words.")
    notes: tuple[str, ...] = ()
    host: Host
    seconds: Mapping[str, float] = Field(description="Wall time by step.")
