"""How much can be cut? The spec that asks it of many recipes at once, its trials, and the report that answers."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise, product
from typing import Annotated, Any, Final, Literal, NamedTuple, Self

from pydantic import Field, StringConstraints, ValidationError, field_validator, model_validator

from jobspec.channels import AMOUNTS, PruneChannels, Share
from jobspec.errors import Failure
from jobspec.frozen import Frozen
from jobspec.ids import JobId
from jobspec.pruning import THRESHOLDS, Prune
from jobspec.report import Host, Variant
from jobspec.spec import CompressSpec, Order, Recipe, Setup, Step
from jobspec.states import JobState
from jobspec.training import Training

MAX_TRIALS: Final = 200
RANDOM: Final = ", random"
"""Ends the name of the method that is its baseline: the same steps with random places."""

MethodName = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f]+$")]
Method = Annotated[tuple[Step, ...], Field(min_length=1, max_length=32)]

DEFAULT: Final = {"weights": [{"kind": "prune", "schedule": {"kind": "one_shot"}}]}


class Trial(NamedTuple):
    """One point of a sweep: which method, how much goes, with which seed."""

    method: str
    sparsity: float
    seed: int


class SweepRecipe(Setup):
    """Run recipes again and again, with another amount each time."""

    methods: Annotated[Mapping[MethodName, Method], Field(min_length=1, max_length=16)] = Field(
        default_factory=lambda: dict(DEFAULT),
        validate_default=True,
        description="Steps by a name of yours. One prune step each; the amount that it names (sparsity, params, macs, "
        "latency; sparsity if none) takes every value of sparsities. Default: single weights, cut at once, repaired.",
    )
    sparsities: Annotated[tuple[Share, ...], Field(min_length=1, max_length=32)] = Field(
        default=(0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97, 0.99), description="How much goes, rising."
    )
    seeds: int = Field(default=1, ge=1, le=20, description="How often, with seed, seed + 1, ...")
    random_baseline: bool = Field(
        default=False, description="Also run every method with random places, to see what the criterion is worth."
    )
    training: Training = Field(default_factory=Training)

    @model_validator(mode="before")
    @classmethod
    def _fill_in_amounts(cls, given: Any) -> Any:
        """A prune step needs an amount to be one; which is no matter here."""
        if not isinstance(given, Mapping):
            return given
        methods = given.get("methods", DEFAULT)
        if not isinstance(methods, Mapping):
            return given
        grid = given.get("sparsities")
        amount = grid[-1] if isinstance(grid, list | tuple) and grid else 0.99
        filled = {
            name: cls.with_amounts(steps, amount) if isinstance(steps, list | tuple) else steps
            for name, steps in methods.items()
        }
        return {**given, "methods": filled}

    @staticmethod
    def with_amounts(steps: Sequence[Any], amount: Any) -> list[Any]:
        """Steps as a user wrote them, with an amount in prune steps that name none."""
        return [_with_amount(step, amount) for step in steps]

    @field_validator("sparsities")
    @classmethod
    def _rising(cls, sparsities: tuple[float, ...]) -> tuple[float, ...]:
        if any(later <= earlier for earlier, later in pairwise(sparsities)):
            raise ValueError("sparsities must rise")
        return sparsities

    @field_validator("methods")
    @classmethod
    def one_cut_each(cls, methods: Mapping[str, tuple[Step, ...]]) -> Mapping[str, tuple[Step, ...]]:
        """Raise ``ValueError`` unless each method has one prune step that can be told how much goes."""
        for name, steps in methods.items():
            cuts = [step for step in steps if isinstance(step, Prune | PruneChannels)]
            if len(cuts) != 1:
                raise ValueError(f"{name}: a method has exactly one prune step, this one has {len(cuts)}")
            if isinstance(cuts[0], Prune) and (cuts[0].criterion in THRESHOLDS or cuts[0].structure == "n_m"):
                raise ValueError(f"{name}: thresholds and n_m decide themselves how much goes, which is asked for here")
            if name.endswith(RANDOM):
                raise ValueError(f"{name}: names that end in {RANDOM!r} are those of random baselines")
        return methods

    @model_validator(mode="after")
    def _every_trial_is_a_recipe(self) -> Self:
        count = len(self.names) * len(self.sparsities) * self.seeds
        if count > MAX_TRIALS:
            raise ValueError(f"{count} trials are more than {MAX_TRIALS}: leave out sparsities, methods or seeds")
        if self.seed + self.seeds > 2**31:
            raise ValueError(f"seed {self.seed} and the {self.seeds - 1} after it must lie below {2**31}")
        for name, sparsity in product(self.names, self.sparsities):
            try:
                self.recipe_of(Trial(name, sparsity, self.seed))
            except ValidationError as fault:
                raise ValueError(f"{name} at {sparsity:g}: {fault.errors()[0]['msg']}") from fault
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The methods, each with its random baseline behind it when that is wanted."""
        return tuple(
            each for name in self.methods for each in ((name, name + RANDOM) if self.random_baseline else (name,))
        )

    def trials(self) -> tuple[Trial, ...]:
        """Every point, in an order in which the first ones already show the shape of the curves."""
        seeds = range(self.seed, self.seed + self.seeds)
        return tuple(Trial(name, share, seed) for seed, share, name in product(seeds, self.sparsities, self.names))

    def recipe_of(self, trial: Trial) -> Recipe:
        """What one trial runs."""
        steps = self.methods[trial.method.removesuffix(RANDOM)]
        setup = {name: getattr(self, name) for name in Setup.model_fields} | {"seed": trial.seed}
        return Recipe(steps=tuple(_cut(step, trial) for step in steps), training=self.training, **setup)


