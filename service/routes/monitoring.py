"""What a monitor reads."""

from typing import Any

from fastapi import APIRouter, Response

from service.metrics import MEDIA_TYPE
from service.parts import UseParts
from service.problems import responses

router = APIRouter(tags=["health"])

TEXT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Metrics in the text format of Prometheus.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
}


@router.get("/metrics", operation_id="read_metrics", response_class=Response, responses=TEXT | responses())
def read_metrics(parts: UseParts) -> Response:
    """Queues, jobs, waits, runs, bytes, deaths, requests, over all owners: for keys with the scope `metrics`."""
    within = 3 * parts.settings.sweep_seconds
    return Response(parts.requests.told(parts.database, workers_within_seconds=within), media_type=MEDIA_TYPE)
