"""How stored numbers become model inputs."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, FiniteFloat, StringConstraints, TypeAdapter, WrapValidator, model_validator

from secateur.frozen import Frozen

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

InputName = Annotated[str, StringConstraints(min_length=1, max_length=256)]
ByInput = Annotated[Mapping[InputName, Scale], Field(min_length=1, max_length=256)]

_ONE: Final[TypeAdapter[Any]] = TypeAdapter(Scale)
_EACH: Final[TypeAdapter[Any]] = TypeAdapter(ByInput)


def _one_or_each(given: Any, _: Any) -> Any:
    """Errors name what is wrong with the form that was meant, not with both."""
    each = isinstance(given, Mapping) and not {"mean", "deviation"} & set(given)
    return (_EACH if each else _ONE).validate_python(given)


Scales = Annotated[Scale | ByInput, WrapValidator(_one_or_each)]
"""One for all inputs, or one for each by name; inputs that are not named stay as they are."""


def scale_of(scales: Scales, name: str) -> Scale:
    """The scale of one input.

    >>> scale_of({"image": "1/255"}, "image"), scale_of({"image": "1/255"}, "meta"), scale_of("-1..1", "image")
    ('1/255', 'none', '-1..1')
    """
    return scales.get(name, "none") if isinstance(scales, Mapping) else scales
