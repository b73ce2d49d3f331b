"""Where everything is, and what a job spec looks like."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter

from secateur.errors import InvalidRequest, NotFound, Unavailable
from secateur.specs.kinds import SPECS
from secateur.specs.methods import METHODS
from service.components import UseComponents
from service.http.problems import responses
from service.http.spec_schemas import schema_of
from service.middleware.authentication import is_open
from service.views.resources import Discovery

router = APIRouter(tags=["discovery"])


@router.get("/", operation_id="discover", responses=responses(Unavailable))
def discover(parts: UseComponents) -> Discovery:
    """The addresses of everything, and whether a key is needed to go there."""
    open_to_all = is_open(parts.settings.host, parts.database)
    return Discovery(version=version("secateur"), authentication="none" if open_to_all else "api_key")


@router.get("/v1/schemas/{kind}", operation_id="get_schema", responses=responses(InvalidRequest, NotFound))
async def get_schema(kind: str) -> dict[str, Any]:
    """The JSON schema of a kind of job."""
    if kind not in SPECS:
        raise NotFound(f"There is no kind of job {kind!r}.", suggestions=[f"Kinds: {', '.join(SPECS)}."])
    return schema_of(kind)


@router.get("/v1/methods", operation_id="list_methods", responses=responses())
async def list_methods() -> Mapping[str, Mapping[str, str]]:
    """Every choice that a recipe has, by axis, with what it does in one line."""
    return METHODS
