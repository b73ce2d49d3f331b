"""What all our data models have in common: frozen, strict about unknown fields and truth values, finite."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Annotated, Any, Final, get_args, get_origin

from pydantic import BaseModel, ConfigDict, model_validator

NUMBERS: Final = frozenset({int, float, type(None)})


class Frozen(BaseModel):
    """A value that does not change, has no unknown fields, and no truth value where a number stands."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _true_is_no_number(cls, given: Any) -> Any:
        """Pydantic takes true for 1, which no JSON schema does; the word is refused where the number stands."""
        if not isinstance(given, Mapping) or not any(map(_holds_truth, given.values())):
            return given
        fields = cls.model_fields
        numbers = {name for name in given if name in fields and _is_of_numbers(str(name), cls)}
        return {name: _as_words(value) if name in numbers else value for name, value in given.items()}


def _holds_truth(given: Any) -> bool:
    if isinstance(given, Mapping):
        return any(map(_holds_truth, given.values()))
    return any(map(_holds_truth, given)) if isinstance(given, (list, tuple)) else isinstance(given, bool)


def _as_words(given: Any) -> Any:
    if isinstance(given, Mapping):
        return {name: _as_words(value) for name, value in given.items()}
    if isinstance(given, (list, tuple)):
        return [_as_words(value) for value in given]
    return str(given).lower() if isinstance(given, bool) else given


@cache
def _is_of_numbers(name: str, model: type[BaseModel]) -> bool:
    """Whether there are only numbers in a field, alone, in lists, or in mappings from names."""
    leaves = set(_leaves(model.model_fields[name].annotation))
    return bool(leaves & {int, float}) and leaves <= NUMBERS | {str}


def _leaves(annotation: Any) -> list[Any]:
    inner = [argument for argument in get_args(annotation) if argument is not ...]
    inner = inner[:1] if get_origin(annotation) is Annotated else inner
    return [leaf for argument in inner for leaf in _leaves(argument)] if inner else [annotation]


def require(*names: str) -> Callable[[dict[str, Any]], None]:
    """Makes a JSON schema require fields that have a default in Python."""

    def extend(schema: dict[str, Any]) -> None:
        schema["required"] = [*names, *schema.get("required", ())]

    return extend


class Tagged(Frozen):
    """A member of a union: in JSON ``kind`` must be there, since it tells which member is meant."""

    model_config = ConfigDict(json_schema_extra=require("kind"))
