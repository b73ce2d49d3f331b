"""The report of a sensitivity job: the curves that it measured, layer by layer."""

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, model_validator

from secateur.frozen import Frozen
from secateur.reports.report import Host, Provenance
from secateur.specs.metrics import Metric
from secateur.specs.sensitivity import SensitivityRecipe


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
    provenance: Provenance | None = Field(default=None, description="None in reports of before this was stored.")
    model_name: str
    metric_label: str = Field(description="What the metric is called in words.")
    spec: SensitivityRecipe
    curves: Curves
    layers: tuple[MeasuredLayer, ...]
    verdicts: tuple[str, ...] = Field(description="What the numbers mean, in plain words.")
    notes: tuple[str, ...] = ()
    host: Host
    seconds: Mapping[str, float] = Field(description="Wall time by step.")
