"""Every number of a spec is one: what a JSON schema refuses, the service does not take."""

from collections.abc import Mapping
from typing import Annotated, Any

import pytest
from pydantic import Field, ValidationError

from secateur.frozen import Frozen


class Sample(Frozen):
    number: int = 0
    share: Annotated[float, Field(ge=0)] | None = None
    list: tuple[float, ...] = ()
    named: Mapping[str, float] = Field(default_factory=dict)
    flag: bool = False
    either: bool | int = False
    free: Any = None


@pytest.mark.parametrize(
    "given", [{"number": True}, {"share": False}, {"list": [1.0, True]}, {"named": {"conv": True}}], ids=str
)
def test_true_is_no_number(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        Sample.model_validate(given)

    assert [error["loc"][0] for error in refused.value.errors()] == list(given)


@pytest.mark.parametrize("given", [{"flag": True}, {"either": True}, {"free": [True]}, {"share": None}], ids=str)
def test_true_is_taken_where_it_is_meant(given: dict[str, Any]) -> None:
    assert Sample.model_validate(given).model_dump(exclude_unset=True) == given
