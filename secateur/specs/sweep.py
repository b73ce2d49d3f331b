"""How much can be cut? The spec that asks it of many recipes at once, its trials, and the report that answers."""

from collections.abc import Mapping, Sequence
from itertools import pairwise, product
from typing import Annotated, Any, Final, Literal, NamedTuple, Self

from pydantic import Field, StringConstraints, ValidationError, field_validator, model_validator

from secateur.specs.channels import AMOUNTS, PruneChannels, Share
from secateur.specs.pruning import THRESHOLDS, Prune
from secateur.specs.spec import CompressSpec, Order, Recipe, Setup, Step
from secateur.specs.training import Training

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
        return Recipe(
            steps=tuple(_cut(step, trial) for step in steps),
            training=self.training,
            on_chance_result="continue",  # a curve shows where a method breaks down
            **setup,
        )


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
