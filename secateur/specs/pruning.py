"""The prune step: what can be cut, how it is chosen, how much of each layer, and when.

Four axes that know nothing of each other (structure, criterion, distribution, schedule), and the repair. What
cannot go together is refused here, before anybody looks at a model.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from secateur.frozen import Frozen, Tagged
from secateur.specs.training import Trained, never_stops

Sparsity = Annotated[float, Field(gt=0.0, lt=1.0, description="Share of the weights that become zero.")]
LayerName = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Size = Annotated[int, Field(ge=1, le=4096)]

Toolkit = Literal["native", "tfmot"]
Structure = Literal["weight", "unit", "block", "n_m"]
Criterion = Literal[
    "magnitude",
    "threshold",
    "std_threshold",
    "l1_norm",
    "l2_norm",
    "taylor",
    "snip",
    "wanda",
    "bn_scale",
    "fpgm",
    "random",
]
Distribution = Literal["uniform", "global", "erk", "lamp", "sensitivity"]

UNIT_CRITERIA: Final[frozenset[Criterion]] = frozenset({"l1_norm", "l2_norm", "bn_scale", "fpgm"})
"""Criteria that score whole units, never single weights."""

THRESHOLDS: Final[Mapping[Criterion, str]] = {"threshold": "threshold", "std_threshold": "quality"}
"""Criteria that decide themselves how much goes, and the field that says where they draw the line."""


class OneShot(Tagged):
    """Cut once, to the full sparsity, without training."""

    kind: Literal["one_shot"] = "one_shot"


class _Trained(Trained):
    learning_rate: float | None = Field(
        default=None,
        gt=0.0,
        description="Default: that of the model's own optimizer, when it is the one that trains; else what is usual.",
    )
    recoverable: bool = Field(
        default=False,
        description="Whether a weight that this step has cut may come back, with the value that it had, when it ranks "
        "higher at a later cut of the step. What earlier steps have cut stays cut.",
    )


class Constant(_Trained):
    """Cut to the full sparsity at the first step, then train."""

    kind: Literal["constant"] = "constant"
    epochs: int = Field(default=4, ge=1, le=1000, description="Epochs to train after the cut.")


class Polynomial(_Trained):
    """Cut little by little while training: cubic ramp of Zhu & Gupta 2017 (arXiv:1710.01878)."""

    kind: Literal["polynomial"] = "polynomial"
    epochs: int = Field(default=4, ge=1, le=1000, description="Epochs to train while cutting.")
    initial_sparsity: float = Field(default=0.0, ge=0.0, lt=1.0, description="Sparsity of the first cut.")
    ramp: float = Field(
        default=0.7, gt=0.0, le=1.0, description="Share of the training steps by which the full sparsity is reached."
    )


class Iterative(_Trained):
    """Cut and retrain in turn, each time the same share of what is left (Han et al. 2015, arXiv:1506.02626)."""

    kind: Literal["iterative"] = "iterative"
    cycles: int = Field(default=4, ge=1, le=100, description="How often to cut and retrain.")
    epochs_per_cycle: int = Field(default=1, ge=1, le=1000, description="Epochs to retrain after each cut.")

    @property
    def epochs(self) -> int:
        """Epochs of all cycles together."""
        return self.cycles * self.epochs_per_cycle


TrainedSchedule = Constant | Polynomial | Iterative
Schedule = Annotated[OneShot | TrainedSchedule, Field(discriminator="kind")]


def named_twice(layers: Iterable[str], skip_layers: Iterable[str]) -> Iterator[str]:
    """What is wrong when layers are both to be cut and to be left alone."""
    if both := sorted(set(layers) & set(skip_layers)):
        yield f"layers {both} stand in both layers and skip_layers: name each in one of them"


def starts_too_high(schedule: OneShot | TrainedSchedule, amount: tuple[str, float]) -> Iterator[str]:
    """What is wrong with a ramp that begins where it should end, or above."""
    name, final = amount
    if isinstance(schedule, Polynomial) and schedule.initial_sparsity >= final:
        yield f"schedule.initial_sparsity must lie below {name}"


def trains_too_long(schedule: OneShot | TrainedSchedule) -> Iterator[str]:
    """What is wrong with how long a schedule trains."""
    if not isinstance(schedule, OneShot):
        yield from (f"schedule.{problem}" for problem in never_stops(schedule.patience, schedule.epochs))


class Sensitivity(Frozen):
    """How each layer's sensitivity is measured: it alone is cut, to every sparsity of a grid."""

    sparsities: Annotated[tuple[Sparsity, ...], Field(min_length=2, max_length=32)] = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
    samples: int = Field(default=1000, ge=20, le=100_000, description="Held-out samples that each cut is measured on.")

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if list(self.sparsities) != sorted(set(self.sparsities)):
            raise ValueError("sparsities must rise")
        return self