def _with_amount(step: Any, amount: Any) -> Any:
    if not isinstance(step, Mapping) or step.get("kind") != "prune" or any(step.get(name) for name in AMOUNTS):
        return step
    criterion = step.get("criterion")
    if (isinstance(criterion, str) and criterion in THRESHOLDS) or step.get("structure") == "n_m":
        return step  # refused later, with the reason
    return {**step, "sparsity": amount}


def _cut(step: Step, trial: Trial) -> Step:
    """The step with the trial's amount; of a random baseline with its criterion too."""
    if not isinstance(step, Prune | PruneChannels):
        return step
    amount = step.amount[0] if isinstance(step, PruneChannels) else "sparsity"
    criterion = "random" if trial.method.endswith(RANDOM) else step.criterion
    return type(step).model_validate(step.model_dump() | {amount: trial.sparsity, "criterion": criterion})


class SweepSpec(Order, SweepRecipe):
    """A job of kind ``sweep``: one model, one data set, and as many compress jobs as there are trials."""

    kind: Literal["sweep"]

    def recipe(self) -> SweepRecipe:
        """This spec without what only the service needs."""
        return SweepRecipe.model_validate(self.model_dump(include=set(SweepRecipe.model_fields)))

    def job_of(self, trial: Trial) -> CompressSpec:
        """The job that one trial is."""
        recipe = self.recipe_of(trial)
        order = {name: getattr(self, name) for name in Order.model_fields}
        return CompressSpec(
            **order, **{name: getattr(recipe, name) for name in Recipe.model_fields if name != "preset"}
        )


class TrialResult(Frozen):
    """What came of one trial. Numbers are those of its own report; none when it failed."""

    method: str
    sparsity: float
    seed: int
    job_id: JobId | None = None
    state: JobState = JobState.SUCCEEDED
    result: Variant | None = None
    baseline_p50_ms: float | None = Field(default=None, description="Of the original, in the same run.")
    failure: Failure | None = None

    @property
    def times_faster(self) -> float | None:
        """By median latency in one run."""
        if self.result is None or self.baseline_p50_ms is None:
            return None
        return self.baseline_p50_ms / self.result.latency.p50_ms


class Point(Frozen):
    """All seeds of one method at one sparsity."""

    method: str
    sparsity: float
    scores: tuple[float, ...] = Field(description="The metric of the exported file, a seed each.")
    mean: float | None = None
    deviation: float | None = Field(default=None, description="Standard deviation over seeds; needs two of them.")
    tflite_gzip_bytes: int | None = Field(default=None, description="Median over seeds.")
    num_nonzero_params: int | None = None
    num_macs: int | None = None
    times_faster: float | None = None
    num_failed: int = 0


class SweepReport(Frozen):
    """What a sweep found out."""

    schema_version: Literal[1] = 1
    kind: Literal["sweep"] = "sweep"
    model_name: str
    metric: str
    metric_label: str = Field(description="What the metric is called in words.")
    higher_is_better: bool
    baseline: Variant = Field(description="The original, as file.")
    spec: SweepRecipe
    points: tuple[Point, ...] = Field(description="Mean over seeds, by method and rising sparsity.")
    trials: tuple[TrialResult, ...]
    verdicts: tuple[str, ...] = Field(description="What the numbers mean, in plain words.")
    notes: tuple[str, ...] = ()
    host: Host
    seconds: Mapping[str, float] = Field(description="Wall time by step.")

    def loss(self, point: Point) -> float | None:
        """What this costs, in the metric's unit; below zero where it helps."""
        if point.mean is None:
            return None
        sign = 1.0 if self.higher_is_better else -1.0
        return sign * (self.baseline.quality.score.value - point.mean)

    @property
    def methods(self) -> tuple[str, ...]:
        """Their names, in the order of the spec."""
        return tuple(dict.fromkeys(point.method for point in self.points))

    def of(self, method: str) -> tuple[Point, ...]:
        """The points of one method, by rising sparsity."""
        return tuple(point for point in self.points if point.method == method)


def points_of(recipe: SweepRecipe, trials: Sequence[TrialResult]) -> Iterator[Point]:
    """Trials gathered over their seeds."""
    for method, sparsity in product(recipe.names, recipe.sparsities):
        here = [trial for trial in trials if (trial.method, trial.sparsity) == (method, sparsity)]
        found = [trial.result for trial in here if trial.result is not None]
        scores = tuple(variant.quality.score.value for variant in found)
        faster = [trial.times_faster for trial in here if trial.times_faster is not None]
        yield Point(
            method=method,
            sparsity=sparsity,
            scores=scores,
            mean=sum(scores) / len(scores) if scores else None,
            deviation=deviation(scores) if len(scores) > 1 else None,
            tflite_gzip_bytes=_median([variant.sizes.tflite_gzip_bytes for variant in found]),
            num_nonzero_params=_median([variant.num_nonzero_params for variant in found]),
            num_macs=_median([variant.num_macs for variant in found if variant.num_macs is not None]),
            times_faster=sorted(faster)[len(faster) // 2] if faster else None,
            num_failed=len(here) - len(found),
        )


def deviation(values: Sequence[float]) -> float:
    """The standard deviation of a sample.

    >>> deviation([1.0, 2.0, 3.0])
    1.0
    """
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))


def _median(values: Sequence[int]) -> int | None:
    return sorted(values)[len(values) // 2] if values else None
