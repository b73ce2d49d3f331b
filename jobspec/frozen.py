"""What all our data models have in common: frozen, strict about unknown fields, finite."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _require_kind(schema: dict[str, Any]) -> None:
    schema["required"] = ["kind", *schema.get("required", ())]


class Tagged(Frozen):
    """A member of a union: in JSON ``kind`` must be there, since it tells which member is meant."""

    model_config = ConfigDict(json_schema_extra=_require_kind)