class Prune(Tagged):
    """Set the least important weights to zero. Output layers are left alone."""

    kind: Literal["prune"] = "prune"
    toolkit: Toolkit = Field(
        default="native", description="tfmot: the gradual pruning of tensorflow-model-optimization, on a tf_keras twin."
    )
    structure: Structure = Field(
        default="weight",
        description="What goes at once: single weights; units (columns of Dense, filters of Conv, shapes kept); blocks "
        "of block_shape in Dense kernels; all but n of m weights along the input features (n_m).",
    )
    block_shape: tuple[Size, Size] = Field(
        default=(1, 4), description="For structure block: units x inputs, as LiteRT stores Dense kernels."
    )
    n_m: tuple[Size, Size] = Field(default=(2, 4), description="For structure n_m: how many stay, of how many.")
    criterion: Criterion = "magnitude"
    threshold: float | None = Field(default=None, gt=0.0, description="For criterion threshold: smaller weights go.")
    quality: float | None = Field(
        default=None,
        gt=0.0,
        description="For criterion std_threshold: the threshold in standard deviations of the layer.",
    )
    distribution: Distribution = Field(
        default="uniform",
        description="uniform: every layer to the same sparsity; global: all layers ranked together; erk: wide layers "
        "more; lamp: ranked by what each layer would lose; sensitivity: by measured loss of accuracy.",
    )
    sensitivity: Sensitivity = Field(default_factory=Sensitivity, description="For distribution sensitivity.")
    sparsity: Sparsity | None = Field(
        default=None, description="Share of the weights that become zero. Thresholds and n_m imply it."
    )
    schedule: Schedule = Field(default_factory=Polynomial)
    layers: Mapping[LayerName, Annotated[float, Field(ge=0.0, lt=1.0)]] = Field(
        default_factory=dict, description="Sparsity of single layers, by Keras name; 0 leaves a layer alone."
    )
    skip_layers: tuple[LayerName, ...] = Field(default=(), description="Layers to leave alone, by Keras name.")
    reconstruct: bool | None = Field(
        default=None,
        description="Solve cut layers again by least squares on unlabelled training inputs, so that they compute what "
        "they did before. Goes with one_shot. Default: when no later step trains.",
    )
    reconstruct_samples: int = Field(default=4096, ge=1, le=1_000_000, description="Inputs to solve on.")

    @model_validator(mode="after")
    def _agree(self) -> Self:
        for problem in (*self._amounts(), *self._choices(), *self._timing(), *self._tfmot()):
            raise ValueError(problem)
        return self

    def _amounts(self) -> Iterator[str]:
        yield from named_twice(self.layers, self.skip_layers)
        for criterion, field in THRESHOLDS.items():
            given = getattr(self, field) is not None
            if given != (self.criterion == criterion):
                yield f"{field} goes with criterion {criterion}" if given else f"criterion {criterion} needs {field}"
        implied = "n_m" if self.structure == "n_m" else self.criterion if self.criterion in THRESHOLDS else None
        if implied is None and self.sparsity is None:
            yield "sparsity is needed: the share of the weights that become zero"
        if implied is not None and self.sparsity is not None:
            yield f"leave out sparsity: {implied} decides how much goes"
        if implied is not None and self.distribution != "uniform":
            yield f"leave out distribution: {implied} decides how much of each layer goes"

    def _choices(self) -> Iterator[str]:
        for field, structure in (("block_shape", "block"), ("n_m", "n_m")):
            if field in self.model_fields_set and self.structure != structure and not self._is_default(field):
                yield f"{field} goes with structure {structure}"
        if self.structure == "n_m" and not self.n_m[0] < self.n_m[1]:
            yield "n_m must keep fewer weights than there are: [2, 4] keeps 2 of 4"
        if self.structure == "n_m" and any(self.layers.values()):
            yield "with structure n_m every layer has the same pattern: give layers only the sparsity 0"
        if self.structure == "n_m" and self.criterion in THRESHOLDS:
            yield f"criterion {self.criterion} and structure n_m both decide how much goes: choose one"
        if self.criterion in UNIT_CRITERIA and self.structure != "unit":
            yield f"criterion {self.criterion} scores whole units: set structure to unit"
        if self.criterion in THRESHOLDS and self.structure != "weight":
            yield f"criterion {self.criterion} compares single weights: set structure to weight"

    def _timing(self) -> Iterator[str]:
        yield from starts_too_high(self.schedule, ("sparsity", self.final_sparsity or 1.0))
        yield from trains_too_long(self.schedule)
        if isinstance(self.schedule, Polynomial) and self.schedule.initial_sparsity and self.criterion in THRESHOLDS:
            yield f"leave out schedule.initial_sparsity: criterion {self.criterion} decides how much goes"
        if self.reconstruct and not isinstance(self.schedule, OneShot):
            yield "reconstruct goes with schedule one_shot: what is cut while training is repaired by training"

    def _tfmot(self) -> Iterator[str]:
        if self.toolkit != "tfmot":
            return
        if self.criterion != "magnitude" or self.distribution != "uniform":
            yield "toolkit tfmot knows criterion magnitude and distribution uniform"
        if self.structure == "unit":
            yield "toolkit tfmot knows the structures weight, block and n_m"
        if not isinstance(self.schedule, Constant | Polynomial) or self.schedule.recoverable:
            yield "toolkit tfmot knows the schedules constant and polynomial, not recoverable"
        elif self.schedule.best_epoch or self.schedule.patience or self.schedule.distill:
            yield "toolkit tfmot trains to the end, on labels: leave out best_epoch, patience and distill"

    def _is_default(self, field: str) -> bool:
        return bool(getattr(self, field) == type(self).model_fields[field].default)

    @property
    def final_sparsity(self) -> float | None:
        """The sparsity that the step asks for; None where thresholds decide, once they see the weights."""
        return 1.0 - self.n_m[0] / self.n_m[1] if self.structure == "n_m" else self.sparsity

    @property
    def trains(self) -> bool:
        """Whether the step trains while it cuts."""
        return not isinstance(self.schedule, OneShot)
