"""How stored numbers become model inputs."""

from typing import Annotated, Literal, Self

from pydantic import Field, FiniteFloat, model_validator

from jobspec.frozen import Frozen

NamedScale = Literal["none", "1/255", "-1..1"]
Positive = Annotated[FiniteFloat, Field(gt=0.0)]


class MeanDeviation(Frozen):
    """An input is (sample - mean) / deviation: one number each, or one for each channel (the last axis of samples)."""

    mean: FiniteFloat | Annotated[tuple[FiniteFloat, ...], Field(min_length=1)]
    deviation: Positive | Annotated[tuple[Positive, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _as_many(self) -> Self:
        if len(self._lengths()) > 1:
            raise ValueError(f"mean has {_length(self.mean)} numbers and deviation {_length(self.deviation)}")
        return self

    def _lengths(self) -> set[int]:
        return {_length(self.mean), _length(self.deviation)} - {1}

    @property
    def num_channels(self) -> int | None:
        """How many channels it is for; None when it fits any number."""
        return next(iter(self._lengths()), None)


def _length(numbers: float | tuple[float, ...]) -> int:
    return len(numbers) if isinstance(numbers, tuple) else 1


Scale = NamedScale | MeanDeviation
