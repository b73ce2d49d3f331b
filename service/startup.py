"""What a gateway prepares before it answers its first request, so that no request pays for it on the event loop."""

from fastapi import FastAPI

from secateur.specs.kinds import SPECS
from service.http.spec_schemas import field_names


def prepare(app: FastAPI) -> None:
    """Build what would otherwise be built when it is first needed. Takes less than half a second of CPU.

    The OpenAPI document, which the answers to 404, 405 and 422 read; with it come the validators and serializers of
    every route, which FastAPI otherwise makes when a request first passes by. And the schemas of jobs, for the answers
    to specs that are not valid.
    """
    app.openapi()
    for kind in SPECS:
        field_names(kind)
