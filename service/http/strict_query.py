"""Refuses parameters of a query that nobody reads: a filter or a declaration that is misspelt would mean nothing."""

from collections.abc import Mapping
from typing import Any

from fastapi import Request

from secateur.errors import FieldError, InvalidRequest
from service.http import suggestions


async def refuse_unknown(request: Request) -> None:
    """Refuse a request whose query names what its operation does not know, where operations tell of wrong requests.

    Raises:
        InvalidRequest: naming each such parameter, and those that there are.
    """
    route = request.scope.get("route")
    if not request.query_params or 422 not in getattr(route, "responses", ()):
        return
    known = _names(getattr(route, "dependant", None))
    unknown = sorted(set(request.query_params) - known.keys())
    if unknown:
        close = [text for name in unknown[:10] if (text := suggestions.meant(name, known))]
        there = f"The parameters are {', '.join(sorted(known))}." if known else "This endpoint has no parameters."
        raise InvalidRequest(
            f"The query names {', '.join(name[:100] for name in unknown[:10])}, which this endpoint does not have.",
            errors=[FieldError(field=name[:100], messages=("no such parameter",)) for name in unknown[:10]],
            suggestions=[*close, there],
        )


def _names(dependant: Any) -> Mapping[str, None]:
    """The parameters of a route and of all that it depends on, by their names in a query."""
    if dependant is None:
        return {}
    own = dict.fromkeys(field.alias for field in dependant.query_params)
    return own | {name: None for inner in dependant.dependencies for name in _names(inner)}
