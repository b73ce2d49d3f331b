"""What all our data models have in common: frozen, strict about unknown fields, finite."""

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def require(*names: str) -> Callable[[dict[str, Any]], None]:
    """Makes a JSON schema require fields that have a default in Python."""

    def extend(schema: dict[str, Any]) -> None:
        schema["required"] = [*names, *schema.get("required", ())]

    return extend


class Tagged(Frozen):
    """A member of a union: in JSON ``kind`` must be there, since it tells which member is meant."""

    model_config = ConfigDict(json_schema_extra=require("kind"))
