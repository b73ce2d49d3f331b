"""As much as can go within a bound: the spec that asks for it, how the next trial is chosen, and the report."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from secateur.frozen import Frozen
from secateur.specs.channels import Share
from secateur.specs.spec import Order, Recipe, Setup, Step
from secateur.specs.sweep import DEFAULT, SweepRecipe, Trial
from secateur.specs.training import Training

ONLY: Final = "search"
"""The one method of a search, seen as a sweep."""


class Goals(Frozen):
    """What the file that comes out must meet."""

    max_accuracy_drop: float = Field(
        default=0.01,
        ge=0.0,
        description="How much of the metric may be lost against the original on the test split, in the metric's own "
        "unit: 0.01 is a point of accuracy; of an error, how much it may rise.",
    )


class Budget(Frozen):
    """When to stop looking. A trial that has begun is finished."""

    trials: int = Field(default=12, ge=1, le=100)
    seconds: int = Field(default=3_600, ge=1, le=604_800)


class SearchRecipe(Setup):
    """Find the highest sparsity whose exported file still meets the goals."""

    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=32)] = Field(
        default_factory=lambda: tuple(DEFAULT["weights"]),
        validate_default=True,
        description="A recipe with one prune step, whose amount is what is looked for. Default: single weights, cut at "
        "once, repaired.",
    )
    goals: Goals = Field(default_factory=Goals)
    budget: Budget = Field(default_factory=Budget)
    highest: Share = Field(default=0.99, description="Nothing above this is tried.")
    resolution: float = Field(default=0.01, gt=0.0, lt=1.0, description="Close enough.")
    on_goals_missed: Literal["fail", "deliver"] = Field(
        default="fail", description="When no trial meets the goals: fail, or hand out the one that lost least."
    )
    training: Training = Field(default_factory=Training)

    @model_validator(mode="before")
    @classmethod
    def _fill_in_amount(cls, given: Any) -> Any:
        """As for sweeps: the prune step's amount is no matter here."""
        steps = given.get("steps", DEFAULT["weights"]) if isinstance(given, Mapping) else None
        if not isinstance(steps, list | tuple):
            return given
        return {**given, "steps": SweepRecipe.with_amounts(steps, given.get("highest", 0.99))}

    @field_validator("steps")
    @classmethod
    def _one_cut(cls, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        for step in SweepRecipe.one_cut_each({ONLY: steps})[ONLY]:
            if getattr(getattr(step, "schedule", None), "initial_sparsity", 0.0) > 0.0:
                raise ValueError("leave out schedule.initial_sparsity: a search may try less than that")
        return steps

    @model_validator(mode="after")
    def _every_trial_is_a_recipe(self) -> Self:
        if self.highest <= self.resolution:
            raise ValueError(f"highest {self.highest:g} must lie above the resolution {self.resolution:g}")
        try:
            self.recipe_of(self.highest)
        except ValidationError as fault:
            raise ValueError(f"at {self.highest:g}: {fault.errors()[0]['msg']}") from fault
        return self

    def recipe_of(self, sparsity: float) -> Recipe:
        """What a trial at this sparsity runs: a compress job with these steps gives the same."""
        setup = {name: getattr(self, name) for name in Setup.model_fields}
        swept = SweepRecipe.model_construct(methods={ONLY: self.steps}, training=self.training, **setup)
        return swept.recipe_of(Trial(ONLY, sparsity, self.seed))


class SearchSpec(Order, SearchRecipe):
    """A job of kind ``search``: one model, one data set, one bound."""

    kind: Literal["search"]

    @model_validator(mode="after")
    def _ends_in_time(self) -> Self:
        if self.budget.seconds >= self.limits.max_runtime_seconds:
            raise ValueError(
                f"budget.seconds {self.budget.seconds} must lie below limits.max_runtime_seconds "
                f"{self.limits.max_runtime_seconds}, at which a job ends without a result"
            )
        return self

    def recipe(self) -> SearchRecipe:
        """This spec without what only the service needs."""
        return SearchRecipe.model_validate(self.model_dump(include=set(SearchRecipe.model_fields)))
