"""The JSON schemas of the kinds of jobs, and the names of fields in them. Each is built once in a process."""

from functools import cache
from typing import Any

from secateur.specs.kinds import SPECS


@cache
def schema_of(kind: str) -> dict[str, Any]:
    """The JSON schema of a kind of job."""
    return SPECS[kind].model_json_schema()


@cache
def field_names(kind: str) -> frozenset[str]:
    """The names of all fields that a spec of this kind may have, at any depth."""
    schema = schema_of(kind)
    definitions = schema["$defs"].values()
    return frozenset(schema["properties"]).union(*(each.get("properties", ()) for each in definitions))
