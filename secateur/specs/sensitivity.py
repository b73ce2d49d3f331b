"""How much does each layer take? The spec of that measurement, the curves that it gives, and its report."""

from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from secateur.specs.pruning import THRESHOLDS, Criterion, LayerName, OneShot, Prune, Sensitivity, Size, Sparsity
from secateur.specs.spec import Order, Recipe, Setup

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
