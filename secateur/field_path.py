"""Where a field stands, as whoever wrote the spec knows it."""

from collections.abc import Mapping, Sequence
from typing import Any

TAGS = ("kind", "structure")
"""The fields that tell members of a union apart; pydantic puts their values into the location of an error."""


def field_path(location: Sequence[str | int], given: Any) -> list[str]:
    """An error's location without the members of unions in it, which nobody wrote.

    >>> field_path(("steps", 0, "prune", "sparsity"), {"steps": [{"kind": "prune", "sparsity": 2}]})
    ['steps', '0', 'sparsity']
    """
    path, here = [], given
    for part in location:
        if isinstance(here, Mapping):
            if part not in here and any(part == here.get(tag) for tag in TAGS):
                continue
            here = here.get(part)
        else:
            here = here[part] if isinstance(here, list) and isinstance(part, int) and part < len(here) else None
        path.append(str(part))
    return path
